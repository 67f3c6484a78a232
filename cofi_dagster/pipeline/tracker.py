"""The tracker: when each stage of a batch began and ended, how it stands, and who is at work on the batch.

Every change of a status goes through here and through the tables of ``status``, in one transaction with its event in
``batchExecutionLog``; a step that the tables do not have raises and changes nothing. Start times are set once; end
times whenever a stage stops, also when it fails or its run is told to end. All times are the database's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import sqlalchemy as sa

from cofi_dagster.database import tables as t
from cofi_dagster.database.engine import reading, writing
from cofi_dagster.database.transactions import inquire, transact
from cofi_dagster.pipeline import lease, requests
from cofi_dagster.pipeline.lease import LEASE_SECONDS, BatchBusy, Heartbeat, Holder
from cofi_dagster.pipeline.lifecycle import begin, close_lost, complete, is_through, shielded, stop
from cofi_dagster.pipeline.requests import Wish
from cofi_dagster.pipeline.stage_run import (
    TERMINATED,
    StageCancelled,
    StageFailed,
    StagePaused,
    StageRefused,
    StageRun,
    said,
)
from cofi_dagster.pipeline.standing import READY, UPLOAD, StageState, Standing, log_event, stages_of, standing
from cofi_dagster.pipeline.status import BatchStatus, StageStatus, check_stage_step
from cofi_dagster.pipeline.steps import move_batch, put_detail, skip
from cofi_dagster.settings import Settings
from cofi_dagster.stages import BY_NAME, Stage

__all__ = [
    "LEASE_SECONDS", "READY", "TERMINATED", "UPLOAD", "BatchBusy", "Holder", "StageCancelled", "StageFailed",
    "StagePaused", "StageRefused", "StageRun", "StageState", "Tracker", "log_event",
]  # fmt: skip

_LEASE_POLL_SECONDS = 0.25
_T = TypeVar("_T")
_VERBS = "verbs"


class Tracker:
    """Writes times and statuses of the stages of batches; one for each process, safe to use from its threads."""

    def __init__(self, engine: sa.Engine, settings: Settings) -> None:
        self._engine = engine
        self._settings = settings
        self._displaced: dict[int, dict[str, Any]] = {}

    def stages_of(self, kind: str) -> list[Stage]:
        """The stages that a batch of this kind (``batch`` or ``upload``) goes through, in order."""
        return stages_of(self._settings, kind)

    # -- times -----------------------------------------------------------------------------------------------

    def set_stage_start_time(self, batch_id: int, stage_name: str) -> None:
        """Set the stage's start time, only where there is none: a resume keeps it."""
        column = t.batch_status.c[BY_NAME[stage_name].start_column]
        unset = t.batch_status.update().where(t.batch_status.c.id == batch_id, column.is_(None))
        self._write(lambda connection: connection.execute(unset.values({column: t.utcnow()})))

    def set_stage_end_time(self, batch_id: int, stage_name: str) -> None:
        """Set the stage's end time; a resume overwrites it."""
        column = t.batch_status.c[BY_NAME[stage_name].end_column]
        ended = t.batch_status.update().where(t.batch_status.c.id == batch_id).values({column: t.utcnow()})
        self._write(lambda connection: connection.execute(ended))

    def get_stage_duration(self, batch_id: int, stage_name: str) -> float | None:
        """Seconds from the stage's start to its end, or None while one of them is not there."""
        state = self.stages(batch_id)[stage_name]
        return None if None in (state.started, state.ended) else (state.ended - state.started).total_seconds()

    # -- how things stand ------------------------------------------------------------------------------------

    def standing(self, batch_id: int) -> Standing:
        """The batch and its stages.

        Raises:
            BatchError: there is no such batch.
        """
        return self._read(lambda connection: standing(connection, batch_id))

    def stages(self, batch_id: int) -> dict[str, StageState]:
        """All stages of the batch, by name, in pipeline order."""
        return dict(self.standing(batch_id).stages)

    def get_progress(self, batch_id: int) -> float:
        """Percent of the batch's stages that are complete or skipped (seed 003)."""
        states = self.standing(batch_id).gone_through(self._settings)
        return round(100.0 * sum(state.is_ready for state in states) / len(states), 2)

    def get_current_stage(self, batch_id: int) -> str | None:
        """The stage at work, else the first that is not complete or skipped; None where all are."""
        states = self.standing(batch_id).gone_through(self._settings)
        at_work = [state for state in states if state.status is StageStatus.IN_PROGRESS]
        waiting = [state for state in states if not state.is_ready]
        return next((state.stage.name for state in [*at_work, *waiting]), None)

    def can_start_stage(self, batch_id: int, stage_name: str) -> bool:
        """Whether the stage's prerequisites are complete or skipped."""
        return not self.standing(batch_id).lacking(self._settings, BY_NAME[stage_name])

    # -- stages ----------------------------------------------------------------------------------------------

    def start_stage(self, batch_id: int, stage_name: str, run_id: str = _VERBS) -> StageRun:
        """Begin a stage: hold the batch for this run, and mark the stage ``InProgress``.

        Raises:
            BatchBusy: another run is at work on the batch.
            StageRefused: a prerequisite is not complete, or the batch is cancelled.
            StagePaused: the batch is to pause, and does so now, before the stage.
        """
        run = StageRun(batch_id, BY_NAME[stage_name], run_id=run_id)
        if run_id == _VERBS and (holder := self.holder(batch_id)) and holder.run_id == run_id and holder.is_alive():
            check_stage_step(f"{stage_name} of batch {batch_id}", StageStatus.IN_PROGRESS, StageStatus.IN_PROGRESS)
        self._acquire(run)
        try:
            self._write(lambda connection: begin(connection, self._settings, run))
        except BaseException:
            self._write(lambda connection: lease.release(connection, batch_id, run_id))
            raise
        return run

    def update_progress(
        self,
        batch_id: int,
        stage_name: str,
        done: int,
        *,
        failed: int = 0,
        skipped: int = 0,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Say how many of the stage's files or rows have an outcome; percent follow from its total."""
        values: dict[str, Any] = {"itemsDone": done, "itemsFailed": failed, "itemsSkipped": skipped}
        if metadata is not None:
            values["metadata"] = metadata
        self._write(lambda connection: put_detail(connection, batch_id, BY_NAME[stage_name], values))

    def complete_stage(
        self, batch_id: int, stage_name: str, metadata: dict[str, Any] | None = None, *, run_id: str = _VERBS
    ) -> None:
        """The stage that :meth:`start_stage` began for this run has ended well.

        Raises:
            IllegalStep: it is not in progress.
        """
        run = StageRun(batch_id, BY_NAME[stage_name], metadata=metadata or {}, run_id=run_id, counts=False)
        self._end(run, StageStatus.COMPLETE, None)

    def fail_stage(self, batch_id: int, stage_name: str, error: str, *, run_id: str = _VERBS) -> None:
        """The stage that :meth:`start_stage` began for this run has failed; ``error`` is for the operator.

        Raises:
            IllegalStep: it is not in progress.
        """
        self._end(StageRun(batch_id, BY_NAME[stage_name], run_id=run_id, counts=False), StageStatus.FAILED, error)

    def skip_stage(self, batch_id: int, stage_name: str, reason: str | None = None) -> None:
        """Pass a stage over; its times stay as they are.

        Without a reason it is one that the settings disable: one that has been completed stays completed. With a reason
        it is an operator's wish, and lasts until the stage is retried.

        Raises:
            StageRefused: an operator may not skip it: the others need it.
            IllegalStep: an operator may not skip it now.
        """
        stage = BY_NAME[stage_name]
        self._write(lambda connection: skip(connection, self._settings, batch_id, stage, reason))

    @contextmanager
    def stage(self, batch_id: int, stage_name: str, run_id: str) -> Iterator[StageRun]:
        """Run a stage: its start at the beginning, its end and how it ended at the end, whatever happens.

        Raises:
            BatchBusy, StageRefused, StagePaused: as :meth:`start_stage`.
        """
        run = self.start_stage(batch_id, stage_name, run_id)
        beat = Heartbeat(
            self._engine, batch_id, run_id, each_beat=lambda: self._each_beat(run), lost=lambda: run.ask(None)
        )
        try:
            with beat:
                yield run
        except StagePaused:
            shielded(lambda: self._end(run, StageStatus.PAUSED, None))
            raise
        except BaseException as error:
            sentence = said(error)
            shielded(lambda: self._end(run, StageStatus.FAILED, sentence))
            raise
        shielded(lambda: self._end(run, StageStatus.COMPLETE, None))

    def set_total(self, run: StageRun, total: int) -> None:
        """Say how many files (or rows) the stage has in all, before it starts on them."""
        run.total = total
        log = t.batch_execution_log

        def write(connection: sa.Connection) -> None:
            put_detail(connection, run.batch_id, run.stage, {"itemsTotal": total})
            connection.execute(log.update().where(log.c.id == run.start_event).values(totalFiles=total))

        self._write(write)

    def _end(self, run: StageRun, status: StageStatus, error: str | None) -> None:
        self._write(lambda connection: stop(connection, self._settings, run, status, error))

    def complete_batch(self, batch_id: int) -> None:
        """Mark the batch ``Completed`` if each of its stages is complete or skipped."""
        if is_through(self._settings, self.standing(batch_id)):
            self._write(
                lambda connection: complete(connection, self._settings, standing(connection, batch_id, lock=True))
            )

    # -- who is at work --------------------------------------------------------------------------------------

    def _acquire(self, run: StageRun) -> None:
        """Hold the batch; wait while a reaudit has it, and heed meanwhile what a person wants."""
        while True:
            self._heed(run)
            try:
                if self._write(lambda connection: self._take(connection, run)):
                    return
            except sa.exc.IntegrityError:
                continue  # another run took it between the two statements: who it is, is known now
            time.sleep(_LEASE_POLL_SECONDS)

    def _take(self, connection: sa.Connection, run: StageRun) -> bool:
        holder = lease.holder_of(connection, run.batch_id, lock=True)
        if not lease.take(connection, run.batch_id, run.run_id):
            return False
        lost = holder if holder is None or holder.task_id is None else None
        close_lost(connection, self._settings, run.batch_id, lost)
        return True

    def _heed(self, run: StageRun) -> None:
        """Before a stage begins: a batch that is to pause does so now.

        Raises:
            StagePaused: it did.
            StageCancelled: the batch is cancelled, and its run was to end.
        """
        if self._read(lambda connection: requests.wish_of(connection, run.batch_id)) is None:
            return
        wish = self._write(lambda connection: self._grant(connection, run))
        if wish is Wish.PAUSE:
            raise StagePaused(f"batch {run.batch_id} is paused before {run.stage.name}")
        if wish is Wish.CANCEL:
            raise StageCancelled(f"batch {run.batch_id} is cancelled")

    def _grant(self, connection: sa.Connection, run: StageRun) -> Wish | None:
        found = standing(connection, run.batch_id, lock=True)
        wish = requests.wish_of(connection, run.batch_id)
        requests.clear(connection, run.batch_id)
        if wish is Wish.PAUSE and found.state is BatchStatus.RUNNING:
            move_batch(connection, found, BatchStatus.PAUSED, self._settings, run_id=run.run_id)
        return wish

    def _each_beat(self, run: StageRun) -> None:
        """Once a second while a stage runs: heed what a person wants, and say how far it is."""
        with reading(self._engine) as connection:
            wish = requests.wish_of(connection, run.batch_id)
        if wish is not None:
            run.ask(wish)
        values = run.progress()
        if values is not None:
            with writing(self._engine) as connection:
                put_detail(connection, run.batch_id, run.stage, values)

    @contextmanager
    def heartbeat(self, batch_id: int, run_id: str) -> Iterator[None]:
        """Give a sign of life for a run that holds the batch, every few seconds."""
        with Heartbeat(self._engine, batch_id, run_id):
            yield

    def claim(self, batch_id: int, run_id: str, task_id: str) -> None:
        """Take the batch for a reaudit, until :meth:`release` or the end of this process.

        The lease of a run that died is put back by :meth:`release`: what it left open in ``batchStatus`` is for the
        batch's own next run to close.

        Raises:
            BatchBusy: another run, or another task, is at work on it.
        """
        displaced = self._write(lambda connection: lease.claim(connection, batch_id, run_id, task_id))
        if displaced is not None:
            self._displaced[batch_id] = displaced

    def release(self, task_id: str) -> None:
        """Give up all batches that this task holds."""
        self._write(lambda connection: lease.release_task(connection, task_id, self._displaced))

    def holder(self, batch_id: int) -> Holder | None:
        """The run that is at work on the batch, dead or alive, or None."""
        return self._read(lambda connection: lease.holder_of(connection, batch_id))

    def close_lost(self, batch_id: int, is_lost: Callable[[Holder | None], bool]) -> Holder | None:
        """Close what a dead run left open, if ``is_lost`` still says so of the batch's holder; that holder."""

        def close(connection: sa.Connection) -> Holder | None:
            holder = lease.holder_of(connection, batch_id, lock=True)
            if not is_lost(holder):
                return None
            if holder is not None:
                lease.release(connection, batch_id, holder.run_id)
            close_lost(connection, self._settings, batch_id, holder)
            return holder

        return self._write(close)

    # -- transactions ----------------------------------------------------------------------------------------

    def _read(self, query: Callable[[sa.Connection], _T]) -> _T:
        return inquire(self._engine, query)

    def _write(self, change: Callable[[sa.Connection], _T]) -> _T:
        return transact(self._engine, change)
