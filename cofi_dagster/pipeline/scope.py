"""What a reaudit names: certain calls of a batch, for certain stages; and what each of its calls came to.

A stage in a scope does exactly the scope's calls, whatever their status. What becomes of a call is written in the same
transaction as its results. Who makes a scope, and when, is the ad-hoc tasks' part.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from cofi_dagster.database import tables as t
from cofi_dagster.pipeline.status import CallStatus
from cofi_dagster.pipeline.work import Outcome, State
from cofi_dagster.settings import Settings
from cofi_dagster.stages import BY_NAME, DONE_FLAGS, Stage

STATUS_BEFORE: dict[str, CallStatus] = {
    "lid": CallStatus.PENDING,
    "stt": CallStatus.PENDING,
    "llm1": CallStatus.TRANSCRIPT_DONE,
    "llm2": CallStatus.AUDIT_DONE,
}
"""``call.status`` of a call that a stage is to do (seed 002, reaudit, step 4)."""

UNKNOWN_LANGUAGE = "unknown"
"""``call.lang`` before language identification."""


class CallState(StrEnum):
    """Words of ``auditTaskCall.status``: how far a task is with one of its calls."""

    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    SKIPPED = "skipped"
    FAILED = "failed"


OPEN_STATES = (CallState.QUEUED, CallState.PROCESSING)


@dataclass(frozen=True, slots=True)
class Scope:
    """The calls of a batch that a stage of a reaudit does.

    Attributes:
        task_id: the task, which the history of what it replaces names.
        stages: the stages that the task does, in pipeline order.
        before: ``call.status`` before the task, by the id of each call of the scope.
    """

    task_id: str
    stages: tuple[str, ...]
    before: Mapping[int, str]

    @property
    def calls(self) -> Collection[int]:
        """The ids of the scope's calls."""
        return self.before.keys()

    def is_last(self, stage: Stage) -> bool:
        """Whether the task is through with a call after this stage."""
        return self.stages[-1] == stage.name

    def lacks_language(self, language: str) -> bool:
        """Whether nobody has identified the language of a call, and the task does not either."""
        return language == UNKNOWN_LANGUAGE and "lid" not in self.stages


def excluded_by(settings: Settings, language: str, duration: float) -> CallStatus | None:
    """The status of a call that is not transcribed, by its language and its length in seconds; None for any other."""
    if duration < settings.min_call_seconds:
        return CallStatus.SHORT_CALL
    return None if language in settings.languages else CallStatus.UNSUPPORTED_LANGUAGE


def record(connection: sa.Connection, scope: Scope, stage: Stage, group: Sequence[Outcome]) -> None:
    """Write how far the task is with the calls of a group of outcomes; a call whose redoing failed is restored."""
    for outcome in group:
        values = _values(scope, stage, outcome)
        update_calls(connection, scope.task_id, [outcome.work.call_id], values)
    restore(connection, scope.task_id, [o.work.call_id for o in group if o.state is State.FAILED])


def _values(scope: Scope, stage: Stage, outcome: Outcome) -> dict[str, Any]:
    if outcome.state is State.FAILED:
        return {"status": CallState.FAILED, "error": f"{stage.name}: {outcome.error}"}
    status = outcome.call.get("status")
    if outcome.state is State.SKIPPED or status == CallStatus.NO_SPEECH:
        return {"status": CallState.SKIPPED, "stageDone": stage.name, "error": str(status), "statusBefore": None}
    state = CallState.COMPLETED if scope.is_last(stage) else CallState.PROCESSING
    return {"status": state, "stageDone": stage.name, "error": None, **_replaced(stage)}


def _replaced(stage: Stage) -> dict[str, Any]:
    """Once a stage has replaced something, what the call was before is no more: there is nothing to go back to."""
    return {} if stage.name == "lid" else {"statusBefore": None}


def update_calls(connection: sa.Connection, task_id: str, call_ids: Iterable[int], values: Mapping[str, Any]) -> None:
    """Set columns of a task's calls."""
    mine = t.audit_task_call
    chosen = (mine.c.taskId == task_id) & mine.c.callId.in_(list(call_ids))
    connection.execute(mine.update().where(chosen).values(dict(values)))


def reset(connection: sa.Connection, calls: Collection[int], stages: Sequence[str]) -> None:
    """Make calls ready for the stages that are left: ``call.status`` and the done flags (seed 002, steps 4 and 5)."""
    chosen = sa.select(t.call.c.batchId, t.call.c.audioName, t.call.c.id).where(t.call.c.id.in_(list(calls)))
    files = t.file_distribution
    flags = {BY_NAME[name].done_flag: 0 for name in stages}
    for row in connection.execute(chosen).all():
        mine = files.update().where(files.c.batchId == row.batchId, files.c.file == row.audioName)
        connection.execute(mine.values(flags))
    status = STATUS_BEFORE[stages[0]]
    connection.execute(t.call.update().where(t.call.c.id.in_(list(calls))).values(status=status))


def restore(connection: sa.Connection, task_id: str, calls: Collection[int]) -> None:
    """Give calls that the task has replaced nothing of the status and the flags that they had before it."""
    if not calls:
        return
    mine, files = t.audit_task_call, t.file_distribution
    untouched = mine.c.statusBefore.is_not(None)
    query = sa.select(mine).where(mine.c.taskId == task_id, mine.c.callId.in_(list(calls)), untouched)
    for row in connection.execute(query).all():
        connection.execute(t.call.update().where(t.call.c.id == row.callId).values(status=row.statusBefore))
        flags = {flag: 1 for flag in DONE_FLAGS if flag in (row.flagsBefore or "").split(",")}
        if flags:
            its = files.update().where(files.c.batchId == row.batchId, files.c.file == row.audioName)
            connection.execute(its.values(flags))
