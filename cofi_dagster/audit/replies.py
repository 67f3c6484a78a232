"""Reading the replies of LLM1 and LLM2: the chat-completions body in, checked values out. Nothing is stored here.

A failure is never an answer: whatever is cut off, malformed or outside the schema raises :class:`BadReply`, whose
message says where. The checks are written out by hand, as thousands of replies of some 25 answers pass through them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from cofi_dagster.audit.questionnaire import CHOICES, Question

_FENCE = re.compile(r"\s*```(?:json)?\s*(.*?)\s*```\s*", re.DOTALL | re.IGNORECASE)
_SIDES = {
    "buy": "buy",
    "b": "buy",
    "bought": "buy",
    "purchase": "buy",
    "sell": "sell",
    "s": "sell",
    "sold": "sell",
    "sale": "sell",
}
_PRICE_TYPES = {"market": "market", "at market": "market", "mkt": "market", "limit": "limit"}
_CHOICES = {answer_type: {choice.casefold(): choice for choice in choices} for answer_type, choices in CHOICES.items()}
_TRADE_KEYS = frozenset({"symbol", "side", "quantity", "price", "price_type", "evidence"})
_ANSWER_KEYS = frozenset({"answer", "confidence", "evidence"})
_EVIDENCE_KEYS = frozenset({"segment", "quote"})

Evidence = list[dict[str, Any]]


class BadReply(ValueError):
    """A reply that is not the shape that was asked for. The message says what is wrong, and where."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """A trade that the call discussed. ``price`` is rupees a share; ``None`` is what was not said."""

    symbol: str | None
    side: str | None
    quantity: float | None
    price: float | None
    price_type: str | None
    evidence: Evidence = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one question. ``confidence`` is 0 to 1."""

    question: Question
    answer: str
    confidence: float
    evidence: Evidence = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Llm1Reply:
    """What LLM1 said, and which model said it at what cost."""

    model: str
    usage: dict[str, Any]
    conversations: list[Conversation]


@dataclass(frozen=True, slots=True)
class Llm2Reply:
    """What LLM2 said, in the order of the questions, and which model said it at what cost."""

    model: str
    usage: dict[str, Any]
    answers: list[Answer]


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _content(body: Any) -> str:
    """The text of the first choice.

    Raises:
        BadReply: there is none, or it was cut off.
    """
    if not isinstance(body, dict):
        raise BadReply(f"the reply is not an object: {_short(body)}")
    choices = body.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        error = body.get("error")
        raise BadReply(f"the reply has no choices{f': {_short(error)}' if error else ''}")
    reason = choices[0].get("finish_reason")
    if reason not in ("stop", "eos", None):
        meaning = " (cut off at max_tokens)" if reason == "length" else ""
        raise BadReply(f"choices[0].finish_reason is {_short(reason)}{meaning}")
    message = choices[0].get("message")
    if not isinstance(message, dict):
        raise BadReply("choices[0].message is missing")
    content = message.get("content")
    if not isinstance(content, str) or not content.strip():
        refusal = message.get("refusal")
        raise BadReply(f"choices[0].message.content is empty{f': refused: {_short(refusal)}' if refusal else ''}")
    return content


def _json(content: str) -> dict[str, Any]:
    """The object in the content, past a reasoning model's thoughts and out of its code fence."""
    text = content
    if text.lstrip().startswith("<think>"):
        _, closed, text = text.partition("</think>")
        if not closed:
            raise BadReply("content: <think> is never closed")
    fenced = _FENCE.fullmatch(text)
    if fenced:
        text = fenced[1]
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadReply(f"content is not JSON: {error}: {_short(text)}") from None
    if not isinstance(value, dict):
        raise BadReply(f"content is not an object: {_short(value)}")
    return value


def _check_keys(value: Any, keys: frozenset[str], where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadReply(f"{where} is not an object: {_short(value)}")
    if value.keys() != keys:
        missing, unknown = sorted(keys - value.keys()), sorted(map(str, value.keys() - keys))
        raise BadReply(
            "; ".join(
                f"{where} {what} {', '.join(names)}"
                for what, names in (("lacks", missing), ("has unknown", unknown))
                if names
            )
        )
    return value


def _evidence(value: Any, where: str) -> Evidence:
    if not isinstance(value, list):
        raise BadReply(f"{where}.evidence is not an array: {_short(value)}")
    for place, item in enumerate(value):
        if not isinstance(item, dict) or item.keys() != _EVIDENCE_KEYS:
            _check_keys(item, _EVIDENCE_KEYS, f"{where}.evidence[{place}]")
        if type(item["segment"]) is not int or item["segment"] < 0:
            raise BadReply(f"{where}.evidence[{place}].segment is no segment number: {_short(item['segment'])}")
        if not isinstance(item["quote"], str):
            raise BadReply(f"{where}.evidence[{place}].quote is not a string: {_short(item['quote'])}")
    return value


def _number(value: Any, where: str) -> float | None:
    """A quantity or price: a positive number, also where a server without strict mode writes it as ``"7,48,800"``."""
    if value is None:
        return None
    number: Any = value
    if isinstance(value, str):
        try:
            number = float(value.replace(",", ""))
        except ValueError:
            number = None
    if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number) or number < 0:
        raise BadReply(f"{where} is no amount: {_short(value)}")
    return float(number) or None


def _word(value: Any, known: dict[str, str], where: str) -> str | None:
    if value is None:
        return None
    word = known.get(value.strip().casefold()) if isinstance(value, str) else None
    if word is None:
        raise BadReply(f"{where} is none of {', '.join(sorted(set(known.values())))}: {_short(value)}")
    return word


def _conversation(value: Any, where: str) -> Conversation:
    trade = _check_keys(value, _TRADE_KEYS, where)
    symbol = trade["symbol"]
    if symbol is not None and not isinstance(symbol, str):
        raise BadReply(f"{where}.symbol is not a string: {_short(symbol)}")
    return Conversation(
        symbol=(symbol.strip() or None) if symbol else None,
        side=_word(trade["side"], _SIDES, f"{where}.side"),
        quantity=_number(trade["quantity"], f"{where}.quantity"),
        price=_number(trade["price"], f"{where}.price"),
        price_type=_word(trade["price_type"], _PRICE_TYPES, f"{where}.price_type"),
        evidence=_evidence(trade["evidence"], where),
    )


def _source(body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    model, usage = body.get("model"), body.get("usage")
    return (model if isinstance(model, str) and model else "unknown"), (usage if isinstance(usage, dict) else {})


def parse_llm1(body: dict[str, Any]) -> Llm1Reply:
    """The trades that LLM1 found.

    Args:
        body: the decoded body of the chat-completions reply.

    Raises:
        BadReply: the reply is cut off, is no JSON, or does not match LLM1's schema.
    """
    trades = _check_keys(_json(_content(body)), frozenset({"conversations"}), "content")["conversations"]
    if not isinstance(trades, list):
        raise BadReply(f"conversations is not an array: {_short(trades)}")
    conversations = [_conversation(trade, f"conversations[{place}]") for place, trade in enumerate(trades)]
    return Llm1Reply(*_source(body), conversations)


def _answer(value: Any, question: Question, where: str) -> Answer:
    if not isinstance(value, dict) or value.keys() != _ANSWER_KEYS:
        _check_keys(value, _ANSWER_KEYS, where)
    answer, confidence = value["answer"], value["confidence"]
    if not isinstance(answer, str) or not answer.strip():
        raise BadReply(f"{where}.answer is no text: {_short(answer)}")
    answer = answer.strip()
    choices = _CHOICES.get(question.answer_type)
    if choices is not None:
        answer = choices.get(answer.rstrip(".").casefold(), answer)
    if isinstance(confidence, bool) or not isinstance(confidence, int | float) or not 0 <= confidence <= 1:
        raise BadReply(f"{where}.confidence is not a number from 0 to 1: {_short(confidence)}")
    return Answer(question, answer, float(confidence), _evidence(value["evidence"], where))


def parse_llm2(body: dict[str, Any], questions: Sequence[Question]) -> Llm2Reply:
    """LLM2's answers, one for every question that was asked.

    Args:
        body: the decoded body of the chat-completions reply.
        questions: the questions that were asked.

    Raises:
        BadReply: the reply is cut off, is no JSON, lacks a question's answer, has one that was not asked for, or
            does not match LLM2's schema.
    """
    names = {f"q{question.id}": question for question in questions}
    content = _check_keys(_json(_content(body)), frozenset(names), "content")
    answers = [_answer(content[name], question, name) for name, question in names.items()]
    return Llm2Reply(*_source(body), answers)
