"""Who gets in, and what a browser can be made to do: over a socket, without a browser's own help."""

from __future__ import annotations

import re
import stat
import time
from collections.abc import Callable

import httpx
import pytest

from cofi_dagster_tests.pipeline.site import Site

ClientOf = Callable[..., httpx.Client]
KEYS = "anna:operator:an-operators-key,vera:viewer:a-viewers-key"
HTML = {"Accept": "text/html"}


def token_of(page: httpx.Response) -> str:
    found = re.search(r'name="csrf-token" content="([0-9a-f]{64})"', page.text)
    assert found, page.text[:300]
    return found[1]


def log_in(client: httpx.Client, key: str = "an-operators-key", to: str = "/cofi") -> httpx.Response:
    """Log in as a browser does."""
    client.headers["Origin"] = str(client.base_url).rstrip("/")
    page = client.get("/cofi/login", headers=HTML)
    return client.post("/cofi/login", data={"csrf": token_of(page), "key": key, "next": to})


def test_a_person_is_led_to_the_login_and_a_program_is_told_what_is_missing(client_of: ClientOf) -> None:
    client = client_of(COFI_API_KEYS=KEYS)
    led = client.get("/runs?cursor=a%20b", headers=HTML)
    assert (led.status_code, led.headers["location"]) == (303, "/cofi/login?next=/runs%3Fcursor%3Da%2520b")
    told = client.get("/api/batches")
    assert (told.status_code, told.headers["www-authenticate"]) == (401, 'Bearer realm="COFI"')
    assert client.get("/graphql").status_code == 401
    assert client.get("/cofi/exceptions").status_code == 401
    assert client.get("/health").status_code == 200


def test_a_session_opens_everything_and_its_cookie_tells_nothing(client_of: ClientOf) -> None:
    client = client_of(COFI_API_KEYS=KEYS)
    reply = log_in(client, to="/runs")
    assert (reply.status_code, reply.headers["location"]) == (303, "/runs")
    cookie = reply.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "an-operators-key" not in cookie
    assert client.get("/runs").text == "the Dagster UI"
    assert client.get("/api/batches").status_code == 200
    page = client.get("/cofi", headers=HTML)
    assert "anna" in page.text
    assert page.headers["content-security-policy"].startswith("default-src 'self'")
    assert client.post("/cofi/logout", data={"csrf": token_of(page)}).status_code == 303
    assert client.get("/api/batches").status_code == 401


@pytest.mark.parametrize("to", ["https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)"])
def test_a_login_leads_to_no_other_site(client_of: ClientOf, to: str) -> None:
    assert log_in(client_of(COFI_API_KEYS=KEYS), to=to).headers["location"] == "/cofi"


def test_a_session_ends_when_its_key_is_taken_away_its_time_is_over_or_it_is_touched(
    client_of: ClientOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = client_of(COFI_API_KEYS=KEYS)
    log_in(client)
    (cookie,) = client.cookies.jar
    assert cookie.value
    kept = {"Cookie": f"cofi_session={cookie.value}"}
    same_home = client_of(COFI_API_KEYS=KEYS)
    assert same_home.get("/api/batches", headers=kept).status_code == 200
    assert client_of(COFI_API_KEYS="vera:viewer:a-viewers-key").get("/api/batches", headers=kept).status_code == 401
    touched = {"Cookie": f"cofi_session={'X' if cookie.value[0] != 'X' else 'Y'}{cookie.value[1:]}"}
    assert same_home.get("/api/batches", headers=touched).status_code == 401
    half_a_day_later = int(time.time()) + 12 * 3600 + 60
    monkeypatch.setattr("itsdangerous.timed.TimestampSigner.get_timestamp", lambda _signer: half_a_day_later)
    assert same_home.get("/api/batches", headers=kept).status_code == 401


def test_the_secret_that_signs_is_its_owners_alone(client_of: ClientOf, site: Site) -> None:
    client_of(COFI_API_KEYS=KEYS)
    secret = site.settings.home / "session.secret"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert len(secret.read_bytes()) == 32


def test_what_another_site_makes_a_browser_send_is_refused(client_of: ClientOf, site: Site) -> None:
    batch = site.make(1)
    client = client_of(COFI_API_KEYS=KEYS)
    log_in(client)
    page = client.get("/cofi", headers=HTML)
    token, pause = token_of(page), f"/api/batch/{batch}/launch"
    foreign = {"Origin": "https://evil.example", "X-CSRF-Token": token}
    assert client.post(pause, headers=foreign).status_code == 403
    assert client.post("/graphql", headers=foreign).status_code == 403
    assert client.post(f"/cofi/batch/{batch}/launch", data={"csrf": token}, headers=foreign).status_code == 403
    assert client.post(pause).json() == {"detail": "a browser's request needs its page's token in X-CSRF-Token"}
    refused = client.post(f"/cofi/batch/{batch}/launch", data={"csrf": "0" * 64}, headers=HTML)
    assert (refused.status_code, "load it anew" in refused.text) == (403, True)
    del client.headers["Origin"]
    assert client.post(pause, headers={"X-CSRF-Token": token}).status_code == 403
    client.headers["Origin"] = str(client.base_url).rstrip("/")
    assert client.post(pause, headers={"X-CSRF-Token": token}).status_code == 202


def test_a_program_with_a_key_needs_no_token(client_of: ClientOf, site: Site) -> None:
    batch = site.make(1)
    client = client_of(COFI_API_KEYS=KEYS)
    assert client.post(f"/api/batch/{batch}/launch", headers={"X-API-Key": "an-operators-key"}).status_code == 202


def test_a_viewers_forms_are_refused(client_of: ClientOf, site: Site) -> None:
    batch = site.make(1)
    client = client_of(COFI_API_KEYS=KEYS)
    log_in(client, "a-viewers-key")
    page = client.get("/cofi", headers=HTML)
    assert "<button>Launch" not in page.text
    reply = client.post(f"/cofi/batch/{batch}/launch", data={"csrf": token_of(page)})
    assert (reply.status_code, reply.json()["detail"][:22]) == (403, "this key may only look")
    assert client.get("/runs").text == "the Dagster UI, to look at"


def test_guessing_keys_is_slow(client_of: ClientOf) -> None:
    client = client_of(COFI_API_KEYS=KEYS)
    codes = [log_in(client, f"guess {number}").status_code for number in range(25)]
    assert codes[0] == 401
    assert codes[-1] == 429


def test_without_keys_only_this_machines_own_names_are_served(client_of: ClientOf, site: Site) -> None:
    batch = site.make(1)
    client = client_of()
    assert client.get("/api/batches", headers={"Host": "rebound.example"}).status_code == 403
    assert client.get("/", headers={"Host": "localhost:3000"}).text == "the Dagster UI"
    assert client.get("/", headers={"Host": "[::1]:3000"}).text == "the Dagster UI"
    launched = client.post(f"/api/batch/{batch}/launch", headers={"Origin": "https://evil.example"})
    assert launched.status_code == 403


def test_static_files_are_kept_for_ever_and_come_packed(client_of: ClientOf) -> None:
    client = client_of(COFI_API_KEYS=KEYS)
    page = client.get("/cofi/login", headers=HTML).text
    for name in ("cofi.css", "cofi.js"):
        found = re.search(rf'"(/cofi/static/[0-9a-f]{{16}}/{name})"', page)
        assert found
        reply = client.get(found[1], headers={"Accept-Encoding": "gzip"})
        assert "immutable" in reply.headers["cache-control"]
        assert reply.headers["content-encoding"] == "gzip"
    assert client.get("/cofi/static/0000000000000000/cofi.css").status_code == 404
    assert client.get("/cofi/static/0000000000000000/..%2f..%2fapi.py").status_code in (401, 404)


def test_a_page_that_is_not_there_says_so_to_a_person_and_to_a_program(client_of: ClientOf) -> None:
    client = client_of()
    for path in ("/cofi/nothing", "/cofi/batch/99", "/cofi/batch/x"):
        person, program = client.get(path, headers=HTML), client.get(path)
        assert person.status_code == program.status_code
        assert person.status_code in (404, 422)
        assert "<h1>" in person.text
        assert set(program.json()) == {"detail"}
    assert "there is no batch 99" in client.get("/cofi/batch/99", headers=HTML).text
