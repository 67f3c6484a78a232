"""What a person may do to a batch: launch, pause, resume, cancel, retry, skip a stage. Each is one transaction on the
batch's row, so that of two at once one is first and the other is judged by what it left.

A run that is at work heeds what is asked here within a second or two (see ``tracker``); starting and ending processes
is the orchestration's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from cofi_dagster.database import tables as t
from cofi_dagster.database.engine import reading
from cofi_dagster.database.transactions import transact
from cofi_dagster.pipeline import lease, requests, steps
from cofi_dagster.pipeline.requests import Wish
from cofi_dagster.pipeline.standing import READY, UPLOAD, StageState, Standing, stages_of, standing
from cofi_dagster.pipeline.status import (
    BATCH_WORDS,
    COMPLETED,
    FAILED,
    BatchStatus,
    IllegalStep,
    StageStatus,
    check_batch_step,
)
from cofi_dagster.settings import Settings
from cofi_dagster.stages import BY_NAME, Stage


class UnknownStage(ValueError):
    """There is no stage of this name; the message lists those that there are."""


@dataclass(frozen=True, slots=True)
class Done:
    """What was done: the batch's state now, and the run that is still to end, if one is at work."""

    batch_id: int
    state: BatchStatus
    running: str | None = None


class Control:
    """The verbs, on one database. ``by`` is who asks, for the log."""

    def __init__(self, engine: sa.Engine, settings: Settings) -> None:
        self._engine = engine
        self._settings = settings

    def pause(self, batch_id: int, *, by: str | None = None, has_run: bool = False) -> Done:
        """Let a batch come to rest: what is in flight ends and is committed, then it is ``Paused``.

        ``has_run``: whether a run of the batch is there, between two stages or waiting for its turn.

        Raises:
            IllegalStep: it is not running.
            BatchError: there is no such batch.
        """

        def change(connection: sa.Connection) -> Done:
            found = self._locked(connection, batch_id)
            running = self._running(connection, batch_id)
            check_batch_step(f"batch {batch_id}", found.state, BatchStatus.PAUSED)
            _not_an_upload(found, "paused: let it end, or cancel it")
            requests.ask(connection, batch_id, Wish.PAUSE if running or has_run else None, by)
            if running:
                return Done(batch_id, found.state, running)
            if has_run:
                return Done(batch_id, found.state)
            return Done(batch_id, self._move(connection, found, BatchStatus.PAUSED, by).state)

        return self._change(change)

    def resume(self, batch_id: int, *, by: str | None = None, launch: bool = False) -> Done:
        """Let a paused batch go on; ``launch`` asks the daemon for its run, else the caller starts one.

        Raises:
            IllegalStep: it is not paused.
        """

        def change(connection: sa.Connection) -> Done:
            found = self._locked(connection, batch_id)
            if found.state is not BatchStatus.PAUSED:
                raise IllegalStep(f"batch {batch_id} is {found.state}: only a paused one is resumed")
            return self._set_going(connection, found, by, launch=launch)

        return self._change(change)

    def cancel(self, batch_id: int, *, by: str | None = None) -> Done:
        """Give a batch up, at once and for good; its files keep the state that they have.

        Raises:
            IllegalStep: it is completed, failed or cancelled already.
        """

        def change(connection: sa.Connection) -> Done:
            found = self._locked(connection, batch_id)
            running = self._running(connection, batch_id)
            moved = self._move(connection, found, BatchStatus.CANCELLED, by)
            requests.ask(connection, batch_id, Wish.CANCEL if running else None, by)
            return Done(batch_id, moved.state, running)

        return self._change(change)

    def retry(
        self,
        batch_id: int,
        stage_name: str | None = None,
        *,
        by: str | None = None,
        launch: bool = False,
        has_run: bool = False,
    ) -> Done:
        """Let a failed batch, or one stage of it, be tried again. Of a completed batch, what failed of its files.

        ``has_run``: whether a run of the batch waits for its turn.

        Raises:
            IllegalStep: nothing of it failed, it is being worked on, or a run of it is on its way.
            UnknownStage: there is no such stage.
        """
        stage = _stage(stage_name) if stage_name else None

        def change(connection: sa.Connection) -> Done:
            found = self._locked(connection, batch_id)
            if running := self._running(connection, batch_id):
                raise IllegalStep(f"batch {batch_id} is being worked on by run {running}")
            if has_run or (launch and requests.is_launch_asked(connection, batch_id)):
                raise IllegalStep(f"a run of batch {batch_id} is on its way")
            chosen = [found.stages[stage.name]] if stage else list(found.stages.values())
            if found.state in (BatchStatus.CANCELLED, BatchStatus.PAUSED):
                raise IllegalStep(f"batch {batch_id} is {found.state} and cannot be retried")
            if not any(_has_failed(state) for state in chosen) and (stage or found.state is BatchStatus.COMPLETED):
                what = f"{stage.name} of batch {batch_id}" if stage else f"batch {batch_id}"
                raise IllegalStep(f"nothing of {what} failed")
            _not_an_upload(found, "retried so: retry its task")
            if stage and found.stages[stage.name].skip_reason is not None:
                steps.put_detail(connection, batch_id, stage, {"skipReason": None})
            return self._set_going(connection, found, by, stage_name, launch=launch)

        return self._change(change)

    def skip(self, batch_id: int, stage_name: str, *, by: str | None = None, reason: str | None = None) -> Done:
        """Pass over an optional stage of one batch, until it is retried.

        Raises:
            StageRefused: the stage is not optional.
            IllegalStep: it is at work, complete or skipped, or the batch is over.
            UnknownStage: there is no such stage.
        """
        stage = _stage(stage_name)
        said = reason or f"skipped by {by or 'an operator'}"

        def change(connection: sa.Connection) -> Done:
            steps.skip(connection, self._settings, batch_id, stage, said)
            return Done(batch_id, standing(connection, batch_id).state)

        return self._change(change)

    def launch(self, batch_id: int, *, by: str | None = None) -> Done:
        """Let the daemon start a batch that has not begun.

        Raises:
            IllegalStep: it has begun, or is over.
            BatchError: there is no such batch.
        """

        def change(connection: sa.Connection) -> Done:
            found = self._locked(connection, batch_id)
            if found.state is not BatchStatus.PENDING:
                raise IllegalStep(f"batch {batch_id} is {found.state}: only one that has not begun is launched")
            _not_an_upload(found, "launched so: its task starts it")
            requests.ask_launch(connection, batch_id, None, by)
            return Done(batch_id, found.state)

        return self._change(change)

    def _set_going(
        self, connection: sa.Connection, found: Standing, by: str | None, stage: str | None = None, *, launch: bool
    ) -> Done:
        if found.state in (BatchStatus.PAUSED, BatchStatus.FAILED):
            found = self._move(connection, found, BatchStatus.RUNNING, by)
        if launch:
            requests.ask_launch(connection, found.batch_id, stage, by)
        else:
            requests.ask(connection, found.batch_id, None, by)
        return Done(found.batch_id, found.state)

    def _move(self, connection: sa.Connection, found: Standing, after: BatchStatus, by: str | None) -> Standing:
        return steps.move_batch(connection, found, after, self._settings, by=by)

    def _locked(self, connection: sa.Connection, batch_id: int) -> Standing:
        return standing(connection, batch_id, lock=True)

    def _running(self, connection: sa.Connection, batch_id: int) -> str | None:
        """The run that is at work on a stage of the batch and lives; a reaudit's is none of it."""
        holder = lease.holder_of(connection, batch_id)
        return holder.run_id if holder and holder.task_id is None and holder.is_alive() else None

    def _change(self, change: Callable[[sa.Connection], Done]) -> Done:
        return transact(self._engine, change)


def _stage(name: str) -> Stage:
    if name not in BY_NAME:
        raise UnknownStage(f"there is no stage '{name}': {', '.join(BY_NAME)}")
    return BY_NAME[name]


def _not_an_upload(found: Standing, what: str) -> None:
    if found.kind == UPLOAD:
        raise IllegalStep(f"batch {found.batch_id} is an audit upload, which is not {what}")


def _has_failed(state: StageState) -> bool:
    return state.status is StageStatus.FAILED or bool(state.failed) or state.skip_reason is not None


def ready_batches(engine: sa.Engine, settings: Settings, stage_name: str, limit: int = 100) -> list[int]:
    """The batches whose ``stage_name`` may start and is still to be done, oldest first (seed 003's smart queue).

    One query over the index of ``batchStatus.status``: those that are completed, cancelled or paused are not looked at.

    Raises:
        UnknownStage: there is no such stage.
    """
    query = ready_query(settings, _stage(stage_name)).limit(limit)
    with reading(engine) as connection:
        return [int(batch_id) for batch_id in connection.execute(query).scalars()]


def ready_query(settings: Settings, stage: Stage) -> sa.Select[Any]:
    """The query behind :func:`ready_batches`."""
    batch = t.batch_status.c
    words = [word for word in BATCH_WORDS if word != COMPLETED] + [FAILED]
    kinds = []
    for kind in ("batch", UPLOAD):
        gone_through = {other.name for other in stages_of(settings, kind)}
        if stage.name in gone_through:
            before = [BY_NAME[name] for name in stage.prerequisites if name in gone_through]
            kinds.append(sa.and_(batch.kind == kind, *(_is_ready(other) for other in before)))
    mine = batch[stage.status_column]
    undone = mine == 0 if stage.status_is_flag else mine.in_([StageStatus.PENDING, StageStatus.FAILED])
    return sa.select(batch.id).where(batch.status.in_(words), undone, sa.or_(sa.false(), *kinds)).order_by(batch.id)


def _is_ready(stage: Stage) -> sa.ColumnElement[bool]:
    """Whether a stage is complete or skipped, as a condition on ``batchStatus``."""
    column = t.batch_status.c[stage.status_column]
    if not stage.status_is_flag:
        return column.in_(READY)
    detail = t.stage_detail.c
    mine = (detail.batchId == t.batch_status.c.id) & (detail.stage == stage.name) & detail.skipReason.is_not(None)
    return sa.or_(column == 1, sa.exists().where(mine))
