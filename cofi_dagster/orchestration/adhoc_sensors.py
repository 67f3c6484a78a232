"""The sensors of ad-hoc work: each queued task is launched once. Cursor-free: the table of tasks is the truth."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import dagster as dg
from dagster._core.storage.tags import RUN_KEY_TAG

from cofi_dagster.adhoc import reaudit, tasks
from cofi_dagster.adhoc.tasks import Task, TaskKind, TaskStatus
from cofi_dagster.orchestration.adhoc_jobs import TASK_TAG, audit_upload, reaudit_job, settle_if_dead
from cofi_dagster.orchestration.resources import FleetResource, TrackingResource
from cofi_dagster.pipeline.run import Pipeline

_AT_ONCE = 10
"""Most queued tasks that a tick looks at: they run one at a time, and the rest is still there at the next tick."""
_INTERVAL_SECONDS = 1


def to_launch(queued: Sequence[Task], launched: Mapping[str, dg.DagsterRun]) -> tuple[list[Task], list[Task]]:
    """Of the queued tasks those that no run was made for, and those whose run ended before it began.

    ``launched``: runs by their run key.
    """
    new = [task for task in queued if task.run_key not in launched]
    lost = [task for task in queued if task.run_key in launched and launched[task.run_key].is_finished]
    return new, lost


def _tick(
    context: dg.SensorEvaluationContext, pipeline: Pipeline, kind: TaskKind, waits: Callable[[Task], str | None]
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    engine, instance = pipeline.engine, context.instance
    for task in tasks.tasks(engine, kind, [TaskStatus.PROCESSING], 100):
        if settle_if_dead(instance, pipeline, task):
            context.log.error("the run %s of task %s ended without a word", task.run_id, task.id)
    queued = tasks.tasks(engine, kind, [TaskStatus.QUEUED], _AT_ONCE)
    if not queued:
        yield dg.SkipReason("no task is queued")
        return
    new, lost = to_launch(queued, _runs(instance, queued))
    for task in lost:
        tasks.fail(engine, task.id, "its run ended before it began; retry it")
    reasons = {task.id: waits(task) for task in new}
    for task in new:
        if reasons[task.id] is None:
            yield dg.RunRequest(run_key=task.run_key, tags={TASK_TAG: task.id})
    waiting = [reason for reason in reasons.values() if reason]
    if waiting or not new:
        yield dg.SkipReason("; ".join(waiting) or "every queued task has its run")


def _runs(instance: dg.DagsterInstance, queued: Sequence[Task]) -> dict[str, dg.DagsterRun]:
    wanted = dg.RunsFilter(tags={TASK_TAG: [task.id for task in queued]})
    return {run.tags[RUN_KEY_TAG]: run for run in instance.get_runs(filters=wanted) if RUN_KEY_TAG in run.tags}


@dg.sensor(
    job_name=audit_upload.name,
    minimum_interval_seconds=_INTERVAL_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Launches each queued audit upload, once; a task whose run died goes on in another.",
)
def audit_upload_sensor(
    context: dg.SensorEvaluationContext,
    tracking: dg.ResourceParam[TrackingResource],
    fleet: dg.ResourceParam[FleetResource],
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """A run request per queued upload."""
    yield from _tick(context, tracking.pipeline(fleet), TaskKind.UPLOAD, lambda task: None)


@dg.sensor(
    job_name=reaudit_job.name,
    minimum_interval_seconds=_INTERVAL_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Launches each queued reaudit, once, when no run is at work on its batches.",
)
def reaudit_sensor(
    context: dg.SensorEvaluationContext,
    tracking: dg.ResourceParam[TrackingResource],
    fleet: dg.ResourceParam[FleetResource],
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """A run request per queued reaudit whose batches are free."""
    pipeline = tracking.pipeline(fleet)

    def waits(task: Task) -> str | None:
        busy = reaudit.busy_batches(pipeline.tracker, pipeline.engine, task)
        return f"task {task.id} waits for a run at work on batch {busy[0]}" if busy else None

    yield from _tick(context, pipeline, TaskKind.REAUDIT, waits)
