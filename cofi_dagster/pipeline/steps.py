"""The steps of batches and stages, as changes of rows: each is checked against the tables of ``status`` first.

The caller has locked the batch (``standing(…, lock=True)``) and writes the stage's own event; a batch's is written
here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from cofi_dagster.database import tables as t
from cofi_dagster.pipeline import requests
from cofi_dagster.pipeline.stage_run import StageRefused, StageRun
from cofi_dagster.pipeline.standing import Standing, log_event, standing
from cofi_dagster.pipeline.status import (
    CANCELLED,
    COMPLETED,
    FAILED,
    PAUSED,
    BatchStatus,
    IllegalStep,
    StageStatus,
    check_batch_step,
    check_stage_step,
)
from cofi_dagster.settings import Settings
from cofi_dagster.stages import Stage

_WORDS = {
    BatchStatus.PAUSED: PAUSED,
    BatchStatus.COMPLETED: COMPLETED,
    BatchStatus.FAILED: FAILED,
    BatchStatus.CANCELLED: CANCELLED,
}
_EVENTS = {
    (BatchStatus.PENDING, BatchStatus.RUNNING): "batch_start",
    (BatchStatus.PAUSED, BatchStatus.RUNNING): "batch_resumed",
    (BatchStatus.FAILED, BatchStatus.RUNNING): "batch_retried",
    (BatchStatus.RUNNING, BatchStatus.PAUSED): "batch_paused",
    (BatchStatus.RUNNING, BatchStatus.COMPLETED): "batch_complete",
    (BatchStatus.RUNNING, BatchStatus.FAILED): "batch_failed",
    (BatchStatus.PENDING, BatchStatus.CANCELLED): "batch_cancelled",
    (BatchStatus.RUNNING, BatchStatus.CANCELLED): "batch_cancelled",
    (BatchStatus.PAUSED, BatchStatus.CANCELLED): "batch_cancelled",
}


def move_batch(
    connection: sa.Connection,
    found: Standing,
    after: BatchStatus,
    settings: Settings,
    *,
    run_id: str | None = None,
    stage: Stage | None = None,
    by: str | None = None,
) -> Standing:
    """Take a batch's step, with its event; ``running`` again moves its word on. How it stands then.

    Raises:
        IllegalStep: there is no such step; nothing was changed.
    """
    before = found.state
    again = before is after is BatchStatus.RUNNING
    if not again:
        check_batch_step(f"batch {found.batch_id}", before, after)
    word = _WORDS.get(after) or found.word_reached(settings)
    if word != found.word:
        chosen = t.batch_status.update().where(t.batch_status.c.id == found.batch_id)
        connection.execute(chosen.values(status=word))
    if not again:
        who = {"runId": run_id, "by": by, "from": str(before)}
        metadata = {name: value for name, value in who.items() if value}
        name = stage.name if stage else None
        log_event(connection, found.batch_id, name, _EVENTS[before, after], status=word, metadata=metadata)
    return replace(found, word=word)


def move_stage(
    connection: sa.Connection, found: Standing, stage: Stage, after: StageStatus, *, ended: Any = None
) -> Standing:
    """Take a stage's step, with its times: a start is set once, an end whenever it stops. How the batch stands then.

    Raises:
        IllegalStep: there is no such step; nothing was changed.
    """
    state = found.stages[stage.name]
    check_stage_step(f"{stage.name} of batch {found.batch_id}", state.status, after)
    values: dict[str, Any] = {
        stage.status_column: int(after is StageStatus.COMPLETE) if stage.status_is_flag else after
    }
    if after is StageStatus.IN_PROGRESS:
        values[stage.end_column] = None
        if state.started is None:
            values[stage.start_column] = t.utcnow()
    elif after is not StageStatus.SKIPPED:
        values[stage.end_column] = ended if ended is not None else t.utcnow()
    connection.execute(t.batch_status.update().where(t.batch_status.c.id == found.batch_id).values(values))
    started = found.now if after is StageStatus.IN_PROGRESS and state.started is None else state.started
    moved = replace(state, status=after, started=started)
    return replace(found, stages={**found.stages, stage.name: moved})


def skip(connection: sa.Connection, settings: Settings, batch_id: int, stage: Stage, reason: str | None) -> None:
    """Pass a stage over, because the settings disable it (no reason) or because an operator wants it.

    Raises:
        StageRefused: an operator may not skip it: the others need it.
        IllegalStep: an operator may not skip it now.
    """
    if reason is not None and not stage.optional:
        raise StageRefused(f"{stage.name} cannot be skipped: the others need it")
    found = standing(connection, batch_id, lock=True)
    state = found.stages[stage.name]
    if reason is None and (stage.status_is_flag or state.status not in (StageStatus.PENDING, StageStatus.FAILED)):
        return
    if reason is not None and found.state in (BatchStatus.COMPLETED, BatchStatus.CANCELLED):
        raise IllegalStep(f"batch {batch_id} is {found.state}: none of its stages can be skipped")
    move_stage(connection, found, stage, StageStatus.SKIPPED)
    if reason is not None:
        put_detail(connection, batch_id, stage, {"skipReason": reason[:255], "pausedAt": None})
    said = {"reason": reason} if reason else None
    log_event(connection, batch_id, stage.name, "stage_skipped", status=StageStatus.SKIPPED, metadata=said)


def note(connection: sa.Connection, run: StageRun, kind: str, status: StageStatus, error: str | None = None) -> int:
    """Write a stage's own event; its id."""
    if status is StageStatus.IN_PROGRESS:
        metadata = {"runId": run.run_id} if run.run_id else None
        return log_event(connection, run.batch_id, run.stage.name, kind, status=status, metadata=metadata)
    said = {"failed": run.failed, "skipped": run.skipped, **({"error": error} if error else {})}
    return log_event(
        connection,
        run.batch_id,
        run.stage.name,
        kind,
        status=status,
        total=run.total,
        processed=run.done,
        metadata=said,
    )


def note_pause(connection: sa.Connection, found: Standing, settings: Settings, run: StageRun) -> None:
    """The batch is paused in the stage: its wish has been heeded."""
    move_batch(connection, found, BatchStatus.PAUSED, settings, run_id=run.run_id, stage=run.stage)
    requests.clear(connection, run.batch_id)


def put_detail(connection: sa.Connection, batch_id: int, stage: Stage, values: dict[str, Any]) -> None:
    """Set columns of the stage's row of ``stageDetail``."""
    detail = t.stage_detail
    chosen = (detail.c.batchId == batch_id) & (detail.c.stage == stage.name)
    if connection.execute(detail.update().where(chosen).values(values)).rowcount:
        return
    if connection.execute(sa.select(sa.literal(1)).where(chosen)).first() is None:
        connection.execute(detail.insert().values(batchId=batch_id, stage=stage.name, **values))
