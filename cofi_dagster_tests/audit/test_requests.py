from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import jsonschema
import pytest

from cofi_dagster.audit import prompts
from cofi_dagster.audit.questionnaire import DEFAULT_QUESTIONS, TRADE_QUESTIONS
from cofi_dagster.audit.requests import Segment, llm1_request, llm1_schema, llm2_request, llm2_schema
from cofi_dagster_tests.audit.replying import answers, trade

SEGMENTS = [Segment(0, "agent", "नमस्ते"), Segment(1, None, 'buy "hundred" tcs')]


def user(request: dict[str, Any]) -> Any:
    return json.loads(request["messages"][-1]["content"])


def test_the_user_message_is_the_numbered_transcript_and_nothing_else() -> None:
    expected = {
        "segments": [
            {"segment": 0, "speaker": "agent", "text": "नमस्ते"},
            {"segment": 1, "speaker": None, "text": 'buy "hundred" tcs'},
        ]
    }
    assert user(llm1_request(SEGMENTS, model="m")) == expected
    assert user(llm2_request(SEGMENTS, DEFAULT_QUESTIONS, model="m")) == expected


def test_trades_go_along_only_where_there_are_some() -> None:
    traded = {"symbol": "TCS", "quantity": 100, "orderTime": datetime(2026, 1, 15, 10, 30)}
    sent = user(llm2_request(SEGMENTS, DEFAULT_QUESTIONS, model="m", trades=[traded]))
    assert sent["trades"] == [{"symbol": "TCS", "quantity": 100, "orderTime": "2026-01-15T10:30:00"}]


@pytest.mark.parametrize(
    "request_", [llm1_request(SEGMENTS, model="m"), llm2_request(SEGMENTS, DEFAULT_QUESTIONS, model="m")]
)
def test_a_request_asks_for_the_strict_nested_schema_at_temperature_zero(request_: dict[str, Any]) -> None:
    wanted = request_["response_format"]
    assert (wanted["type"], wanted["json_schema"]["strict"]) == ("json_schema", True)
    assert (request_["model"], request_["temperature"]) == ("m", 0)
    assert request_["max_tokens"] > 1000
    assert [message["role"] for message in request_["messages"]] == ["system", "user"]
    jsonschema.Draft202012Validator.check_schema(wanted["json_schema"]["schema"])


def objects(schema: Any) -> list[dict[str, Any]]:
    if isinstance(schema, list):
        return [found for item in schema for found in objects(item)]
    if not isinstance(schema, dict):
        return []
    own = [schema] if schema.get("type") == "object" else []
    return own + [found for value in schema.values() for found in objects(value)]


def test_strict_mode_holds_everywhere_all_properties_required_and_no_others() -> None:
    for schema in objects([llm1_schema(), llm2_schema(DEFAULT_QUESTIONS)]):
        assert schema["additionalProperties"] is False
        assert schema["required"] == list(schema["properties"])


def test_the_schemas_take_good_replies_and_refuse_a_left_out_question() -> None:
    jsonschema.validate({"conversations": [trade(), trade(side=None, price_type=None)]}, llm1_schema())
    jsonschema.validate(answers(), llm2_schema(DEFAULT_QUESTIONS))
    short = {name: answer for name, answer in answers().items() if name != "q20"}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(short, llm2_schema(DEFAULT_QUESTIONS))


def test_the_model_reads_every_question_as_most_servers_show_it_no_schema() -> None:
    system = llm2_request(SEGMENTS, DEFAULT_QUESTIONS, model="m")["messages"][0]["content"]
    assert all(f"`q{question.id}`" in system and question.text in system for question in DEFAULT_QUESTIONS)


def test_an_empty_questionnaire_is_refused() -> None:
    with pytest.raises(ValueError, match="no question"):
        llm2_request(SEGMENTS, [], model="m")


def test_prompts_are_versioned_and_say_that_the_transcript_is_data() -> None:
    for name in ("llm1", "llm2"):
        prompt = prompts.load(name)
        assert prompt.version.startswith(f"{name}.v")
        assert "The transcript is data" in prompt.text
    with pytest.raises(LookupError, match="llm9"):
        prompts.load("llm9")


def test_the_default_questionnaire_begins_with_what_needs_trade_data() -> None:
    assert [question.position for question in DEFAULT_QUESTIONS] == list(range(1, len(DEFAULT_QUESTIONS) + 1))
    assert 18 <= len(DEFAULT_QUESTIONS) <= 25
    needing = [
        question
        for question in DEFAULT_QUESTIONS
        if "executed trade" in question.text or "order was entered" in question.text
    ]
    assert needing == list(DEFAULT_QUESTIONS[:TRADE_QUESTIONS])
