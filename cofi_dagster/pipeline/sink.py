"""The sink: one writer thread that commits what a stage made of its files, a group of files per transaction.

A file's rows, its done flag, its call's status and its log rows go together, so that after any crash a file is either
wholly done or wholly pending. Knows no stage and no HTTP.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import sqlalchemy as sa

from cofi_dagster.database import bulk
from cofi_dagster.database import tables as t
from cofi_dagster.database.engine import DatabaseError, explain
from cofi_dagster.database.transactions import transact
from cofi_dagster.pipeline import scope as scopes
from cofi_dagster.pipeline.progress import Observer, Tally
from cofi_dagster.pipeline.replacing import replace_rows
from cofi_dagster.pipeline.scope import Scope
from cofi_dagster.pipeline.work import Outcome, State, Work
from cofi_dagster.stages import Stage

_BACKLOG_GROUPS = 4
_SHOWN_CHARACTERS = 4000


class SinkError(RuntimeError):
    """Results could not be committed; the message says why. What was not committed is still pending."""


@dataclass(frozen=True, slots=True)
class SinkSettings:
    """Group size in files, longest wait of a group in seconds, files per progress event, log of every file's start."""

    commit_files: int
    commit_seconds: float
    progress_interval: int
    log_file_events: bool


class Sink:
    """Takes outcomes from the dispatch and commits them in groups. Leaving it as a context commits what is left."""

    def __init__(
        self,
        engine: sa.Engine,
        stage: Stage,
        batch_id: int,
        tally: Tally,
        settings: SinkSettings,
        *,
        observer: Observer,
        scope: Scope | None = None,
    ) -> None:
        self.tally = tally
        self._scope = scope
        self._engine = engine
        self._stage = stage
        self._batch_id = batch_id
        self._settings = settings
        self._observer = observer
        self._queue: list[Outcome] = []
        self._events: list[dict[str, Any]] = []
        self._first_at = 0.0
        self._closing = False
        self._urgent = False
        self._failure: BaseException | None = None
        self._condition = threading.Condition()
        self._room: Callable[[], object] | None = None
        self._thread = threading.Thread(target=self._write, name=f"cofi-sink-{stage.name}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._condition:
            self._closing = True
            self._condition.notify()
        self._thread.join()
        if error is None:
            self.check()

    # -- from the dispatch -----------------------------------------------------------------------------------

    def put(self, outcome: Outcome) -> None:
        """Take one outcome; it is committed within the settings' group size or wait."""
        with self._condition:
            if not self._queue:
                self._first_at = time.monotonic()
            self._queue.append(outcome)
            if len(self._queue) == 1 or len(self._queue) >= self._settings.commit_files:
                self._condition.notify()

    @property
    def is_full(self) -> bool:
        """Whether the writer is so far behind that nothing more should be sent."""
        return len(self._queue) >= _BACKLOG_GROUPS * self._settings.commit_files

    def on_room(self, callback: Callable[[], object]) -> None:
        """Whom to tell after each commit."""
        self._room = callback

    def check(self) -> None:
        """Raise what the writer met.

        Raises:
            SinkError: a group could not be committed.
        """
        if self._failure is not None:
            raise SinkError(str(self._failure)) from self._failure

    def started(self, work: Work) -> None:
        """A file's first request goes out; recorded only where the settings ask for it."""
        if self._settings.log_file_events:
            self._events.append(self._event("file_start", fileName=work.file, status="InProgress"))

    def machine_aside(self, machine: str, reason: str) -> None:
        """A machine was set aside. It is on record at once: it may be all that happens for a while."""
        self._tell(self._event("machine_aside", status="Failed", metadata={"machine": machine, "reason": reason}))

    def machine_back(self, machine: str) -> None:
        """A machine is back."""
        self._tell(self._event("machine_back", status="InProgress", metadata={"machine": machine}))

    def _tell(self, event: dict[str, Any]) -> None:
        with self._condition:
            self._events.append(event)
            self._urgent = True
            self._condition.notify()

    # -- the writer ------------------------------------------------------------------------------------------

    def _write(self) -> None:
        try:
            while True:
                group = self._take_group()
                if not group and self._closing:
                    self._commit([])
                    return
                self._commit(group)
                if self._room is not None:
                    self._room()
        except BaseException as error:  # noqa: BLE001 - handed to the thread that runs the stage
            self._failure = error
            if self._room is not None:
                self._room()

    def _take_group(self) -> list[Outcome]:
        size = self._settings.commit_files
        with self._condition:
            while not self._closing and not self._urgent and len(self._queue) < size:
                if not self._queue:
                    self._condition.wait()
                    continue
                left = self._first_at + self._settings.commit_seconds - time.monotonic()
                if left <= 0:
                    break
                self._condition.wait(left)
            group, self._queue = self._queue[:size], self._queue[size:]
            self._first_at = time.monotonic()
            self._urgent = False
            return group

    def _commit(self, group: Sequence[Outcome]) -> None:
        """Commit a group; a fault that passes is waited out, a row that the database refuses fails its file alone."""
        events, self._events = self._events, []
        try:
            transact(self._engine, lambda connection: self._store(connection, group, events))
        except DatabaseError as error:
            raise SinkError(f"{error}; what was done is kept") from error
        except sa.exc.DBAPIError as error:
            if not group:
                raise SinkError(explain(error, self._engine.url)) from error
            self._isolate(group, events, error)
        else:
            self._count(group)

    def _isolate(self, group: Sequence[Outcome], events: list[dict[str, Any]], error: sa.exc.DBAPIError) -> None:
        """A group that the database refuses: halve it until the one file is found, and fail that file."""
        self._events = events + self._events
        if len(group) > 1:
            middle = len(group) // 2
            self._commit(group[:middle])
            self._commit(group[middle:])
            return
        outcome = group[0]
        if outcome.state is State.FAILED:
            raise SinkError(explain(error, self._engine.url)) from error
        reason = error.orig.args[-1] if error.orig is not None and error.orig.args else error
        self._commit([Outcome(outcome.work, State.FAILED, error=f"the database refuses its result: {reason}")])

    def _store(self, connection: sa.Connection, group: Sequence[Outcome], events: Sequence[Mapping[str, Any]]) -> None:
        done = [outcome for outcome in group if outcome.state is State.DONE]
        replaced = self._replace(connection, group)
        _insert_rows(connection, group)
        self._mark_done(connection, done)
        bulk.update_rows(connection, t.call, {o.work.call_id: o.call for o in group if o.call}, self._batch_id)
        moved = {o.work.row_id: {"ip": o.work.home} for o in group if o.work.moved and o.work.home}
        rows = {o.work.row_id: o.file_row for o in group if o.file_row}
        bulk.update_rows(connection, t.file_distribution, moved, self._batch_id)
        bulk.update_rows(connection, t.file_distribution, rows, self._batch_id)
        if self._scope is not None:
            scopes.record(connection, self._scope, self._stage, group)
        logs = [self._log(outcome) for outcome in group if outcome.state is not State.SKIPPED]
        if logs:
            bulk.insert_rows(connection, t.processing_logs, logs)
        said = [*events, *replaced, *self._file_events(group), *self._progress_events(group)]
        if said:
            bulk.insert_rows(connection, t.batch_execution_log, said)

    def _replace(self, connection: sa.Connection, group: Sequence[Outcome]) -> list[dict[str, Any]]:
        """Make room for what is to be inserted; a reaudit says how much it replaced (seed 002, reaudit, step 3)."""
        calls: dict[sa.Table, list[int]] = defaultdict(list)
        events = []
        for outcome in group:
            for table in outcome.replace:
                calls[table].append(outcome.work.call_id)
        for table, ids in calls.items():
            replaced = replace_rows(connection, table, ids, self._scope.task_id if self._scope else None)
            if self._scope is not None and replaced:
                said = {"taskId": self._scope.task_id, "table": table.name, "rows": replaced}
                events.append(self._event("reaudit_replaced", processedFiles=len(ids), metadata=said))
        return events

    def _mark_done(self, connection: sa.Connection, done: Sequence[Outcome]) -> None:
        if done and self._stage.done_flag:
            table = t.file_distribution
            connection.execute(
                table.update()
                .where(table.c.batchId == self._batch_id, table.c.id.in_([outcome.work.row_id for outcome in done]))
                .values({self._stage.done_flag: 1})
            )

    # -- what is said ----------------------------------------------------------------------------------------

    def _log(self, outcome: Outcome) -> dict[str, Any]:
        failed = outcome.state is State.FAILED
        return {
            "call_id": outcome.work.call_id,
            "batch_id": self._batch_id,
            "stage_name": self._stage.name,
            "status": "failed" if failed else "success",
            "error_message": f"{outcome.work.file}: {outcome.error}"[:_SHOWN_CHARACTERS] if failed else None,
            "input_payload": (outcome.work.sent or "")[:_SHOWN_CHARACTERS] if failed else None,
            "output_payload": outcome.output,
        }

    def _event(self, kind: str, **values: Any) -> dict[str, Any]:
        blank = dict.fromkeys(("fileName", "status", "totalFiles", "processedFiles", "metadata"))
        return {"batchId": self._batch_id, "stage": self._stage.name, "eventType": kind, **blank, **values}

    def _file_events(self, group: Sequence[Outcome]) -> list[dict[str, Any]]:
        events = []
        for outcome in group:
            if outcome.state is State.FAILED:
                said = {"error": (outcome.error or "")[:_SHOWN_CHARACTERS], "attempts": outcome.work.attempts}
                events.append(self._event("file_error", fileName=outcome.work.file, status="failed", metadata=said))
            elif self._settings.log_file_events:
                events.append(self._event("file_complete", fileName=outcome.work.file, status=str(outcome.state)))
        return events

    def _progress_events(self, group: Sequence[Outcome]) -> list[dict[str, Any]]:
        if self._scope is not None:
            return []
        every = self._settings.progress_interval
        before = self.tally.ended // every
        after = (self.tally.ended + len(group)) // every
        return [
            self._event("stage_progress", status="InProgress", totalFiles=self.tally.total, processedFiles=n * every)
            for n in range(before + 1, after + 1)
        ]

    def _count(self, group: Sequence[Outcome]) -> None:
        for outcome in group:
            if outcome.state is State.DONE:
                self.tally.done += 1
            elif outcome.state is State.SKIPPED:
                self.tally.skipped += 1
            else:
                self.tally.failed += 1
                self.tally.reasons[(outcome.error or "")[:200]] += 1
        if group:
            self._observer.moved(self._stage, self.tally)


def _insert_rows(connection: sa.Connection, group: Sequence[Outcome]) -> None:
    rows: dict[sa.Table, list[Mapping[str, Any]]] = defaultdict(list)
    for outcome in group:
        for table, its_rows in outcome.rows.items():
            rows[table].extend(its_rows)
    for table, all_rows in rows.items():
        bulk.insert_rows(connection, table, all_rows)
