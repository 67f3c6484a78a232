from __future__ import annotations

import unicodedata
from typing import Any

import pytest

from cofi_dagster.audit import evidence
from cofi_dagster.audit.requests import Segment

SEGMENTS = [
    Segment(0, "agent", "Good morning, how may I help you?", 0.0, 2.5),
    Segment(1, "client", "Buy two hundred and fifty shares of TCS at 1450.50", 2.5, 6.0),
    Segment(2, "agent", "रिलायंस के सौ शेयर, सही है?", 6.0, 8.0),
    Segment(3, "client", "yesterday I said 14500", 8.0, 9.0),
]


def look(quote: str, segment: int) -> dict[str, Any]:
    status, items = evidence.check([{"segment": segment, "quote": quote}], SEGMENTS)
    assert status == items[0]["status"]
    return items[0]


@pytest.mark.parametrize(
    ("quote", "cited", "status", "segment"),
    [
        ("how may I help you", 0, "verified", 0),
        ("at 1450.50", 1, "verified", 1),
        ("रिलायंस के सौ शेयर", 2, "verified", 2),
        ("BUY  two hundred and fifty", 1, "repaired", 1),
        ("good morning how may i help you", 0, "repaired", 0),
        ("buy 250 shares", 1, "repaired", 1),
        ("how may I help you", 3, "repaired", 0),
        ("250 shares of tcs", 0, "repaired", 1),
        ("how may I help you", 77, "repaired", 0),
        ("रिलायंस के 100 शेयर", 2, "repaired", 2),
        ("sell two hundred", 1, "unverified", 1),
        ("yes", 3, "unverified", 3),
        ("1450", 3, "unverified", 3),
        ("1450", 1, "unverified", 1),
        ("", 0, "unverified", 0),
        ("?", 0, "unverified", 0),
        ("शेय", 2, "unverified", 2),
    ],
)
def test_a_quote_is_looked_up_in_the_transcript(quote: str, cited: int, status: str, segment: int) -> None:
    item = look(quote, cited)
    assert (item["status"], item["segment"], item["quote"]) == (status, segment, quote)


def test_an_item_has_the_seconds_of_its_segment() -> None:
    item = look("how may I help you", 3)
    assert (item["start"], item["end"]) == (0.0, 2.5)
    assert look("nothing of the kind", 99)["start"] is None


def test_an_answer_is_as_good_as_its_worst_item() -> None:
    verified, repaired, invented = ({"segment": 0, "quote": quote} for quote in ("Good morning", "good MORNING", "bye"))
    assert evidence.check([verified], SEGMENTS)[0] == "verified"
    assert evidence.check([verified, repaired], SEGMENTS)[0] == "repaired"
    assert evidence.check([repaired, invented, verified], SEGMENTS)[0] == "unverified"
    assert evidence.check([], SEGMENTS) == ("none", [])


def test_composed_and_decomposed_devanagari_are_the_same_words() -> None:
    text = "साढ़े चार सौ"
    composed, decomposed = text.replace("\u0922\u093c", "\u095d"), unicodedata.normalize("NFD", text)
    assert composed != decomposed
    assert evidence.check([{"segment": 0, "quote": composed}], [Segment(0, None, decomposed)])[0] == "verified"


def test_the_nearest_segment_that_has_the_quote_is_taken() -> None:
    segments = [Segment(index, None, text) for index, text in enumerate(["ok sir", "no", "well", "ok sir", "bye"])]
    assert evidence.check([{"segment": 4, "quote": "ok sir"}], segments)[1][0]["segment"] == 3
