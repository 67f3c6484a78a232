from __future__ import annotations

from typing import Any

import pytest

from cofi_dagster.audit import evidence
from cofi_dagster.audit.questionnaire import DEFAULT_QUESTIONS, Question
from cofi_dagster_tests.rules.asking import answers, call

AGREE, PRICE, BEFORE, IDENTIFIED, SCRIP, SIDE, QUANTITY, STATED_PRICE, ORDERS, READ_BACK = range(1, 11)
ASSENT, CHANGED, PLACED, ADVICE, ASSURED, PRESSURE, DISCRETION, THIRD_PARTY, COMPLAINT, COMPLETE = range(11, 21)
GOOD = (
    "A: good morning may i have your client code",
    "C: my code is k r 1 2 3 4 please buy hundred tcs at thirty two hundred",
    "A: buying hundred tcs at thirty two hundred confirm",
    "C: yes confirm",
    "A: your order is placed thank you",
)


def trade(**changes: Any) -> dict[str, Any]:
    good = {"symbol": "TCS", "side": "B", "quantity": 100, "price": 3199.5}
    times = {"callStart": "2026-01-15 10:00:00", "orderTime": "2026-01-15T10:05:00"}
    return {**good, **times, **changes}


def verdict(question: int, *lines: str, trades: tuple[dict[str, Any], ...] = ()) -> str:
    segments = call(*lines)
    answer = answers(segments, trades=trades)[question]
    if answer.answer in ("Yes", "No") and question != BEFORE:
        assert evidence.check(answer.evidence, segments)[0] == "verified"
    return answer.answer


def test_a_call_as_it_should_be_is_answered_with_the_words_that_show_it() -> None:
    given = answers(call(*GOOD), trades=[trade()])
    yes = {AGREE, PRICE, BEFORE, IDENTIFIED, SCRIP, SIDE, QUANTITY, STATED_PRICE, READ_BACK, ASSENT, PLACED, COMPLETE}
    assert {number for number, answer in given.items() if answer.answer == "Yes"} == yes
    assert (given[CHANGED].answer, given[ORDERS].answer) == ("No", "Buy 100 TCS at 3,200")
    conduct = (ADVICE, ASSURED, PRESSURE, DISCRETION, THIRD_PARTY, COMPLAINT)
    assert {given[number].answer for number in conduct} == {"Not discussed"}


@pytest.mark.parametrize(
    ("question", "executed", "expected"),
    [
        (AGREE, trade(), "Yes"),
        (AGREE, trade(symbol="Tata Consultancy Services"), "Yes"),
        (AGREE, trade(quantity="1,000"), "No"),
        (AGREE, trade(side="SELL"), "No"),
        (AGREE, trade(symbol="INFY"), "No"),
        (PRICE, trade(price=3200), "Yes"),
        (PRICE, trade(price=3201), "No"),
        (BEFORE, trade(), "Yes"),
        (BEFORE, trade(orderTime="2026-01-15 09:59:00"), "No"),
        (BEFORE, trade(callStart=None), "Cannot be determined"),
    ],
)
def test_the_executed_trade_is_compared_with_what_was_said(
    question: int, executed: dict[str, Any], expected: str
) -> None:
    assert verdict(question, *GOOD, trades=(executed,)) == expected


def test_the_fills_of_an_order_are_added_up() -> None:
    assert verdict(AGREE, *GOOD, trades=(trade(quantity=60), trade(quantity=40))) == "Yes"


def test_without_trades_the_questions_about_them_stay_open() -> None:
    assert {verdict(question, *GOOD) for question in (AGREE, PRICE, BEFORE)} == {"Cannot be determined"}


@pytest.mark.parametrize(
    ("question", "lines", "expected"),
    [
        (SCRIP, ("A: shall i buy hundred tcs at market for you", "C: yes go ahead"), "No"),
        (QUANTITY, ("C: buy tcs at market", "A: hundred shares tcs at market", "C: yes"), "No"),
        (QUANTITY, ("C: what is the price of tcs", "A: thirty two hundred"), "Not discussed"),
        (SCRIP, ("?: hello", "?: buy hundred tcs at market", "?: ok"), "Cannot be determined"),
        (READ_BACK, ("C: buy hundred tcs at market", "A: ok sir"), "No"),
        (ASSENT, ("C: buy hundred tcs at market", "A: buying hundred tcs at market"), "No"),
        (CHANGED, ("C: buy hundred tcs", "A: hundred tcs", "C: no make it two hundred"), "Yes"),
        (CHANGED, ("C: buy hundred tcs", "A: hundred tcs", "C: cancel that"), "Yes"),
        (IDENTIFIED, ("C: hello buy hundred tcs",), "Not discussed"),
        (IDENTIFIED, ("C: my name is ramesh",), "Yes"),
        (IDENTIFIED, ("A: may i have your client code", "C: buy hundred tcs"), "Cannot be determined"),
        (IDENTIFIED, ("C: मेरा नाम सुरेश है",), "Yes"),
        (ADVICE, ("A: sir i recommend titan today", "C: ok"), "Yes"),
        (ADVICE, ("C: what do you suggest", "A: i recommend titan sir"), "No"),
        (ASSURED, ("A: guaranteed profit sir in one week",), "Yes"),
        (ASSURED, ("A: sir we cannot guarantee any return",), "No"),
        (ASSURED, ("A: पक्का मुनाफा होगा सर",), "Yes"),
        (PRESSURE, ("A: this is the last chance sir dont miss it",), "Yes"),
        (PRESSURE, ("A: jaldi karo sir mauka nikal jayega",), "Yes"),
        (DISCRETION, ("C: whatever you think is right",), "Yes"),
        (DISCRETION, ("C: jo aapko theek lage le lo",), "Yes"),
        (THIRD_PARTY, ("C: it is for my wife account",), "Yes"),
        (COMPLAINT, ("C: i did not order that why did you buy it",), "Yes"),
        (COMPLAINT, ("C: मैंने नहीं बोला था",), "Yes"),
        (COMPLETE, ("C: buy hundred tcs",), "Cannot be determined"),
        (ORDERS, ("C: how is tcs doing",), "Not discussed"),
    ],
)
def test_a_question_is_answered_from_the_words(question: int, lines: tuple[str, ...], expected: str) -> None:
    assert verdict(question, *lines) == expected


def test_a_question_is_known_by_its_words_and_not_by_its_number() -> None:
    moved = [Question(100 + q.id, q.position, q.text, q.answer_type) for q in reversed(DEFAULT_QUESTIONS)]
    plain, renumbered = answers(call(*GOOD)), answers(call(*GOOD), questions=moved)
    assert {n: a.answer for n, a in plain.items()} == {n - 100: a.answer for n, a in renumbered.items()}
