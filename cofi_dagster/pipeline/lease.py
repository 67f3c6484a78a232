"""Who is at work on a batch: one run at a time, known by a lease with a heartbeat, so that a dead run is found.

A run on this host is dead when its process is; one elsewhere when it has been silent for the length of the lease. A run
that is merely slow keeps its heartbeat, for that has a thread of its own.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psutil
import sqlalchemy as sa

from cofi_dagster.database import tables as t
from cofi_dagster.database.engine import writing

LEASE_SECONDS = 45
"""Silence after which a run on another host counts as dead: with the reconciler's interval, under a minute in all."""
BEAT_SECONDS = 1.0
_WRITE_EVERY = 5
_MISSED_SECONDS = 3 * _WRITE_EVERY * BEAT_SECONDS

_LEASE = t.batch_lease


class BatchBusy(RuntimeError):
    """Another run is at work on the batch; the message says which."""


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
        """Whether its process lives (on this host), or gave a sign of life within the lease (elsewhere).

        A process of its number that started at another time is somebody else's; but where the clock was set meanwhile,
        it may be the run's own, which gives signs of life.
        """
        if self.host != socket.gethostname():
            return self.silent_seconds < LEASE_SECONDS
        try:
            process = psutil.Process(self.pid)
            started = self.process_started
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            is_same = started is None or abs(process.create_time() - started) < 1.0
            return is_same or self.silent_seconds < _MISSED_SECONDS
        except psutil.NoSuchProcess:
            return False


def holder_of(connection: sa.Connection, batch_id: int, *, lock: bool = False) -> Holder | None:
    """The run that holds the batch, dead or alive, or None."""
    query = _holders().where(_LEASE.c.batchId == batch_id)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    return None if row is None else _holder(row)


def holders(connection: sa.Connection) -> dict[int, Holder]:
    """Every holder by the id of its batch."""
    return {row.batchId: _holder(row) for row in connection.execute(_holders())}


def _holders() -> sa.Select[Any]:
    return sa.select(_LEASE, sa.type_coerce(t.utcnow(), sa.DateTime()).label("now"))


def _holder(row: Any) -> Holder:
    silent = (row.now - row.heartbeatAt).total_seconds()
    return Holder(row.runId, row.host, row.pid, row.processStarted, silent, row.heartbeatAt, row.taskId)


def take(connection: sa.Connection, batch_id: int, run_id: str) -> bool:
    """Hold the batch for a run of this process; False while a reaudit has it.

    Raises:
        BatchBusy: a living run holds it.
        sqlalchemy.exc.IntegrityError: another run took it at the same moment: try again.
    """
    holder = holder_of(connection, batch_id, lock=True)
    if holder is not None and holder.run_id != run_id and holder.is_alive():
        if holder.task_id is None:
            raise BatchBusy(_busy(batch_id, holder))
        return False
    if holder is not None:  # else a row that is there now is that of a run which came in between: its insert wins
        connection.execute(_LEASE.delete().where(_LEASE.c.batchId == batch_id))
    connection.execute(_LEASE.insert().values(_own_row(batch_id, run_id)))
    return True


def claim(connection: sa.Connection, batch_id: int, run_id: str, task_id: str) -> dict[str, Any] | None:
    """Hold the batch for a reaudit; the lease of a batch's run that died, which the reaudit leaves as it was.

    Raises:
        BatchBusy: another run, or another task, is at work on it.
    """
    holder = holder_of(connection, batch_id, lock=True)
    displaced = None
    if holder is not None:
        if holder.run_id != run_id and holder.is_alive():
            raise BatchBusy(_busy(batch_id, holder))
        if holder.task_id is None:
            chosen = sa.select(_LEASE).where(_LEASE.c.batchId == batch_id)
            displaced = dict(connection.execute(chosen).mappings().one())
        connection.execute(_LEASE.delete().where(_LEASE.c.batchId == batch_id))
    connection.execute(_LEASE.insert().values(**_own_row(batch_id, run_id), taskId=task_id))
    return displaced


def release_task(connection: sa.Connection, task_id: str, displaced: dict[int, dict[str, Any]]) -> None:
    """Let go of all batches that a reaudit holds; the leases that it displaced are put back."""
    held = connection.execute(sa.select(_LEASE.c.batchId).where(_LEASE.c.taskId == task_id)).scalars().all()
    connection.execute(_LEASE.delete().where(_LEASE.c.taskId == task_id))
    for batch_id in held:
        row = displaced.pop(batch_id, None)
        if row is not None:
            connection.execute(_LEASE.insert().values(**row))


def release(connection: sa.Connection, batch_id: int, run_id: str) -> bool:
    """Let go of the batch; whether this run held it."""
    mine = _LEASE.delete().where(_LEASE.c.batchId == batch_id, _LEASE.c.runId == run_id)
    return bool(connection.execute(mine).rowcount)


def _own_row(batch_id: int, run_id: str) -> dict[str, Any]:
    started = psutil.Process().create_time()
    process = {"host": socket.gethostname(), "pid": os.getpid(), "processStarted": started}
    return {"batchId": batch_id, "runId": run_id, **process}


def _busy(batch_id: int, holder: Holder) -> str:
    who = f"run {holder.run_id} (process {holder.pid} on {holder.host})"
    return f"batch {batch_id} is being worked on by {who}"


class Heartbeat:
    """A thread that keeps a lease alive, and calls ``each_beat`` every second. A context manager."""

    def __init__(
        self,
        engine: sa.Engine,
        batch_id: int,
        run_id: str,
        *,
        each_beat: Callable[[], None] = lambda: None,
        lost: Callable[[], None] = lambda: None,
    ) -> None:
        """``lost`` is called once where the lease has been taken by another: what is being done must stop."""
        self._engine = engine
        self._mine = (_LEASE.c.batchId == batch_id) & (_LEASE.c.runId == run_id)
        self._each_beat = each_beat
        self._lost = lost
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cofi-heartbeat", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_exception: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        unwritten = 0
        while not self._stop.wait(BEAT_SECONDS):
            unwritten += 1
            try:
                if unwritten >= _WRITE_EVERY:
                    if not self._beat():
                        self._lost()
                        return
                    unwritten = 0
                self._each_beat()
            except sa.exc.DBAPIError:
                continue  # the sink meets the same fault and is the one to judge it; the next beat tries again

    def _beat(self) -> bool:
        with writing(self._engine) as connection:
            beat = connection.execute(_LEASE.update().where(self._mine).values(heartbeatAt=t.utcnow()))
            return bool(beat.rowcount)
