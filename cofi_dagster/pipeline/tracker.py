"""The tracker: when each stage of a batch began and ended, how it stands, and who is at work on the batch.

Start times are set once; end times whenever a stage stops, also when it fails or its run is told to end. A run that
died without a word is noticed by the next one, which closes what it left open. All times are the database's.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psutil
import sqlalchemy as sa

from cofi_dagster.database import tables as t
from cofi_dagster.database.engine import reading, writing
from cofi_dagster.pipeline.status import CANCELLED, COMPLETED, FAILED, PAUSED, PENDING, StageStatus
from cofi_dagster.settings import Settings
from cofi_dagster.stages import BY_NAME, STAGES, Stage

Row = Mapping[Any, Any]

_HEARTBEAT_SECONDS = 5.0
_LEASE_POLL_SECONDS = 0.25
LEASE_SECONDS = 60
TERMINATED = "terminated"
UPLOAD = "upload"


class BatchBusy(RuntimeError):
    """Another run is at work on the batch; the message says which."""


class StageRefused(RuntimeError):
    """A stage may not start now; the message says what it waits for."""


class StageFailed(RuntimeError):
    """A stage that did its best and failed; the message is the sentence for the operator."""


@dataclass(slots=True)
class StageRun:
    """A stage at work: what its module says about it is written when it stops."""

    batch_id: int
    stage: Stage
    metadata: dict[str, Any] = field(default_factory=dict)
    total: int = 0
    done: int = 0
    failed: int = 0
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class StageState:
    """A stage of a batch as the database has it. Times are UTC without zone."""

    stage: Stage
    status: StageStatus
    started: Any
    ended: Any
    error: str | None


class Tracker:
    """Writes times and statuses of the stages of batches; one for each process, safe to use from its threads."""

    def __init__(self, engine: sa.Engine, settings: Settings) -> None:
        self._engine = engine
        self._settings = settings
        self._displaced: dict[int, Row] = {}

    def stages_of(self, kind: str) -> list[Stage]:
        """The stages that a batch of this kind (``batch`` or ``upload``) goes through, in order."""
        return [s for s in STAGES if self._settings.is_enabled(s) and (s.in_upload or kind != UPLOAD)]

    # -- times -----------------------------------------------------------------------------------------------

    def set_stage_start_time(self, batch_id: int, stage_name: str) -> None:
        """Set the stage's start time, only where there is none: a resume keeps it."""
        with writing(self._engine) as connection:
            _set_start(connection, batch_id, BY_NAME[stage_name])

    def set_stage_end_time(self, batch_id: int, stage_name: str) -> None:
        """Set the stage's end time; a resume overwrites it."""
        with writing(self._engine) as connection:
            _set(connection, batch_id, {BY_NAME[stage_name].end_column: t.utcnow()})

    def get_stage_duration(self, batch_id: int, stage_name: str) -> float | None:
        """Seconds from the stage's start to its end, or None while one of them is not there."""
        state = self.stages(batch_id)[stage_name]
        return None if None in (state.started, state.ended) else (state.ended - state.started).total_seconds()

    # -- how things stand ------------------------------------------------------------------------------------

    def stages(self, batch_id: int) -> dict[str, StageState]:
        """All stages of the batch, by name, in pipeline order."""
        with reading(self._engine) as connection:
            row = _row(connection, batch_id)
            details = sa.select(t.stage_detail.c.stage, t.stage_detail.c.error).where(
                t.stage_detail.c.batchId == batch_id
            )
            errors = {name: error for name, error in connection.execute(details)}
        return {stage.name: _state(stage, row, errors.get(stage.name)) for stage in STAGES}

    def can_start_stage(self, batch_id: int, stage_name: str) -> bool:
        """Whether the stage's prerequisites are complete or skipped."""
        with reading(self._engine) as connection:
            return not self._lacking(_row(connection, batch_id), BY_NAME[stage_name])

    def _lacking(self, row: Row, stage: Stage) -> list[str]:
        run_by = {s.name for s in self.stages_of(row["kind"])}
        return [n for n in stage.prerequisites if n in run_by and _state(BY_NAME[n], row, None).status not in _READY]

    # -- stages ----------------------------------------------------------------------------------------------

    def skip_stage(self, batch_id: int, stage_name: str) -> None:
        """Mark a disabled stage; its times stay as they are. One that has been completed stays completed."""
        stage = BY_NAME[stage_name]
        if stage.status_is_flag:
            return
        column = t.batch_status.c[stage.status_column]
        pending = sa.or_(column.is_(None), column.in_([StageStatus.PENDING, StageStatus.FAILED]))
        with writing(self._engine) as connection:
            changed = connection.execute(
                t.batch_status.update()
                .where(t.batch_status.c.id == batch_id, pending)
                .values({stage.status_column: StageStatus.SKIPPED})
            )
            if changed.rowcount:
                log_event(connection, batch_id, stage.name, "stage_skipped", status=StageStatus.SKIPPED)

    @contextmanager
    def stage(self, batch_id: int, stage_name: str, run_id: str) -> Iterator[StageRun]:
        """Run a stage: its start at the beginning, its end and how it ended at the end, whatever happens.

        Raises:
            BatchBusy: another run is at work on the batch.
            StageRefused: a prerequisite is not complete, or the batch is cancelled.
        """
        stage = BY_NAME[stage_name]
        with self._lease(batch_id, run_id):
            run = StageRun(batch_id, stage)
            self._begin(run)
            try:
                yield run
            except BaseException as error:
                self._end(run, StageStatus.FAILED, _said(error))
                raise
            self._end(run, StageStatus.COMPLETE, None)

    def set_total(self, run: StageRun, total: int) -> None:
        """Say how many files (or rows) the stage has in all, before it starts on them."""
        run.total = total
        with writing(self._engine) as connection:
            _detail(connection, run, {"itemsTotal": total})
            log_event(
                connection, run.batch_id, run.stage.name, "stage_start", status=StageStatus.IN_PROGRESS, total=total
            )

    def _begin(self, run: StageRun) -> None:
        stage, batch_id = run.stage, run.batch_id
        with writing(self._engine) as connection:
            row = _row(connection, batch_id)
            if row["status"] == CANCELLED:
                raise StageRefused(f"batch {batch_id} is cancelled")
            if lacking := self._lacking(row, stage):
                raise StageRefused(f"{stage.name} of batch {batch_id} waits for {', '.join(lacking)}")
            _set_start(connection, batch_id, stage)
            values: dict[str, Any] = {stage.end_column: None}
            values[stage.status_column] = 0 if stage.status_is_flag else StageStatus.IN_PROGRESS
            if row["status"] in (FAILED, PAUSED):
                values["status"] = self._word_reached(row)
            _set(connection, batch_id, values)
            _detail(connection, run, {"error": None, "pausedAt": None})

    def _end(self, run: StageRun, status: StageStatus, error: str | None) -> None:
        stage, batch_id = run.stage, run.batch_id
        complete = status is StageStatus.COMPLETE
        with writing(self._engine) as connection:
            row = dict(_row(connection, batch_id))
            values: dict[str, Any] = {stage.end_column: t.utcnow()}
            values[stage.status_column] = int(complete) if stage.status_is_flag else status
            row.update({stage.status_column: values[stage.status_column]})
            if not complete:
                values["status"] = FAILED
            elif row["status"] not in (COMPLETED, CANCELLED):
                values["status"] = self._word_reached(row)
            _set(connection, batch_id, values)
            counts = {"itemsTotal": run.total, "itemsFailed": run.failed, "itemsSkipped": run.skipped}
            _detail(connection, run, {**counts, "error": error, "metadata": run.metadata or None})
            log_event(
                connection,
                batch_id,
                stage.name,
                "stage_complete" if complete else "stage_failed",
                status=status,
                total=run.total,
                processed=run.done,
                metadata={"failed": run.failed, "skipped": run.skipped, **({"error": error} if error else {})},
            )

    def _word_reached(self, row: Row) -> str:
        """The batch's word: that of the last stage in the row of complete or skipped ones."""
        word = PENDING
        for stage in self.stages_of(row["kind"]):
            if stage.done_word is None:
                continue
            if row[stage.status_column] not in _READY:
                break
            word = stage.done_word
        return word

    def complete_batch(self, batch_id: int) -> None:
        """Mark the batch ``Completed`` if each of its stages is complete or skipped."""
        with writing(self._engine) as connection:
            row = _row(connection, batch_id)
            if any(_state(stage, row, None).status not in _READY for stage in self.stages_of(row["kind"])):
                return
            done = t.batch_status.update().where(t.batch_status.c.id == batch_id, t.batch_status.c.status != COMPLETED)
            if connection.execute(done.values(status=COMPLETED)).rowcount:
                log_event(connection, batch_id, None, "batch_complete", status=COMPLETED)

    # -- who is at work --------------------------------------------------------------------------------------

    @contextmanager
    def _lease(self, batch_id: int, run_id: str) -> Iterator[None]:
        """Hold the batch for this run, with a heartbeat; take it over from a run that died, wait for a reaudit."""
        while not self._acquire_now(batch_id, run_id):
            time.sleep(_LEASE_POLL_SECONDS)
        try:
            with self.heartbeat(batch_id, run_id):
                yield
        finally:
            lease = t.batch_lease
            with writing(self._engine) as connection:
                connection.execute(lease.delete().where(lease.c.batchId == batch_id, lease.c.runId == run_id))

    @contextmanager
    def heartbeat(self, batch_id: int, run_id: str) -> Iterator[None]:
        """Give a sign of life for a run that holds the batch, every few seconds."""
        stop = threading.Event()
        beat = threading.Thread(target=self._beat, args=(batch_id, run_id, stop), name="cofi-heartbeat", daemon=True)
        beat.start()
        try:
            yield
        finally:
            stop.set()
            beat.join()

    def _acquire_now(self, batch_id: int, run_id: str) -> bool:
        """Take the batch; False while a reaudit has it, or where another run took it between the two statements."""
        try:
            return self._acquire(batch_id, run_id)
        except sa.exc.IntegrityError:
            return False

    def _acquire(self, batch_id: int, run_id: str) -> bool:
        """Take the batch; False while a reaudit has it.

        Raises:
            BatchBusy: another run is at work on it.
        """
        lease = t.batch_lease
        with writing(self._engine) as connection:
            holder = _holder(connection, batch_id, lock=True)
            if holder is not None and holder.run_id != run_id and holder.is_alive():
                if holder.task_id is None:
                    raise BatchBusy(_busy(batch_id, holder))
                return False
            if holder is not None:
                connection.execute(lease.delete().where(lease.c.batchId == batch_id))
            _close_lost(connection, batch_id, holder)
            connection.execute(lease.insert().values(_lease_row(batch_id, run_id)))
        return True

    def claim(self, batch_id: int, run_id: str, task_id: str) -> None:
        """Take the batch for a reaudit, until :meth:`release` or the end of this process.

        The lease of a run that died is put back by :meth:`release`: what it left open in ``batchStatus`` is for the
        batch's own next run to close.

        Raises:
            BatchBusy: another run, or another task, is at work on it.
        """
        lease = t.batch_lease
        with writing(self._engine) as connection:
            holder = _holder(connection, batch_id, lock=True)
            if holder is not None:
                if holder.run_id != run_id and holder.is_alive():
                    raise BatchBusy(_busy(batch_id, holder))
                row = connection.execute(sa.select(lease).where(lease.c.batchId == batch_id)).mappings().one()
                if holder.task_id is None:
                    self._displaced[batch_id] = dict(row)
                connection.execute(lease.delete().where(lease.c.batchId == batch_id))
            connection.execute(lease.insert().values(**_lease_row(batch_id, run_id), taskId=task_id))

    def release(self, task_id: str) -> None:
        """Give up all batches that this task holds."""
        lease = t.batch_lease
        with writing(self._engine) as connection:
            held = connection.execute(sa.select(lease.c.batchId).where(lease.c.taskId == task_id)).scalars().all()
            connection.execute(lease.delete().where(lease.c.taskId == task_id))
            for batch_id in held:
                displaced = self._displaced.pop(batch_id, None)
                if displaced is not None:
                    connection.execute(lease.insert().values(**displaced))

    def _beat(self, batch_id: int, run_id: str, stop: threading.Event) -> None:
        lease = t.batch_lease
        while not stop.wait(_HEARTBEAT_SECONDS):
            try:
                with writing(self._engine) as connection:
                    connection.execute(
                        lease.update()
                        .where(lease.c.batchId == batch_id, lease.c.runId == run_id)
                        .values(heartbeatAt=t.utcnow())
                    )
            except sa.exc.DBAPIError:
                continue  # the sink meets the same fault and is the one to judge it; the next beat tries again

    def holder(self, batch_id: int) -> Holder | None:
        """The run that is at work on the batch, dead or alive, or None."""
        with reading(self._engine) as connection:
            return _holder(connection, batch_id)


_READY = (StageStatus.COMPLETE, StageStatus.SKIPPED)


def _lease_row(batch_id: int, run_id: str) -> dict[str, Any]:
    """A lease of this process."""
    started = psutil.Process().create_time()
    process = {"host": socket.gethostname(), "pid": os.getpid(), "processStarted": started}
    return {"batchId": batch_id, "runId": run_id, **process}


def _busy(batch_id: int, holder: Holder) -> str:
    who = f"run {holder.run_id} (process {holder.pid} on {holder.host})"
    return f"batch {batch_id} is being worked on by {who}"


@dataclass(frozen=True, slots=True)
class Holder:
    """The run that holds a batch: its Dagster run, its process, and the seconds since its last sign of life."""

    run_id: str
    host: str
    pid: int
    process_started: float | None
    silent_seconds: float
    heartbeat_at: Any
    task_id: str | None = None

    def is_alive(self) -> bool:
        """Whether its process lives (on this host), or gave a sign of life within the lease (elsewhere)."""
        if self.host != socket.gethostname():
            return self.silent_seconds < LEASE_SECONDS
        try:
            process = psutil.Process(self.pid)
            started = self.process_started
            running = process.status() != psutil.STATUS_ZOMBIE
            return running and (started is None or abs(process.create_time() - started) < 1.0)
        except psutil.NoSuchProcess:
            return False


def _holder(connection: sa.Connection, batch_id: int, *, lock: bool = False) -> Holder | None:
    lease = t.batch_lease
    query = sa.select(lease, sa.type_coerce(t.utcnow(), sa.DateTime()).label("now")).where(lease.c.batchId == batch_id)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        return None
    silent = (row.now - row.heartbeatAt).total_seconds()
    return Holder(row.runId, row.host, row.pid, row.processStarted, silent, row.heartbeatAt, row.taskId)


def _close_lost(connection: sa.Connection, batch_id: int, holder: Holder | None) -> None:
    """Close the stages that a dead run left in progress: end time its last sign of life, or now."""
    row = _row(connection, batch_id)
    for stage in STAGES:
        begun = row[stage.start_column] is not None and row[stage.end_column] is None
        if not begun:
            continue
        ended = max(holder.heartbeat_at, row[stage.start_column]) if holder is not None else t.utcnow()
        values: dict[str, Any] = {stage.end_column: ended, "status": FAILED}
        if not stage.status_is_flag:
            values[stage.status_column] = StageStatus.FAILED
        _set(connection, batch_id, values)
        said = {"runId": holder.run_id, "host": holder.host, "pid": holder.pid} if holder is not None else {}
        log_event(connection, batch_id, stage.name, "run_lost", status=StageStatus.FAILED, metadata=said)


def _row(connection: sa.Connection, batch_id: int) -> Row:
    row: Row = connection.execute(sa.select(t.batch_status).where(t.batch_status.c.id == batch_id)).mappings().one()
    return row


def _state(stage: Stage, row: Row, error: str | None) -> StageState:
    started, ended = row[stage.start_column], row[stage.end_column]
    if not stage.status_is_flag:
        return StageState(stage, StageStatus(row[stage.status_column] or PENDING), started, ended, error)
    if row[stage.status_column]:
        status = StageStatus.COMPLETE
    elif started is not None and ended is None:
        status = StageStatus.IN_PROGRESS
    elif error is not None:
        status = StageStatus.FAILED
    else:
        status = StageStatus.PENDING
    return StageState(stage, status, started, ended, error)


def _said(error: BaseException) -> str:
    """An error as the sentence that is stored: a termination is called so, whatever its class."""
    if isinstance(error, Exception):
        return str(error) or type(error).__name__
    return TERMINATED


def _set(connection: sa.Connection, batch_id: int, values: dict[str, Any]) -> None:
    connection.execute(t.batch_status.update().where(t.batch_status.c.id == batch_id).values(values))


def _set_start(connection: sa.Connection, batch_id: int, stage: Stage) -> None:
    column = t.batch_status.c[stage.start_column]
    unset = t.batch_status.update().where(t.batch_status.c.id == batch_id, column.is_(None))
    connection.execute(unset.values({stage.start_column: t.utcnow()}))


def _detail(connection: sa.Connection, run: StageRun, values: dict[str, Any]) -> None:
    detail = t.stage_detail
    chosen = (detail.c.batchId == run.batch_id) & (detail.c.stage == run.stage.name)
    if connection.execute(detail.update().where(chosen).values(values)).rowcount:
        return
    if connection.execute(sa.select(sa.literal(1)).where(chosen)).first() is None:
        connection.execute(detail.insert().values(batchId=run.batch_id, stage=run.stage.name, **values))


def log_event(
    connection: sa.Connection,
    batch_id: int,
    stage: str | None,
    kind: str,
    *,
    status: str | None = None,
    total: int | None = None,
    processed: int | None = None,
    metadata: dict[str, Any] | Sequence[Any] | None = None,
) -> None:
    """Insert one event into ``batchExecutionLog``."""
    connection.execute(
        t.batch_execution_log.insert().values(
            batchId=batch_id,
            stage=stage,
            eventType=kind,
            status=status,
            totalFiles=total,
            processedFiles=processed,
            metadata=metadata,
        )
    )
