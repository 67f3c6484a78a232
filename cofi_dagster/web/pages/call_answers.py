"""The answers of a call's questionnaire as its page shows them, and the questions that have none. Reads only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from cofi_dagster.audit.evidence import NONE
from cofi_dagster.database import tables as t
from cofi_dagster.pipeline.batches import Batch
from cofi_dagster.web.pages.call_transcript import Quote, Transcript


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. ``position`` is the question's place in its questionnaire; ``confidence`` from 0 to 100."""

    question_id: int
    position: int
    question: str
    answer: str
    confidence: float | None
    state: str
    quotes: Sequence[Quote]
    model: str | None
    prompt_version: str | None
    created_at: datetime | None

    @property
    def key(self) -> str:
        """What the address of the page and the marks in the transcript name it by."""
        return f"q{self.question_id}"


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers in the order of the questionnaire, and the places in it of the questions without one."""

    answers: Sequence[Answer]
    missing: Sequence[int]

    @property
    def states(self) -> Mapping[str, int]:
        """How many answers have each state of evidence."""
        found: dict[str, int] = {}
        for one in self.answers:
            found[one.state] = found.get(one.state, 0) + 1
        return found

    @property
    def without(self) -> str:
        """The questions without an answer, as a person lists them: ``2, 4 to 20``."""
        runs: list[list[int]] = []
        for place in self.missing:
            if runs and runs[-1][-1] == place - 1:
                runs[-1].append(place)
            else:
                runs.append([place])
        return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs)


def answers(connection: sa.Connection, call_id: int, batch: Batch, transcript: Transcript) -> Answers:
    """The answers of a call; their quotes are marked in the transcript."""
    asked = t.audit_question.c
    query = sa.select(asked.id, asked.position).where(
        asked.processId == batch.process_id, asked.categoryMappingId == batch.category_mapping_id
    )
    questions = {row.id: row for row in connection.execute(query.order_by(asked.position))}
    given = sa.select(t.audit_answer).where(t.audit_answer.c.callId == call_id)
    rows = {row.questionId: row for row in connection.execute(given)}
    places = {number: questions[number].position if number in questions else number for number in rows}
    found = [_answer(rows[number], places[number], transcript) for number in sorted(rows, key=lambda n: (places[n], n))]
    return Answers(found, [row.position for row in questions.values() if row.id not in rows])


def _answer(row: Any, position: int, transcript: Transcript) -> Answer:
    return Answer(
        question_id=row.questionId,
        position=position,
        question=row.question or "",
        answer=row.answer or "",
        confidence=None if row.confidence is None else 100 * row.confidence,
        state=row.evidenceStatus or NONE,
        quotes=transcript.quotes(row.evidence, f"q{row.questionId}"),
        model=row.model,
        prompt_version=row.promptVersion,
        created_at=row.createdAt,
    )
