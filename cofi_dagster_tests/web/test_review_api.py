"""Exceptions and reviews over HTTP: who may, what comes back, and what is refused with which code."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from datetime import date

import httpx
import openpyxl
import pytest

from cofi_dagster.database import tables as t
from cofi_dagster_tests.audit.day import EVIL, Day, make_day
from cofi_dagster_tests.pipeline.site import Site

ClientOf = Callable[..., httpx.Client]
KEYS = "anna:operator:an-operators-key,vera:viewer:a-viewers-key"
ANNA, VERA = {"X-API-Key": "an-operators-key"}, {"X-API-Key": "a-viewers-key"}


@pytest.fixture
def day(site: Site) -> Day:
    """A batch with an exception of every kind."""
    return make_day(site.engine, date(2026, 1, 15))


def test_a_program_reads_exceptions_and_its_key_is_who_reviewed(client_of: ClientOf, site: Site, day: Day) -> None:
    client = client_of(COFI_API_KEYS=KEYS)
    listed = f"/api/batch/{day.batch}/exceptions"
    reply = client.get(listed, params={"kind": "discrepancy", "limit": 1, "offset": 1}, headers=VERA).json()
    assert (reply["total"], sum(reply["counts"].values()), len(reply["exceptions"])) == (2, 16, 1)
    (found,) = reply["exceptions"]
    assert (found["reason"], found["file"], found["state"], found["review"]) == (
        "wrong quantity", "kept.wav", "open", None,
    )  # fmt: skip
    body = {"subject": found["subject"], "mark": found["mark"], "decision": "accepted"}
    assert client.post("/api/review", json=body, headers=VERA).status_code == 403
    made = client.post("/api/review", json=body, headers=ANNA)
    assert (made.status_code, made.json()["review"]["reviewed_by"]) == (201, "anna")
    assert made.json()["review"]["reviewed_at"].endswith("Z")
    (row,) = site.rows(t.human_review.select())
    assert (row.machineValue, row.tradeMetadataId) == ("wrong quantity in kept.wav", day.trades["wrong quantity"])
    opened = client.get(listed, params={"state": "open"}, headers=VERA).json()
    assert (opened["total"], opened["counts"]["discrepancy"]) == (15, 1)


def test_a_review_that_cannot_be_is_refused_with_a_sentence(client: httpx.Client, site: Site, day: Day) -> None:
    subject = f"discrepancy.{day.trades['wrong quantity']}"
    for change, code in (
        ({"decision": "overridden"}, 422),
        ({"decision": "maybe"}, 422),
        ({"mark": "0" * 16}, 409),
        ({"subject": f"discrepancy.{day.trades['fine']}"}, 404),
        ({"subject": "discrepancy.1.2"}, 404),
        ({"subject": "'; DROP TABLE humanReview"}, 404),
    ):
        reply = client.post("/api/review", json={"subject": subject, "decision": "accepted", **change})
        assert (reply.status_code, type(reply.json()["detail"])) == (code, str), change
    assert client.get("/api/batch/99/exceptions").status_code == 404
    assert site.rows(t.human_review.select()) == []


def test_the_form_needs_its_token_and_goes_back_to_this_site_alone(client: httpx.Client, site: Site, day: Day) -> None:
    subject = f"call_not_audited.{day.calls['silent.wav']}"
    fields = {"subject": subject, "decision": "accepted", "to": "//evil.example/"}
    assert client.post("/cofi/review", data=fields).status_code == 403
    page = client.get("/cofi/exceptions")
    token = re.search(r'name="csrf-token" content="(\w+)"', page.text)
    assert token is not None
    reply = client.post("/cofi/review", data={**fields, "csrf": token[1]})
    assert (reply.status_code, reply.headers["location"]) == (303, "/cofi/exceptions")
    assert len(site.rows(t.human_review.select())) == 1


def test_what_is_shown_can_be_taken_away_as_a_file(client: httpx.Client, day: Day) -> None:
    chosen = {"batch": str(day.batch), "kind": "trade_without_evidence", "sort": "client"}
    text = client.get("/cofi/exceptions/export.csv", params=chosen)
    assert text.headers["content-disposition"] == f'attachment; filename="exceptions_{day.key}.csv"'
    assert len(text.text.splitlines()) == 4
    assert f"'{EVIL} 2" in text.text
    packed = client.get("/cofi/exceptions/export.xlsx", params={"first": "2026-01-01", "last": "2026-01-31"})
    assert packed.headers["content-disposition"].endswith('"exceptions_from_2026-01-01_to_2026-01-31.xlsx"')
    rows = list(openpyxl.load_workbook(io.BytesIO(packed.content), read_only=True)["exceptions"].iter_rows())
    assert len(rows) == 17
    assert not [cell for row in rows for cell in row if cell.data_type == "f"]
    nothing = client.get("/cofi/exceptions/export.csv", params={"batch": 99})
    assert (nothing.status_code, len(nothing.text.splitlines())) == (200, 1)
