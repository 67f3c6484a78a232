"""What a reaudit changed: each question's old answer beside the new one. Reads only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from cofi_dagster.adhoc.tasks import Task
from cofi_dagster.database import tables as t
from cofi_dagster.database.engine import reading

_CHUNK = 500
_SHOWN = ("answer", "confidence", "evidenceStatus", "model", "promptVersion", "createdAt")
_READ = ("callId", "questionId", "question", *_SHOWN)


@dataclass(frozen=True, slots=True)
class Change:
    """A question of a call before and after a task. ``old`` and ``new`` are rows of answers, or None where none was."""

    call_id: int
    batch_id: int
    file: str
    question_id: int
    question: str
    old: Mapping[str, Any] | None
    new: Mapping[str, Any] | None

    @property
    def agrees(self) -> bool:
        """Whether old and new answer are the same, but for case and surrounding blanks."""
        if self.old is None or self.new is None:
            return False
        return _said(self.old) == _said(self.new)


@dataclass(frozen=True, slots=True)
class Changes:
    """All changes of a task, and the share of the answers compared that agree (None where none has both)."""

    changes: list[Change] = field(default_factory=list)

    @property
    def compared(self) -> int:
        """How many questions have an old and a new answer."""
        return sum(change.old is not None and change.new is not None for change in self.changes)

    @property
    def agreed(self) -> int:
        """How many of them have the same answer."""
        return sum(change.agrees for change in self.changes)

    @property
    def agreement_rate(self) -> float | None:
        """Agreed by compared, from 0 to 1."""
        return self.agreed / self.compared if self.compared else None


def _said(row: Mapping[str, Any]) -> str:
    return str(row["answer"] or "").strip().casefold()


def changes_of(engine: sa.Engine, task: Task) -> Changes:
    """What the task replaced, beside what took its place; answers that came later are another task's."""
    return Changes([change for chunk in changes_by_chunk(engine, task) for change in chunk])


def changes_by_chunk(engine: sa.Engine, task: Task) -> Iterator[list[Change]]:
    """The same, some hundred calls at a time: a task may have 10,000 calls with twenty questions each."""
    mine, history, answer = t.audit_task_call, t.audit_answer_history, t.audit_answer
    with reading(engine) as connection:
        query = sa.select(mine.c.callId, mine.c.batchId, mine.c.audioName).where(mine.c.taskId == task.id)
        calls = {row.callId: row for row in connection.execute(query.order_by(mine.c.callId))}
        ids = list(calls)
        for start in range(0, len(ids), _CHUNK):
            chunk = ids[start : start + _CHUNK]
            old = sa.select(history.c.taskId, *(history.c[name] for name in _READ)).order_by(history.c.id)
            past = connection.execute(old.where(history.c.callId.in_(chunk))).mappings().all()
            current = sa.select(*(answer.c[name] for name in _READ)).where(answer.c.callId.in_(chunk))
            yield _pair(task.id, calls, past, connection.execute(current).mappings().all())


def _pair(
    task_id: str, calls: Mapping[int, Any], past: Sequence[Mapping[Any, Any]], now: Sequence[Mapping[Any, Any]]
) -> list[Change]:
    """Old: the first that the task replaced. New: what the next one replaced after the task's last, or what stands."""
    lines: dict[tuple[int, int], list[Mapping[Any, Any]]] = {}
    for row in [*past, *now]:
        lines.setdefault((row["callId"], row["questionId"]), []).append(row)
    replaced = {row["callId"] for row in past if row["taskId"] == task_id}
    changes = []
    for (call_id, question_id), line in sorted(lines.items()):
        if call_id not in replaced:
            continue
        places = [place for place, row in enumerate(line) if row.get("taskId") == task_id]
        if not places:
            continue
        old = line[places[0]]
        new = line[places[-1] + 1] if places[-1] + 1 < len(line) else None
        call = calls[call_id]
        question = str((new or old)["question"])
        changes.append(Change(call_id, call.batchId, call.audioName, question_id, question, _shown(old), _shown(new)))
    return changes


def _shown(row: Mapping[Any, Any] | None) -> dict[str, Any] | None:
    return None if row is None else {name: row[name] for name in _SHOWN}
