from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cofi_dagster.audit.questionnaire import DEFAULT_QUESTIONS, YES_NO, Question
from cofi_dagster.audit.replies import BadReply, parse_llm1, parse_llm2
from cofi_dagster_tests.audit.replying import answers, body, trade


def conversations(*trades: Any) -> dict[str, Any]:
    return body({"conversations": list(trades)})


def test_a_good_reply_of_llm1_becomes_conversations_with_model_and_usage() -> None:
    reply = parse_llm1(
        conversations(trade(), trade(symbol=None, side=None, quantity=None, price=12.5, price_type=None))
    )
    first, second = reply.conversations
    assert (reply.model, reply.usage["prompt_tokens"]) == ("m-1", 7)
    assert (first.symbol, first.side, first.quantity, first.price, first.price_type) == (
        "TCS",
        "buy",
        100.0,
        None,
        "market",
    )
    assert (second.symbol, second.side, second.quantity, second.price) == (None, None, None, 12.5)
    assert first.evidence == [{"segment": 0, "quote": "buy hundred tcs"}]


def test_a_call_without_trades_is_an_empty_list_and_no_failure() -> None:
    assert parse_llm1(conversations()).conversations == []


@pytest.mark.parametrize(
    ("side", "normal"), [("BUY", "buy"), ("Sell", "sell"), ("b", "buy"), (" S ", "sell"), (None, None)]
)
def test_sides_are_normalised(side: str | None, normal: str | None) -> None:
    assert parse_llm1(conversations(trade(side=side))).conversations[0].side == normal


@pytest.mark.parametrize(("written", "value"), [("7,48,800", 748800.0), ("12.5", 12.5), (3, 3.0), (0, None)])
def test_quantities_become_numbers(written: object, value: float | None) -> None:
    assert parse_llm1(conversations(trade(quantity=written))).conversations[0].quantity == value


def test_a_code_fence_and_a_models_thoughts_are_tolerated() -> None:
    text = json.dumps({"conversations": [trade()]})
    for wrapped in (f"```json\n{text}\n```", f"<think>hm {{}}</think>\n{text}", f"<think>a</think>```\n{text}\n```"):
        assert parse_llm1(body(wrapped)).conversations[0].symbol == "TCS"


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ([], "not an object"),
        ({}, "no choices"),
        ({"error": {"message": "model not found"}}, "model not found"),
        ({"choices": []}, "no choices"),
        ({"choices": [{"finish_reason": "stop"}]}, "message is missing"),
        (body('{"conversations": ['), "not JSON"),
        (body('{"conversations": []}', finish_reason="length"), "max_tokens"),
        (body('{"conversations": []}', finish_reason="content_filter"), "content_filter"),
        (body("[]"), "not an object"),
        (body(""), "empty"),
        (body("<think>on and on"), "never closed"),
        (body({"trades": []}), "lacks conversations"),
        (body({"conversations": {}}), "not an array"),
        (conversations("TCS"), "conversations[0] is not an object"),
        (conversations(trade(side="hold")), "conversations[0].side"),
        (conversations(trade(), trade(quantity="many")), "conversations[1].quantity"),
        (conversations(trade(quantity=True)), "quantity"),
        (conversations(trade(quantity=-5)), "quantity"),
        (conversations(trade(price="1e999")), "price"),
        (conversations(trade(symbol=7)), "symbol"),
        (conversations(trade(note="x")), "has unknown note"),
        (conversations({"symbol": "TCS"}), "lacks evidence"),
        (conversations(trade(evidence=None)), "evidence is not an array"),
        (conversations(trade(evidence=[{"segment": 0}])), "evidence[0] lacks quote"),
        (conversations(trade(evidence=[{"segment": "0", "quote": "a"}])), "segment"),
        (conversations(trade(evidence=[{"segment": 0, "quote": None}])), "quote"),
    ],
)
def test_a_bad_reply_of_llm1_says_what_is_wrong_and_where(reply: Any, reason: str) -> None:
    with pytest.raises(BadReply, match=re.escape(reason)):
        parse_llm1(reply)


def test_every_question_gets_its_answer_in_the_order_of_the_questions() -> None:
    reply = parse_llm2(body(answers()), DEFAULT_QUESTIONS)
    assert [answer.question for answer in reply.answers] == list(DEFAULT_QUESTIONS)
    assert all(answer.confidence == 0.5 and answer.evidence for answer in reply.answers)


def one(**changes: Any) -> dict[str, Any]:
    return {"answer": "Yes", "confidence": 1, "evidence": [], **changes}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({k: v for k, v in answers().items() if k != "q7"}, "lacks q7"),
        (answers(q99=one()), "has unknown q99"),
        (answers(q4=one(answer=" ")), "q4.answer"),
        (answers(q4=one(answer=True)), "q4.answer"),
        (answers(q4=one(confidence=1.5)), "q4.confidence"),
        (answers(q4=one(confidence="high")), "q4.confidence"),
        (answers(q4={"answer": "Yes", "confidence": 1}), "q4 lacks evidence"),
        (answers(q4="Yes"), "q4 is not an object"),
    ],
)
def test_a_bad_reply_of_llm2_is_never_an_answer(content: Any, reason: str) -> None:
    with pytest.raises(BadReply, match=re.escape(reason)):
        parse_llm2(body(content), DEFAULT_QUESTIONS)


def test_an_answer_in_other_words_than_the_choices_is_kept_in_its_own_words() -> None:
    reply = parse_llm2(body(answers(q4=one(answer="Yes, by his client code"))), DEFAULT_QUESTIONS)
    assert reply.answers[3].answer == "Yes, by his client code"


def test_a_choice_is_known_whatever_its_case() -> None:
    question = Question(5, 1, "?", YES_NO)
    assert parse_llm2(body({"q5": one(answer="not discussed.")}), [question]).answers[0].answer == "Not discussed"


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@settings(max_examples=100, deadline=None)
@given(JSON.filter(lambda content: content != []))
def test_arbitrary_content_is_refused_and_fails_in_no_other_way(content: Any) -> None:
    for shape in (content, {"conversations": {"a": content}}, {"conversations": [trade(evidence=content)]}):
        with pytest.raises(BadReply, match=r"\w"):
            parse_llm1(body(shape))


def test_a_reply_of_25_answers_is_read_in_well_under_a_millisecond() -> None:
    questions = [Question(n, n, "?", YES_NO) for n in range(1, 26)]
    reply = body({f"q{n}": one(evidence=[{"segment": 1, "quote": "yes"}] * 2) for n in range(1, 26)})
    parse_llm2(reply, questions)
    started = time.process_time()
    for _ in range(200):
        parse_llm2(reply, questions)
    assert (time.process_time() - started) / 200 < 0.001
