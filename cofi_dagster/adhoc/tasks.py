"""The tasks that people queue: rows of ``auditTask``, and the steps from one status to the next.

``queued`` → ``processing`` (set by the run itself) → ``completed`` or ``failed``; ``failed`` → ``queued`` where a
person retries; ``processing`` → ``queued`` where a batch that the task needs is being worked on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa

from cofi_dagster.database.engine import reading
from cofi_dagster.database.tables import audit_task, utcnow
from cofi_dagster.database.transactions import inquire, transact


class TaskKind(StrEnum):
    """Words of ``auditTask.kind``."""

    UPLOAD = "upload"
    REAUDIT = "reaudit"


class TaskStatus(StrEnum):
    """Words of ``auditTask.status``."""

    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"


OPEN = (TaskStatus.QUEUED, TaskStatus.PROCESSING)


class TaskError(RuntimeError):
    """A task that is not there, or cannot do this step; the message says why."""


class UnknownTask(TaskError):
    """There is no such task."""


class WrongStatus(TaskError):
    """The task's status has no such step."""


@dataclass(frozen=True, slots=True)
class Task:
    """A row of ``auditTask``. Times are UTC without zone."""

    id: str
    kind: TaskKind
    status: TaskStatus
    request: Mapping[str, Any]
    batch_id: int | None
    run_id: str | None
    error: str | None
    created_at: datetime | None
    started_at: datetime | None
    completed_at: datetime | None
    attempt: int

    @property
    def by(self) -> str | None:
        """Who queued it, where that is known."""
        return self.request.get("by")

    @property
    def run_key(self) -> str:
        """What keeps Dagster from launching this attempt twice."""
        return f"task:{self.id}" if self.attempt == 1 else f"task:{self.id}:{self.attempt}"


def _task(row: Any) -> Task:
    return Task(
        row.taskId,
        TaskKind(row.kind),
        TaskStatus(row.status),
        row.request or {},
        row.batchId,
        row.runId,
        row.error,
        row.createdAt,
        row.startedAt,
        row.completedAt,
        row.attempt or 1,
    )


def new_id() -> str:
    """An id for a task."""
    return str(uuid4())


def queue(
    engine: sa.Engine,
    kind: TaskKind,
    request: Mapping[str, Any],
    *,
    task_id: str | None = None,
    run_id: str | None = None,
    by: str | None = None,
) -> str:
    """Insert a task and return its id; with ``run_id`` it is that run's already, and no sensor launches it.

    ``by``: who asks for it.
    """
    task_id = task_id or new_id()
    said = {"by": by} if by else {}
    values: dict[str, Any] = {"taskId": task_id, "kind": kind, "request": {**request, **said}}
    if run_id is not None:
        values |= {"status": TaskStatus.PROCESSING, "runId": run_id, "startedAt": utcnow()}
    transact(engine, lambda connection: connection.execute(audit_task.insert().values(values)).rowcount)
    return task_id


def get(engine: sa.Engine, task_id: str) -> Task:
    """The task with this id.

    Raises:
        UnknownTask: there is none.
    """
    try:
        canonical = str(UUID(task_id))
    except ValueError:
        canonical = ""
    query = sa.select(audit_task).where(audit_task.c.taskId == canonical)
    row = inquire(engine, lambda connection: connection.execute(query).one_or_none())
    if row is None:
        raise UnknownTask(f"there is no task {task_id}")
    return _task(row)


def tasks(engine: sa.Engine, kind: TaskKind | None, statuses: Sequence[TaskStatus], limit: int) -> list[Task]:
    """The tasks of a kind (or of all) in these statuses, oldest first."""
    query = sa.select(audit_task).where(audit_task.c.status.in_(statuses))
    if kind is not None:
        query = query.where(audit_task.c.kind == kind)
    with reading(engine) as connection:
        return [_task(row) for row in connection.execute(query.order_by(audit_task.c.createdAt).limit(limit))]


def newest(engine: sa.Engine, limit: int) -> list[Task]:
    """The newest tasks, newest first."""
    with reading(engine) as connection:
        query = sa.select(audit_task).order_by(audit_task.c.createdAt.desc()).limit(limit)
        return [_task(row) for row in connection.execute(query)]


def page(
    engine: sa.Engine, kind: TaskKind | None, statuses: Sequence[TaskStatus], limit: int, offset: int
) -> tuple[int, list[Task]]:
    """How many tasks there are of a kind (or of all) in these statuses, and some of them, newest first.

    Each status is read by its index and the ids merged here: a sort of all tasks would read all their requests.
    """
    table = audit_task.c
    mine = sa.true() if kind is None else table.kind == kind
    total = 0
    found: list[tuple[datetime, str]] = []
    with reading(engine) as connection:
        for status in statuses:
            chosen = sa.and_(table.status == status, mine)
            total += connection.execute(sa.select(sa.func.count()).select_from(audit_task).where(chosen)).scalar_one()
            ids = sa.select(table.createdAt, table.taskId).where(chosen).order_by(table.createdAt.desc())
            found += [(row.createdAt, row.taskId) for row in connection.execute(ids.limit(limit + offset))]
        wanted = [task_id for _, task_id in sorted(found, reverse=True)[offset : offset + limit]]
        rows = connection.execute(sa.select(audit_task).where(table.taskId.in_(wanted)))
        by_id = {row.taskId: _task(row) for row in rows}
    return total, [by_id[task_id] for task_id in wanted]


def begin(engine: sa.Engine, task_id: str, run_id: str, *, again: bool = False) -> Task:
    """Make the task this run's: ``processing``. With ``again`` also one that was completed.

    Raises:
        UnknownTask: there is none.
        WrongStatus: another run has it, or it is over.
    """
    table = audit_task.c
    mine = (table.status == TaskStatus.PROCESSING) & (table.runId == run_id)
    free = table.status.in_([TaskStatus.QUEUED, TaskStatus.FAILED, *([TaskStatus.COMPLETED] if again else [])])
    values = {
        "status": TaskStatus.PROCESSING, "runId": run_id, "error": None, "startedAt": utcnow(), "completedAt": None
    }  # fmt: skip
    chosen = audit_task.update().where(table.taskId == task_id, sa.or_(mine, free)).values(values)
    began = transact(engine, lambda connection: connection.execute(chosen).rowcount)
    task = get(engine, task_id)
    if not began:
        raise WrongStatus(f"task {task_id} is {task.status}" + (f" by run {task.run_id}" if task.run_id else ""))
    return task


def complete(engine: sa.Engine, task_id: str) -> None:
    """The task has done what it was asked for."""
    _end(engine, task_id, TaskStatus.COMPLETED, None)


def fail(engine: sa.Engine, task_id: str, error: str) -> None:
    """The task cannot go on; the error is for the person who queued it."""
    _end(engine, task_id, TaskStatus.FAILED, error)


def _end(engine: sa.Engine, task_id: str, status: TaskStatus, error: str | None) -> None:
    open_one = audit_task.update().where(audit_task.c.taskId == task_id, audit_task.c.status.in_(OPEN))
    ended = open_one.values(status=status, error=error, completedAt=utcnow())
    transact(engine, lambda connection: connection.execute(ended).rowcount)


def put_back(engine: sa.Engine, task_id: str, reason: str) -> None:
    """Queue a task again that could not begin; its next run has a key of its own. The reason stays readable."""
    table = audit_task.c
    chosen = audit_task.update().where(table.taskId == task_id, table.status == TaskStatus.PROCESSING)
    values = {"status": TaskStatus.QUEUED, "runId": None, "startedAt": None, "error": reason}
    queued = chosen.values(**values, attempt=table.attempt + 1)
    transact(engine, lambda connection: connection.execute(queued).rowcount)


def retry(engine: sa.Engine, task_id: str) -> Task:
    """Queue a failed task again; what it had done stays done.

    Raises:
        UnknownTask: there is none.
        WrongStatus: it has not failed.
    """
    table = audit_task.c
    task = get(engine, task_id)
    chosen = audit_task.update().where(table.taskId == task.id, table.status == TaskStatus.FAILED)
    values = {"status": TaskStatus.QUEUED, "runId": None, "error": None, "startedAt": None, "completedAt": None}
    again = chosen.values(**values, attempt=table.attempt + 1)
    queued = transact(engine, lambda connection: connection.execute(again).rowcount)
    if not queued:
        raise WrongStatus(f"task {task.id} is {task.status}: only a failed task can be retried")
    return get(engine, task.id)
