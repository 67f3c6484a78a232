"""What the API says of batches, read from the database. Queries and shapes; nothing is changed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from cofi_dagster.database import tables as t
from cofi_dagster.database.engine import reading
from cofi_dagster.pipeline.pending import JOINED
from cofi_dagster.pipeline.remaining import Past, estimate, history
from cofi_dagster.pipeline.standing import StageState, Standing, stages_of, standing
from cofi_dagster.pipeline.status import (
    COMPLETED,
    DOCUMENT_WORDS,
    BatchStatus,
    StageStatus,
    batch_state,
    document_word,
    phase_word,
)
from cofi_dagster.settings import Settings
from cofi_dagster.stages import STAGES, Stage
from cofi_dagster.web import models as m

_HISTORY_SECONDS = 60.0
_BATCH = t.batch_status


class BatchReads:
    """The reads of one database."""

    def __init__(self, engine: sa.Engine, settings: Settings) -> None:
        self._engine = engine
        self._settings = settings
        self._history: dict[str, tuple[float, list[Past] | None]] = {}

    # -- one batch -----------------------------------------------------------------------------------------------

    def timing(self, batch_id: int) -> m.TimingReply:
        """Seed 000, step 7.

        Raises:
            BatchError: there is no such batch.
        """
        with reading(self._engine) as connection:
            found = standing(connection, batch_id)
            remaining = estimate(connection, self._settings, found, self.past(connection, found)).batch
        stages = [
            m.StageTiming(
                name=state.stage.name,
                start_time=state.started,
                end_time=state.ended,
                duration_seconds=_duration(state),
                status=state.status,
            )
            for state in self.shown(found)
        ]
        started, ended = _began(found), _ended(found)
        elapsed = None if started is None else ((ended or found.now) - started).total_seconds()
        return m.TimingReply(
            batch_id=batch_id,
            stages=stages,
            total_elapsed_seconds=elapsed,
            estimated_remaining_seconds=round(remaining.seconds, 1) if remaining else None,
            estimated_remaining_low=round(remaining.low, 1) if remaining else None,
            estimated_remaining_high=round(remaining.high, 1) if remaining else None,
        )

    def job_status(self, batch_id: int) -> m.JobStatusReply:
        """Seed 004.

        Raises:
            BatchError: there is no such batch.
        """
        with reading(self._engine) as connection:
            found = standing(connection, batch_id)
            calls = sa.select(t.call.c.status, sa.func.count()).where(t.call.c.batchId == batch_id)
            counts = {status: count for status, count in connection.execute(calls.group_by(t.call.c.status))}
        shown, error, current = self.shown(found), _error(found), self.current(found)
        return m.JobStatusReply(
            job_id=str(batch_id),
            batch_id=batch_id,
            batch=found.key,
            status=found.state.value,
            phase=current,
            progress=self.progress(found),
            message=error or (f"at {current}" if current else found.word),
            error=error,
            metrics={"total_files": found.total_files, "calls": counts},
            started_at=_began(found),
            completed_at=_ended(found),
            phase_details=[_phase(state, found.state) for state in shown],
        )

    def document_status(self, batch_id: int) -> m.DocumentStatusReply:
        """Seed 003.

        Raises:
            BatchError: there is no such batch.
        """
        with reading(self._engine) as connection:
            found = standing(connection, batch_id)
        return m.DocumentStatusReply(
            batch_id=batch_id,
            status=document_word(found.state),
            current_stage=self.current(found),
            progress=self.progress(found),
            started_at=_began(found),
            completed_at=_ended(found),
            error=_error(found),
            stage_status={state.stage.name: _detail(state) for state in self.shown(found)},
        )

    def files(self, batch_id: int, limit: int, offset: int, status: str | None) -> m.FilesReply:
        """A page of a batch's files by name; ``status``: only calls with it.

        Raises:
            BatchError: there is no such batch.
        """
        files, call = t.file_distribution.c, t.call.c
        flags = [stage for stage in STAGES if stage.done_flag]
        chosen = (call.batchId == batch_id) if status is None else (call.batchId == batch_id) & (call.status == status)
        named = sa.select(call.audioName).where(chosen).order_by(call.audioName).limit(limit).offset(offset)
        columns = [call.id, files.file, files.ip, call.status, call.lang, call.audioDuration]
        query = sa.select(*columns, *(files[stage.done_flag or ""] for stage in flags)).select_from(JOINED)
        with reading(self._engine) as connection:
            total = connection.execute(_count_files(batch_id, status)).scalar_one()
            if not total:
                standing(connection, batch_id)
            names = list(connection.execute(named).scalars())
            page = query.where(files.batchId == batch_id, files.file.in_(names)).order_by(files.file)
            rows = connection.execute(page).mappings().all()
            errors = _newest_errors(connection, [row["id"] for row in rows])
        return m.FilesReply(batch_id=batch_id, total=total, files=[_file(row, flags, errors) for row in rows])

    # -- all batches ---------------------------------------------------------------------------------------------

    def batches(self, limit: int, offset: int, status: str | None) -> m.BatchesReply:
        """A page of batches, newest first; ``status``: only those whose ``batchStatus.status`` it is."""
        chosen = sa.true() if status is None else _BATCH.c.status == status
        with reading(self._engine) as connection:
            total = connection.execute(sa.select(sa.func.count()).select_from(_BATCH).where(chosen)).scalar_one()
            page = sa.select(_BATCH).where(chosen).order_by(_BATCH.c.id.desc()).limit(limit).offset(offset)
            rows = connection.execute(page).mappings().all()
        return m.BatchesReply(total=total, batches=[self.line(row) for row in rows])

    def statistics(self) -> m.StatisticsReply:
        """Seed 003: of each stage how many batches stand where."""
        view = sa.text("SELECT * FROM vw_stage_statistics")
        with reading(self._engine) as connection:
            now = connection.execute(sa.select(sa.type_coerce(t.utcnow(), sa.DateTime()))).scalar_one()
            rows = {row["stage_name"]: row for row in connection.execute(view).mappings()}
        return m.StatisticsReply(timestamp=now, stages={s.name: _counts(s, rows[s.name]) for s in STAGES})

    def trends(self, days: int) -> m.TrendsReply:
        """The last days on which batches were completed, oldest first."""
        times = [c for s in STAGES for c in (s.start_column, s.end_column)]
        columns = [_BATCH.c.batchDate, _BATCH.c.totalFiles, *(_BATCH.c[name] for name in times)]
        done = _BATCH.c.status == COMPLETED
        with reading(self._engine) as connection:
            dates = sa.select(_BATCH.c.batchDate).where(done).distinct().order_by(_BATCH.c.batchDate.desc()).limit(days)
            first = min(connection.execute(dates).scalars(), default=None)
            if first is None:
                return m.TrendsReply(days=[])
            query = sa.select(*columns).where(done, _BATCH.c.batchDate >= first)
            rows = connection.execute(query).mappings().all()
        by_day: dict[str, list[Mapping[Any, Any]]] = {}
        for row in sorted(rows, key=lambda row: row["batchDate"]):
            by_day.setdefault(row["batchDate"].isoformat(), []).append(row)
        return m.TrendsReply(days=[_day(day, its) for day, its in by_day.items()])

    def past(self, connection: sa.Connection, found: Standing) -> list[Past]:
        """The batches of the past that an estimate rests on, read once a minute: they change no more."""
        now = time.monotonic()
        at, past = self._history.get(found.kind, (0.0, None))
        if past is None or now - at > _HISTORY_SECONDS:
            past = history(connection, found)
            self._history[found.kind] = (now, past)
        return past

    # -- parts ---------------------------------------------------------------------------------------------------

    def shown(self, found: Standing) -> list[StageState]:
        """The stages of the batch's kind; a disabled one is among them as long as it has a say."""
        wanted = {stage.name for stage in stages_of(self._settings, found.kind)}
        return [
            state
            for name, state in found.stages.items()
            if name in wanted or (found.kind != "upload" and state.status is StageStatus.SKIPPED)
        ]

    def progress(self, found: Standing) -> float:
        """Percent of the batch, each of its stages counted alike."""
        states = found.gone_through(self._settings)
        return round(sum(state.progress for state in states) / len(states), 1)

    def current(self, found: Standing) -> str | None:
        """The stage that the batch is in, or that comes next."""
        waiting = [state for state in found.gone_through(self._settings) if not state.is_ready]
        at_work = [state for state in waiting if state.status is StageStatus.IN_PROGRESS]
        return next((state.stage.name for state in [*at_work, *waiting]), None)

    def line(self, row: Mapping[Any, Any]) -> m.BatchLine:
        """A row of ``batchStatus`` as a line of the list."""
        states = [(stage, _word(stage, row)) for stage in stages_of(self._settings, row["kind"])]
        ready = [stage for stage, word in states if word in (StageStatus.COMPLETE, StageStatus.SKIPPED)]
        starts = [row[s.start_column] for s, _ in states if row[s.start_column]]
        ends = [row[s.end_column] for s, _ in states if row[s.end_column]]
        state = batch_state(row["status"], started=bool(starts))
        is_over = state not in (BatchStatus.PENDING, BatchStatus.RUNNING)
        current = next((stage.name for stage, _ in states if stage not in ready), None)
        return m.BatchLine(
            batch_id=row["id"],
            batch=_key(row),
            kind=row["kind"],
            status=row["status"],
            state=state.value,
            total_files=row["totalFiles"] or 0,
            progress=round(100 * len(ready) / len(states), 1),
            current_stage=current,
            created_at=row["createdAt"],
            started_at=min(starts, default=None),
            completed_at=max(ends, default=None) if is_over else None,
        )


def _key(row: Any) -> str:
    mapping = row if isinstance(row, Mapping) else row._mapping
    return f"{mapping['batchDate'].isoformat()}_{mapping['batchNumber']}"


def _began(found: Standing) -> datetime | None:
    return min((state.started for state in found.stages.values() if state.started), default=None)


def _ended(found: Standing) -> datetime | None:
    if found.state in (BatchStatus.PENDING, BatchStatus.RUNNING):
        return None
    return max((state.ended for state in found.stages.values() if state.ended), default=None)


def _error(found: Standing) -> str | None:
    failed = (s for s in found.stages.values() if s.status is StageStatus.FAILED)
    return next((f"{s.stage.name}: {s.error or 'no reason is known'}" for s in failed), None)


def _duration(state: StageState) -> float | None:
    return None if None in (state.started, state.ended) else (state.ended - state.started).total_seconds()


def _phase(state: StageState, batch: BatchStatus) -> m.PhaseDetail:
    return m.PhaseDetail(
        name=state.stage.name,
        status=phase_word(state.status, batch, state.error),
        progress=int(state.progress),
        items_processed=(state.total or 0) if state.is_ready and not state.ended_items else state.ended_items,
        items_total=state.total or 0,
        started_at=state.started,
        completed_at=state.ended,
        error=state.error,
    )


def _detail(state: StageState) -> m.StageStatusDetail:
    return m.StageStatusDetail(
        status=DOCUMENT_WORDS[state.status],
        started_at=state.started,
        completed_at=state.ended,
        duration_seconds=_duration(state),
        progress=round(state.progress, 1),
        error=state.error,
        metadata=dict(state.metadata or {}),
    )


def _word(stage: Stage, row: Mapping[Any, Any]) -> str:
    """A stage's status by its column alone: of one that holds 0/1, ``Complete`` or ``Pending`` (decision 30)."""
    value = row[stage.status_column]
    if stage.status_is_flag:
        return StageStatus.COMPLETE if value else StageStatus.PENDING
    return str(value or StageStatus.PENDING)


def _seconds(stage: Stage, row: Mapping[Any, Any]) -> float | None:
    start, end = row[stage.start_column], row[stage.end_column]
    return None if None in (start, end) else float((end - start).total_seconds())


def _counts(stage: Stage, row: Mapping[Any, Any]) -> m.StageCounts:
    """The view's counts; a stage whose column is 0/1 is completed or pending (decision 30)."""
    words = ("pending", "processing", "completed", "failed", "skipped")
    counts = {word: int(row[f"{word}_count"]) for word in words}
    if stage.status_is_flag:
        undone = sum(count for word, count in counts.items() if word != "completed")
        counts = {**dict.fromkeys(words, 0), "completed": counts["completed"], "pending": undone}
    average = row["avg_duration_seconds"]
    return m.StageCounts(**counts, avg_duration=None if average is None else round(float(average), 3))


def _day(day: str, rows: Sequence[Mapping[Any, Any]]) -> m.TrendDay:
    stages: dict[str, float] = {}
    for stage in STAGES:
        seconds = [s for row in rows if (s := _seconds(stage, row)) is not None]
        if seconds:
            stages[stage.name] = round(sum(seconds) / len(seconds), 3)
    files = sum(row["totalFiles"] or 0 for row in rows)
    return m.TrendDay(date=day, batches=len(rows), files=files, stages=stages)


def _count_files(batch_id: int, status: str | None) -> sa.Select[Any]:
    """How many calls there are, of a status or of any: each by an index alone."""
    calls = sa.select(sa.func.count()).select_from(t.call).where(t.call.c.batchId == batch_id)
    return calls if status is None else calls.where(t.call.c.status == status)


def _newest_errors(connection: sa.Connection, call_ids: Sequence[int]) -> dict[int, str]:
    log = t.processing_logs.c
    query = sa.select(log.call_id, log.stage_name, log.error_message).where(
        log.call_id.in_(call_ids), log.status == "failed"
    )
    return {row.call_id: f"{row.stage_name}: {row.error_message}" for row in connection.execute(query.order_by(log.id))}


def _file(row: Mapping[Any, Any], flags: Sequence[Stage], errors: Mapping[int, str]) -> m.FileLine:
    return m.FileLine(
        call_id=row["id"],
        file=row["file"],
        machine=row["ip"],
        status=row["status"],
        language=row["lang"],
        duration_seconds=row["audioDuration"] or 0.0,
        done={stage.name: bool(row[stage.done_flag or ""]) for stage in flags},
        error=errors.get(row["id"]),
    )
