"""The front of the rules: an OpenAI chat-completions request in, a reply out. The rules themselves are elsewhere.

What is asked is known by the response schema: LLM1's has ``conversations``, LLM2's one property ``q<id>`` a question.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from cofi_dagster.audit.questionnaire import CANNOT_BE_DETERMINED, NOT_DISCUSSED
from cofi_dagster.node.rules.answers import UNKNOWN_QUESTION, Case, Finding, answer
from cofi_dagster.node.rules.extract import Order, Place, read_talk

MODEL = "cofi-rules-1"
_QUESTION_NAME = re.compile(r"q\d+")
_QUESTION_LINE = re.compile(r"^- `(q\d+)` \([^)]*\): (.+)$", re.MULTILINE)
_STAND_INS = (CANNOT_BE_DETERMINED, NOT_DISCUSSED)


def _messages(body: Mapping[str, Any], role: str) -> list[str]:
    messages = body.get("messages")
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise ValueError("messages is not an array of objects")
    return [m["content"] for m in messages if m.get("role") == role and isinstance(m.get("content"), str)]


def _properties(body: Mapping[str, Any]) -> dict[str, Any]:
    """The properties of the schema that the reply must match."""
    value: Any = body
    for name in ("response_format", "json_schema", "schema", "properties"):
        value = value.get(name) if isinstance(value, dict) else None
    if not isinstance(value, dict) or not value:
        raise ValueError(
            "response_format.json_schema.schema.properties is missing: the rules answer COFI's schemas only"
        )
    return value


def _transcript(body: Mapping[str, Any]) -> dict[str, Any]:
    users = _messages(body, "user")
    if not users:
        raise ValueError("there is no user message with text")
    try:
        value = orjson.loads(users[-1])
    except orjson.JSONDecodeError as error:
        raise ValueError(f"the user message is not JSON: {error}") from None
    segments = value.get("segments") if isinstance(value, dict) else None
    if not isinstance(segments, list):
        raise ValueError('the user message holds no {"segments": [...]}')
    for place, segment in enumerate(segments):
        if not (
            isinstance(segment, dict) and type(segment.get("segment")) is int and isinstance(segment.get("text"), str)
        ):
            raise ValueError(f"segments[{place}] lacks a segment number or a text")
    trades = value.get("trades", [])
    if not isinstance(trades, list) or not all(isinstance(trade, dict) for trade in trades):
        raise ValueError("trades is not an array of objects")
    return {"segments": segments, "trades": trades}


def _evidence(places: Iterable[Place]) -> list[dict[str, Any]]:
    return [{"segment": place.segment, "quote": place.quote} for place in places]


def _conversation(order: Order) -> dict[str, Any]:
    return {
        "symbol": order.symbol,
        "side": order.side,
        "quantity": order.quantity,
        "price": order.price,
        "price_type": order.price_type,
        "evidence": _evidence(order.places),
    }


def _fit(finding: Finding, schema: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The answer as the question's schema allows it: one of its choices, where it has choices."""
    text = finding.answer
    answer_schema = schema.get("properties", {}).get("answer", {})
    choices = answer_schema.get("enum")
    if choices is not None and text not in choices:
        stand_in = next((choice for choice in (UNKNOWN_QUESTION, *_STAND_INS) if choice in choices), None)
        if stand_in is None:
            raise ValueError(f"{name}: none of its choices says that the rules do not know")
        return {"answer": stand_in, "confidence": 0.0, "evidence": []}
    return {"answer": text, "confidence": finding.confidence, "evidence": _evidence(finding.places)}


def _content(body: Mapping[str, Any]) -> dict[str, Any]:
    properties = _properties(body)
    if not (set(properties) == {"conversations"} or all(_QUESTION_NAME.fullmatch(name) for name in properties)):
        raise ValueError(f"the schema is neither LLM1's nor LLM2's: {', '.join(sorted(properties)[:5])}")
    user = _transcript(body)
    talk = read_talk(user["segments"])
    if "conversations" in properties:
        return {"conversations": [_conversation(order) for order in talk.given]}
    case = Case(talk, user["trades"])
    listed = dict(_QUESTION_LINE.findall("\n".join(_messages(body, "system"))))
    content = {}
    for name, schema in properties.items():
        if not isinstance(schema, dict):
            raise ValueError(f"{name} has no schema")
        question = schema.get("description") or listed.get(name, "")
        content[name] = _fit(answer(str(question), case), schema, name)
    return content


def complete(body: Mapping[str, Any]) -> dict[str, Any]:
    """Answer a chat-completions request by rules.

    Args:
        body: the decoded request: LLM1's or LLM2's, see :mod:`cofi_dagster.audit.requests`.

    Returns:
        The reply in OpenAI's shape. ``model`` says that it is rules; ``usage`` counts words.

    Raises:
        ValueError: the body is none that the rules can serve; the message is one sentence.
    """
    content = orjson.dumps(_content(body)).decode()
    asked = sum(len(text.split()) for role in ("system", "user") for text in _messages(body, role))
    answered = len(content.split())
    return {
        "id": f"chatcmpl-{hashlib.sha256(content.encode()).hexdigest()[:24]}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": MODEL,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": content},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": asked, "completion_tokens": answered, "total_tokens": asked + answered},
    }
