"""The chat-completions requests of LLM1 and LLM2, and their replies' schemas. Sending is the fleet's part.

The shape is OpenAI's ``POST /v1/chat/completions`` with ``response_format: json_schema``, nested, which vLLM,
llama.cpp and Ollama take too. In strict mode every property is required and nothing else is allowed, so that an
unknown value is ``null`` and no question can be left out or invented.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from cofi_dagster.audit import prompts
from cofi_dagster.audit.questionnaire import CHOICES, Question

LLM1_SCHEMA_NAME = "cofi_llm1"
LLM2_SCHEMA_NAME = "cofi_llm2"
_LLM1_MAX_TOKENS = 4096
_LLM2_TOKENS_PER_QUESTION = 200
_LLM2_BASE_TOKENS = 1024


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment of a transcript. ``index`` counts from 0; ``start`` and ``end`` are seconds into the call."""

    index: int
    speaker: str | None
    text: str
    start: float | None = None
    end: float | None = None


def _object(properties: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "type": "object",
        **more,
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def _evidence_schema() -> dict[str, Any]:
    item = _object({"segment": {"type": "integer", "minimum": 0}, "quote": {"type": "string"}})
    return {"type": "array", "items": item}


def llm1_schema() -> dict[str, Any]:
    """The JSON schema of LLM1's reply: the trades discussed. What is unknown is ``null``."""
    trade = _object(
        {
            "symbol": {"type": ["string", "null"]},
            "side": {"type": ["string", "null"], "enum": ["buy", "sell", None]},
            "quantity": {"type": ["number", "null"]},
            "price": {"type": ["number", "null"]},
            "price_type": {"type": ["string", "null"], "enum": ["market", "limit", None]},
            "evidence": _evidence_schema(),
        }
    )
    return _object({"conversations": {"type": "array", "items": trade}})


def _answer_schema(question: Question) -> dict[str, Any]:
    answer: dict[str, Any] = {"type": "string"}
    if question.answer_type in CHOICES:
        answer["enum"] = list(CHOICES[question.answer_type])
    return _object(
        {
            "answer": answer,
            "confidence": {"type": "number", "minimum": 0, "maximum": 1},
            "evidence": _evidence_schema(),
        },
        description=question.text,
    )


def llm2_schema(questions: Sequence[Question]) -> dict[str, Any]:
    """The JSON schema of LLM2's reply: one required property ``q<id>`` per question."""
    return _object({f"q{question.id}": _answer_schema(question) for question in questions})


def _transcript(segments: Sequence[Segment]) -> dict[str, Any]:
    return {"segments": [{"segment": s.index, "speaker": s.speaker, "text": s.text} for s in segments]}


@dataclass(frozen=True, slots=True)
class _Frame:
    """What is the same in the requests about many calls: made once, shared by all of them and never changed."""

    system: str
    response_format: dict[str, Any]
    tokens: int

    def request(self, model: str, user: Any) -> dict[str, Any]:
        return {
            "model": model,
            "messages": [
                {"role": "system", "content": self.system},
                {"role": "user", "content": orjson.dumps(user, default=str).decode()},
            ],
            "temperature": 0,
            "max_tokens": self.tokens,
            "response_format": self.response_format,
        }


def _strict(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": name, "strict": True, "schema": schema}}


@lru_cache(maxsize=1)
def _llm1_frame() -> _Frame:
    return _Frame(prompts.load("llm1").text, _strict(LLM1_SCHEMA_NAME, llm1_schema()), _LLM1_MAX_TOKENS)


@lru_cache(maxsize=64)
def _llm2_frame(questions: tuple[Question, ...]) -> _Frame:
    system = f"{prompts.load('llm2').text}\n\n{_questionnaire(questions)}"
    tokens = _LLM2_BASE_TOKENS + _LLM2_TOKENS_PER_QUESTION * len(questions)
    return _Frame(system, _strict(LLM2_SCHEMA_NAME, llm2_schema(questions)), tokens)


def _questionnaire(questions: Sequence[Question]) -> str:
    """The questions as the model reads them: most servers use the schema to constrain, and show it to no one."""
    lines = []
    for question in questions:
        choices = " | ".join(CHOICES.get(question.answer_type, ("free text",)))
        lines.append(f"- `q{question.id}` ({choices}): {question.text}")
    return "\n".join(["Questions", *lines])


def llm1_request(segments: Sequence[Segment], *, model: str) -> dict[str, Any]:
    """The request that asks LLM1 for the trades that a call discussed."""
    return _llm1_frame().request(model, _transcript(segments))


def llm2_request(
    segments: Sequence[Segment],
    questions: Sequence[Question],
    *,
    model: str,
    trades: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """The request that asks LLM2 for the answers to ``questions``.

    Args:
        segments: the call's transcript.
        questions: what to ask; at least one.
        model: the model's name at the server.
        trades: the executed trades that are mapped to the call, with the columns of ``tradeMetadata`` that matter
            (``orderId``, ``symbol``, ``side``, ``quantity``, ``price``, ``orderTime``) and the call's ``callStart``.

    Raises:
        ValueError: there is no question to ask.
    """
    if not questions:
        raise ValueError("there is no question to ask: the questionnaire is empty")
    user = _transcript(segments)
    if trades:
        user["trades"] = [dict(trade) for trade in trades]
    return _llm2_frame(tuple(questions)).request(model, user)
