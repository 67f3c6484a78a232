"""What a call's answers and transcript were before: each replacement with when, by which task, and what changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from cofi_dagster.database import tables as t
from cofi_dagster.web.pages.call_transcript import Segment, segment_of

_TOGETHER_SECONDS = 5
"""Rows that no task replaced belong together where a moment lies between them: a server's clock goes on meanwhile."""


@dataclass(frozen=True, slots=True)
class Was:
    """An answer that was replaced, and what came after it; None: nothing did."""

    question: str
    old: str
    new: str | None

    @property
    def is_same(self) -> bool:
        """Whether the next answer was the same, but for case and surrounding blanks."""
        return self.new is not None and self.old.strip().casefold() == self.new.strip().casefold()


@dataclass(slots=True)
class Replacement:
    """What a task replaced, and from when on; ``task_id`` None: the batch's own run did it, not a reaudit."""

    at: datetime | None
    task_id: str | None
    answers: list[Was] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)
    changed_segments: int = 0

    @property
    def changed(self) -> list[Was]:
        """The answers that became others."""
        return [was for was in self.answers if not was.is_same]


def history(connection: sa.Connection, call_id: int, script: str | None, now: Sequence[Segment]) -> list[Replacement]:
    """All replacements of a call's answers and transcript, newest first; ``now`` is the transcript that stands."""
    answers = _answers(connection, call_id)
    table = t.transcript_history
    query = sa.select(table).where(table.c.callId == call_id).order_by(table.c.id)
    said = connection.execute(query).all()
    found: list[Replacement] = []
    for row, was in answers:
        _at(found, row).answers.append(was)
    for row in said:
        _at(found, row).segments.append(segment_of(row, script))
    found.sort(key=lambda one: one.at or datetime.min, reverse=True)
    after = list(now)
    for one in found:
        if one.segments:
            one.changed_segments = _differing(one.segments, after)
            after = one.segments
    return found


def _at(found: list[Replacement], row: Any) -> Replacement:
    """The replacement that a row of a history belongs to."""
    for one in found:
        if one.task_id == row.taskId and (row.taskId is not None or _together(one.at, row.replacedAt)):
            return one
    found.append(Replacement(row.replacedAt, row.taskId))
    return found[-1]


def _together(one: datetime | None, other: datetime | None) -> bool:
    if one is None or other is None:
        return one is other
    return abs((one - other).total_seconds()) < _TOGETHER_SECONDS


def _answers(connection: sa.Connection, call_id: int) -> list[tuple[Any, Was]]:
    """Each replaced answer with the next one to its question."""
    past, now = t.audit_answer_history, t.audit_answer
    query = sa.select(past).where(past.c.callId == call_id).order_by(past.c.questionId, past.c.id)
    rows = connection.execute(query).all()
    stands = sa.select(now.c.questionId, now.c.answer).where(now.c.callId == call_id)
    current = {row.questionId: row.answer or "" for row in connection.execute(stands)}
    found = []
    for place, row in enumerate(rows):
        follows = rows[place + 1] if place + 1 < len(rows) else None
        is_next = follows is not None and follows.questionId == row.questionId
        new = (follows.answer or "") if is_next and follows is not None else current.get(row.questionId)
        found.append((row, Was(row.question or "", row.answer or "", new)))
    return found


def _differing(old: Sequence[Segment], new: Sequence[Segment]) -> int:
    """How many segments are not the same in both, by their place."""
    same = sum(one.text == other.text for one, other in zip(old, new, strict=False))
    return max(len(old), len(new)) - same
