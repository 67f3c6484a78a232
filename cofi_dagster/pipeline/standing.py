"""How a batch and its stages stand, read in two indexed queries; and the events that say how it came there.

What can be derived (the batch's state, its progress, its current stage) is derived here from what the tables hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from cofi_dagster.database import tables as t
from cofi_dagster.pipeline.batches import BatchError
from cofi_dagster.pipeline.status import PENDING, BatchStatus, StageStatus, batch_state
from cofi_dagster.settings import Settings
from cofi_dagster.stages import STAGES, Stage

UPLOAD = "upload"
READY = (StageStatus.COMPLETE, StageStatus.SKIPPED)


@dataclass(frozen=True, slots=True)
class StageState:
    """A stage of a batch as the database has it. Times are UTC without zone.

    Attributes:
        total, done, failed, skipped: files or rows; None before the stage has counted them.
        metadata: what the stage's module says about it.
        pace: what is left and in flight, of a stage at work, ``pace_at`` that time.
        skip_reason: why an operator skipped it, or None.
        worked, audio, seconds: files, seconds of audio and seconds of all its runs, without the time between them.
    """

    stage: Stage
    status: StageStatus
    started: Any
    ended: Any
    error: str | None = None
    total: int | None = None
    done: int | None = None
    failed: int | None = None
    skipped: int | None = None
    metadata: Mapping[str, Any] | None = None
    pace: Mapping[str, Any] | None = None
    pace_at: Any = None
    skip_reason: str | None = None
    worked: int = 0
    audio: float = 0.0
    seconds: float = 0.0

    @property
    def is_ready(self) -> bool:
        """Whether the stages after it need not wait for it."""
        return self.status in READY

    @property
    def ended_items(self) -> int:
        """Files or rows that have an outcome."""
        return (self.done or 0) + (self.failed or 0) + (self.skipped or 0)

    @property
    def progress(self) -> float:
        """Percent, 0 to 100."""
        if self.is_ready:
            return 100.0
        return min(100.0, 100.0 * self.ended_items / self.total) if self.total else 0.0


@dataclass(frozen=True, slots=True)
class Standing:
    """A batch and its stages at one moment; ``now`` is the database's clock then."""

    batch_id: int
    key: str
    word: str
    kind: str
    total_files: int
    created: Any
    now: Any
    stages: Mapping[str, StageState]

    @property
    def state(self) -> BatchStatus:
        """The batch's state in the terms of seed 004."""
        return batch_state(self.word, started=any(state.started is not None for state in self.stages.values()))

    def gone_through(self, settings: Settings) -> list[StageState]:
        """The stages that this batch goes through, in order: those of its kind that are not disabled."""
        return [self.stages[stage.name] for stage in stages_of(settings, self.kind)]

    def word_reached(self, settings: Settings) -> str:
        """The word of a batch that moves on: that of the last stage in the row of complete or skipped ones."""
        word = PENDING
        for state in self.gone_through(settings):
            if state.stage.done_word is None:
                continue
            if not state.is_ready:
                break
            word = state.stage.done_word
        return word

    def lacking(self, settings: Settings, stage: Stage) -> list[str]:
        """The stages that ``stage`` has to wait for."""
        gone_through = {state.stage.name for state in self.gone_through(settings)}
        return [name for name in stage.prerequisites if name in gone_through and not self.stages[name].is_ready]


def stages_of(settings: Settings, kind: str) -> list[Stage]:
    """The stages that a batch of this kind (``batch`` or ``upload``) goes through, in order."""
    return [s for s in STAGES if settings.is_enabled(s) and (s.in_upload or kind != UPLOAD)]


def standing(connection: sa.Connection, batch_id: int, *, lock: bool = False) -> Standing:
    """How a batch stands; with ``lock``, nobody else changes it before the transaction ends.

    Raises:
        BatchError: there is no such batch.
    """
    query = sa.select(t.batch_status, sa.type_coerce(t.utcnow(), sa.DateTime()).label("now"))
    query = query.where(t.batch_status.c.id == batch_id)
    row = connection.execute(query.with_for_update() if lock else query).mappings().one_or_none()
    if row is None:
        raise BatchError(f"there is no batch {batch_id}")
    chosen = sa.select(t.stage_detail).where(t.stage_detail.c.batchId == batch_id)
    details = {detail["stage"]: detail for detail in connection.execute(chosen).mappings()}
    return Standing(
        batch_id,
        f"{row['batchDate'].isoformat()}_{row['batchNumber']}",
        row["status"] or PENDING,
        row["kind"] or "batch",
        row["totalFiles"] or 0,
        row["createdAt"],
        row["now"],
        {stage.name: _state(stage, row, details.get(stage.name, {})) for stage in STAGES},
    )


def _state(stage: Stage, row: Mapping[Any, Any], detail: Mapping[Any, Any]) -> StageState:
    started, ended = row[stage.start_column], row[stage.end_column]
    return StageState(
        stage,
        _status(stage, row, detail),
        started,
        ended,
        error=detail.get("error"),
        total=detail.get("itemsTotal"),
        done=detail.get("itemsDone"),
        failed=detail.get("itemsFailed"),
        skipped=detail.get("itemsSkipped"),
        metadata=detail.get("metadata"),
        pace=detail.get("pace"),
        pace_at=detail.get("paceAt"),
        skip_reason=detail.get("skipReason"),
        worked=detail.get("itemsWorked") or 0,
        audio=detail.get("workDone") or 0.0,
        seconds=detail.get("secondsAtWork") or 0.0,
    )


def _status(stage: Stage, row: Mapping[Any, Any], detail: Mapping[Any, Any]) -> StageStatus:
    """A stage's status; that of a stage whose column is 0/1 follows from its times and what is noted beside."""
    if not stage.status_is_flag:
        return StageStatus(row[stage.status_column] or PENDING)
    if row[stage.status_column]:
        return StageStatus.COMPLETE
    if detail.get("skipReason") is not None:
        return StageStatus.SKIPPED
    if row[stage.start_column] is not None and row[stage.end_column] is None:
        return StageStatus.IN_PROGRESS
    if detail.get("pausedAt") is not None:
        return StageStatus.PAUSED
    return StageStatus.PENDING if detail.get("error") is None else StageStatus.FAILED


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
) -> int:
    """Insert one event into ``batchExecutionLog``; its id."""
    event = t.batch_execution_log.insert().values(
        batchId=batch_id,
        stage=stage,
        eventType=kind,
        status=status,
        totalFiles=total,
        processedFiles=processed,
        metadata=metadata,
    )
    inserted = connection.execute(event).inserted_primary_key
    assert inserted is not None
    return int(inserted[0])
