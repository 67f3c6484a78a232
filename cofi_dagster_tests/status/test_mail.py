"""Alerts by mail: to a real server, plain, with STARTTLS and with TLS; and what no word of an alert can do there."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from cofi_dagster.alerts.sinks import NotTold, Unreachable, sinks_of
from cofi_dagster.alerts.watch import watch
from cofi_dagster.database import tables as t
from cofi_dagster.settings import Settings
from cofi_dagster_tests.pipeline.site import Site
from cofi_dagster_tests.status.test_alerts import ONLY, stt_at_work

USER, PASSWORD = "cofi", "correct horse"
TO = ["ops@example.org", "audit@example.org"]
LOGIN = {"COFI_SMTP_USER": USER, "COFI_SMTP_PASSWORD": PASSWORD}


class Box:
    """What a mail server took: envelopes with the mails in them, and whether after a login."""

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []
        self.logged_in: list[bool] = []

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd calls it so
        self.envelopes.append(envelope)
        self.logged_in.append(session.authenticated is True)
        return "250 taken"

    @property
    def mails(self) -> list[EmailMessage]:
        return [message_from_bytes(e.content, policy=policy.default) for e in self.envelopes]  # type: ignore[arg-type]


class Server(Controller):
    """A mail server; where ``implicit`` is given it speaks nothing but TLS."""

    def __init__(self, box: Box, port: int, implicit: ssl.SSLContext | None = None, **how: Any) -> None:
        super().__init__(box, hostname="127.0.0.1", port=port, ssl_context=implicit, **how)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of ``localhost`` with its key, which nobody trusts who is not told to."""
    both = tmp_path_factory.mktemp("certificate") / "localhost.pem"
    what = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-days", "2"]
    made = ["openssl", "req", "-x509", *kind, *what, "-keyout", str(both), "-out", str(both.with_suffix(".crt"))]
    subprocess.run(made, check=True, capture_output=True)
    both.write_text(both.read_text() + both.with_suffix(".crt").read_text())
    return both


@pytest.fixture
def mail(free_port: Callable[[], int], certificate: Path) -> Callable[[str], Any]:
    """Start a mail server: ``with mail("starttls") as (box, settings_of_it)``."""

    def auth(_server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: Any) -> AuthResult:
        known = isinstance(data, LoginPassword) and (data.login, data.password) == (USER.encode(), PASSWORD.encode())
        return AuthResult(success=known)

    @contextmanager
    def serve(tls: str) -> Iterator[tuple[Box, dict[str, str]]]:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
        kinds: dict[str, dict[str, Any]] = {
            "none": {},
            "starttls": {"tls_context": context, "require_starttls": True, "auth_required": True},
            "tls": {"implicit": context, "auth_require_tls": False},
        }
        box, port = Box(), free_port()
        server = Server(box, port, authenticator=auth, **kinds[tls])
        server.start()
        where = {"COFI_SMTP_HOST": "localhost", "COFI_SMTP_PORT": str(port), "COFI_SMTP_TLS": tls}
        try:
            yield box, {**where, "COFI_ALERT_EMAIL_TO": ",".join(TO), **({} if tls == "none" else LOGIN)}
        finally:
            server.stop()

    return serve


SPY = "क्षमा करें, डिस्क भर गई\r\nBcc: spy@example.org\r\n\r\n<!channel> forged\u2028line"


@pytest.mark.parametrize("tls", ["none", "starttls", "tls"])
def test_an_alert_and_its_end_are_mailed_once_each_and_its_words_are_only_words(
    site: Callable[..., Site],
    mail: Callable[[str], Any],
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
    tls: str,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.with_suffix(".crt")))
    with mail(tls) as (box, settings_of_it):
        here = site(**ONLY, **settings_of_it)
        batch = stt_at_work(here, pace={"aside": {"gpu1": SPY}})
        for _ in range(3):
            watch(here.engine, here.settings, sinks_of(here.settings))
        here.tracker.complete_stage(batch, "stt")
        for _ in range(2):
            watch(here.engine, here.settings, sinks_of(here.settings))
        raised, over = box.mails
    words = f"Speech to text of batch 2026-01-15_1 goes on without gpu1, which is set aside: {SPY}"
    lines = " ".join(words.split())
    assert (raised["Subject"], over["Subject"]) == (f"COFI: {lines}"[:150], f"COFI: over: {lines}"[:150])
    assert (raised["From"], raised["To"]) == ("cofi@localhost", ", ".join(TO))
    assert raised.get_content().replace("\n", "\r\n").startswith(f"COFI: {words[:100]}")
    assert over.get_content().splitlines()[0].startswith("COFI: over: ")
    for letter, envelope in zip((raised, over), box.envelopes, strict=True):
        assert "Bcc" not in letter
        assert letter["Date"].datetime is not None
        assert envelope.rcpt_tos == TO
        assert isinstance(envelope.content, bytes)
        assert envelope.content.isascii()
    assert raised["Message-ID"] != over["Message-ID"]
    assert box.logged_in == [tls != "none"] * 2


def test_a_server_that_is_not_who_it_says_or_refuses_gets_no_alert_and_no_password(
    settings: Callable[..., Settings],
    mail: Callable[[str], Any],
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with mail("tls") as (box, settings_of_it):
        _, post = sinks_of(settings(**settings_of_it))
        with pytest.raises(Unreachable, match="SSLCertVerificationError"):
            post.tell("batch 1 is late")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate.with_suffix(".crt")))
        wrong = [{"COFI_SMTP_PASSWORD": "SECRET"}, {"COFI_ALERT_EMAIL_FROM": "cofi\r\nBcc: spy@example.org"}]
        for values in wrong:
            _, refused = sinks_of(settings(**settings_of_it | values))
            with pytest.raises(NotTold) as said:
                refused.tell("batch 1 is late")
            assert "SECRET" not in str(said.value)
        assert box.envelopes == []
        post.tell("batch 1 is late")
        assert [letter["Subject"] for letter in box.mails] == ["batch 1 is late"]


def test_a_sink_that_cannot_be_reached_is_waited_for_once_a_look_and_one_that_refuses_gets_the_others(
    site: Callable[..., Site], mail: Callable[[str], Any], free_port: Callable[[], int]
) -> None:
    with mail("none") as (box, settings_of_it):
        here = site(**ONLY, **settings_of_it)
        aside = {f"gpu{number}": "refused" for number in range(3)}
        stt_at_work(here, pace={"aside": aside})
        gone = here.settings.model_copy(update={"smtp_port": free_port()})
        found = watch(here.engine, here.settings, sinks_of(gone))
        assert (len(found.raised), len(found.not_told), box.mails) == (3, 1, [])
        watch(here.engine, here.settings, sinks_of(here.settings))
        assert len(box.mails) == 3
    told = here.rows(t.alert.select())
    assert {tuple(row.toldRaised) for row in told} == {("log", "email")}
