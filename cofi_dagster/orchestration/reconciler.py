"""The reconciler: a sensor that closes what dead runs left open, so that nothing says `InProgress` that nobody does,
and removes what uploads left that died before they were queued.

A process on this host is looked up; one elsewhere is dead after the lease's silence. A run that is slow but beats is
left alone. The Dagster run of a dead process is reported failed: the run retries of ``dagster.yaml`` go on with it.
"""

import time
from typing import Any

import dagster as dg
import sqlalchemy as sa

from cofi_dagster.adhoc import uploads
from cofi_dagster.database import tables as t
from cofi_dagster.database.engine import reading
from cofi_dagster.orchestration.control_jobs import end_runs
from cofi_dagster.orchestration.instance import bury, runs_of
from cofi_dagster.orchestration.resources import TrackingResource
from cofi_dagster.pipeline import lease
from cofi_dagster.pipeline.lease import Holder
from cofi_dagster.pipeline.status import BATCH_WORDS, CANCELLED, FAILED, PAUSED, StageStatus
from cofi_dagster.stages import STAGES

_RECENT = 200
_SWEEP_SECONDS = 3600.0
_AT_WORK = [*BATCH_WORDS, FAILED, PAUSED, CANCELLED]


def is_dead(holder: Holder | None) -> bool:
    """Whether a batch's holder is a batch's run that died; a reaudit's lease is for its own task to settle."""
    return holder is not None and holder.task_id is None and not holder.is_alive()


def reconcile(instance: dg.DagsterInstance, tracking: TrackingResource) -> list[str]:
    """Close what dead runs left open, and end the runs of cancelled batches; a line for each."""
    tracker = tracking.tracker
    said = []
    with reading(tracking.engine) as connection:
        held = lease.holders(connection)
        orphans = [int(i) for i in connection.execute(_left_open()).scalars()]
        cancelled = connection.execute(_cancelled_lately()).all()
    for batch_id in [batch_id for batch_id, holder in held.items() if is_dead(holder)]:
        lost = tracker.close_lost(batch_id, is_dead)
        if lost is not None:
            said.append(f"batch {batch_id}: run {lost.run_id} (process {lost.pid} on {lost.host}) died")
            run = instance.get_run_by_id(lost.run_id)
            if run is not None:
                bury(instance, run)
    for batch_id in orphans:
        if batch_id not in held:
            tracker.close_lost(batch_id, lambda holder: holder is None)
            said.append(f"batch {batch_id}: closed a stage that no run is at work on")
    for row in cancelled:
        key = f"{row.batchDate.isoformat()}_{row.batchNumber}"
        for run in runs_of(instance, key):
            said.append(f"batch {row.id} is cancelled: ending run {run.run_id}")
        end_runs(instance, tracking, row.id, key)
    return said


def _left_open() -> sa.Select[Any]:
    """Batches with a stage in progress, whether or not a run is at work on them."""
    batch = t.batch_status.c
    open_stage = [
        sa.and_(batch[s.start_column].is_not(None), batch[s.end_column].is_(None), batch[s.status_column] == 0)
        if s.status_is_flag
        else batch[s.status_column] == StageStatus.IN_PROGRESS
        for s in STAGES
    ]
    return sa.select(batch.id).where(batch.status.in_(_AT_WORK), sa.or_(*open_stage))


def _cancelled_lately() -> sa.Select[Any]:
    """Cancelled batches that still hold a lease or a wish: their runs have not ended."""
    batch, control = t.batch_status.c, t.batch_control.c
    return (
        sa.select(batch.id, batch.batchDate, batch.batchNumber)
        .join(t.batch_control, control.batchId == batch.id)
        .where(batch.status == CANCELLED, control.request.is_not(None))
        .limit(_RECENT)
    )


@dg.sensor(
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Closes the stages of runs whose process died, frees their pools, and lets the run retries go on.",
)
def dead_run_sensor(context: dg.SensorEvaluationContext, tracking: dg.ResourceParam[TrackingResource]) -> dg.SkipReason:
    """Never launches a run itself."""
    said = reconcile(context.instance, tracking)
    now = time.time()
    if now - float(context.cursor or 0) > _SWEEP_SECONDS:
        swept = uploads.sweep(tracking.engine, tracking.settings, now)
        said += [f"removed {path}: an upload that was never queued" for path in swept]
        context.update_cursor(f"{now:.0f}")
    for line in said:
        context.log.warning(line)
    return dg.SkipReason("; ".join(said) or "no run has died")
