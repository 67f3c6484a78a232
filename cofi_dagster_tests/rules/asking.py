"""Asks the rules as the pipeline does: through the requests and the reply parsers. No test is here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from cofi_dagster.audit.questionnaire import DEFAULT_QUESTIONS, Question
from cofi_dagster.audit.replies import Answer, Conversation, parse_llm1, parse_llm2
from cofi_dagster.audit.requests import Segment, llm1_request, llm2_request
from cofi_dagster.node.rules import complete

SPEAKERS = {"A": "agent", "C": "client", "?": None}


def call(*lines: str) -> list[Segment]:
    """Segments of lines such as ``C: buy hundred tcs``."""
    parts = [line.split(": ", 1) for line in lines]
    return [Segment(index, SPEAKERS[speaker], text) for index, (speaker, text) in enumerate(parts)]


def orders(segments: Sequence[Segment]) -> list[Conversation]:
    return parse_llm1(complete(llm1_request(segments, model="rules"))).conversations


def answers(
    segments: Sequence[Segment],
    *,
    trades: Sequence[Mapping[str, Any]] = (),
    questions: Sequence[Question] = DEFAULT_QUESTIONS,
) -> dict[int, Answer]:
    reply = parse_llm2(complete(llm2_request(segments, questions, model="rules", trades=trades)), questions)
    return {answer.question.id: answer for answer in reply.answers}


def content(reply: Mapping[str, Any]) -> Any:
    return json.loads(reply["choices"][0]["message"]["content"])
