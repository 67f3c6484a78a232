import pytest

from cofi_dagster.demo.scoring import Found, score

TRUTH = {
    "calls": {
        "a.wav": {
            "story": "order",
            "language": "en",
            "status": ["Complete"],
            "said": [{"symbol": "TCS", "side": "buy", "quantity": 100, "price": None}],
        },
        "b.wav": {"story": "enquiry", "language": "hi", "status": ["Pending", "Complete"], "said": []},
        "c.wav": {"story": "nobody", "language": None, "status": ["NoSpeech"], "said": []},
    },
    "trades": {
        "1": {"order": "buy 1000 TCS", "evidence": "a.wav", "verdict": "wrong_quantity"},
        "2": {"order": "sell 5 ITC", "evidence": None, "verdict": None},
    },
}
PERFECT = Found(
    calls={"a.wav": ("Complete", "en"), "b.wav": ("Pending", "hi"), "c.wav": ("NoSpeech", "en")},
    evidence={"1": "a.wav", "2": None},
    verdicts={"1": "wrong_quantity", "2": None},
    trades={"a.wav": [("TCS", "BUY", 100.0)]},
)


def test_what_is_as_it_should_be_has_no_misses():
    rows = score(TRUTH, PERFECT)
    assert [(row.right, row.of) for row in rows] == [(3, 3), (2, 2), (1, 1), (2, 2), (2, 2), (2, 2)]
    assert not any(row.misses for row in rows)


@pytest.mark.parametrize(
    ("changes", "question", "miss"),
    [
        ({"calls": {**PERFECT.calls, "a.wav": ("Pending", "en")}}, "status", "order: Pending, not Complete"),
        ({"calls": {**PERFECT.calls, "b.wav": ("Pending", "en")}}, "languages", "enquiry: en, not hi"),
        ({"trades": {"a.wav": [("TCS", "buy", 1000.0)]}}, "word for word", "order: heard buy 1000 TCS"),
        ({"trades": {**PERFECT.trades, "b.wav": [(None, "buy", None)]}}, "none was heard", "enquiry: heard buy ? ?"),
        ({"evidence": {"1": "a.wav", "2": "b.wav"}}, "evidence", "sell 5 ITC: b.wav, not none"),
        ({"verdicts": {"1": "confirmed", "2": None}}, "verdict", "buy 1000 TCS: confirmed, not wrong_quantity"),
    ],
)
def test_a_miss_is_told_in_words(changes, question, miss):
    fields = {name: getattr(PERFECT, name) for name in ("calls", "evidence", "verdicts", "trades")}
    rows = [row for row in score(TRUTH, Found(**{**fields, **changes})) if row.misses]
    assert len(rows) == 1
    assert question in rows[0].question
    assert rows[0].misses[0].startswith(miss)
    assert rows[0].of - rows[0].right == 1


def test_a_batch_of_which_nothing_is_known_is_right_only_where_nothing_was_to_be_found():
    rows = score(TRUTH, Found({}, {}, {}, {}))
    assert [(row.right, row.of) for row in rows] == [(0, 3), (0, 2), (0, 1), (2, 2), (1, 2), (1, 2)]
