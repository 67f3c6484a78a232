"""What a person may do to a batch, with the Dagster runs that it means: for the command line, the API and the UI alike.

What is allowed, and what the database says afterwards, is ``pipeline.control``'s; here runs are ended and started. The
UI's way in is the job ``batch_control``: a person launches it with the batch and the action.
"""

import time
from collections.abc import Callable
from enum import Enum

import dagster as dg
from dagster._core.storage.dagster_run import DagsterRunStatus
from pydantic import Field

from cofi_dagster.database.engine import DatabaseError, reading, writing
from cofi_dagster.orchestration.instance import runs_of
from cofi_dagster.orchestration.jobs import BATCH_TAG, batch_pipeline
from cofi_dagster.orchestration.page_links import batch_page, say_page
from cofi_dagster.orchestration.partitions import BATCHES
from cofi_dagster.orchestration.resources import TrackingResource
from cofi_dagster.pipeline import batches, requests
from cofi_dagster.pipeline.batches import BatchError
from cofi_dagster.pipeline.control import Control, Done, UnknownStage
from cofi_dagster.pipeline.status import IllegalStep
from cofi_dagster.pipeline.tracker import StageRefused
from cofi_dagster.settings import parse_batch_key

LAUNCH_TAG = "cofi/launch"
_WAITING = (DagsterRunStatus.QUEUED, DagsterRunStatus.NOT_STARTED)
_GRACE_SECONDS = 3.0
_POLL_SECONDS = 0.1
REFUSED = (IllegalStep, StageRefused)
"""What the API answers with 409, and the command line with exit code 1."""


class Operator:
    """The verbs of ``pipeline.control`` on one instance: what is decided there happens to the batch's runs here."""

    def __init__(self, instance: dg.DagsterInstance, tracking: TrackingResource) -> None:
        self._instance = instance
        self._tracking = tracking
        self._control = Control(tracking.engine, tracking.settings)

    def launch(self, batch_id: int, *, by: str | None = None) -> Done:
        """Let the daemon start a batch that has not begun, if no run of it waits already.

        Raises:
            IllegalStep: it has begun or is over, or its run waits for its turn.
        """
        if runs_of(self._instance, self._key(batch_id)):
            raise IllegalStep(f"batch {batch_id} has a run already, which waits for its turn")
        return self._control.launch(batch_id, by=by)

    def pause(self, batch_id: int, *, by: str | None = None) -> Done:
        """Pause a batch; its run finishes what is in flight and ends.

        Raises:
            IllegalStep: it is not running.
            BatchError: there is no such batch.
        """
        has_run = bool(runs_of(self._instance, self._key(batch_id)))
        return self._control.pause(batch_id, by=by, has_run=has_run)

    def resume(self, batch_id: int, *, by: str | None = None, launch: bool = True) -> Done:
        """Let a paused batch go on, by a run of the daemon's (``launch``) or one that the caller makes.

        Raises:
            IllegalStep: it is not paused.
        """
        return self._control.resume(batch_id, by=by, launch=launch)

    def retry(self, batch_id: int, stage: str | None = None, *, by: str | None = None, launch: bool = True) -> Done:
        """Try again what failed of a batch, or of one stage of it.

        Raises:
            IllegalStep: nothing failed, it is being worked on, or a run of it is on its way.
            UnknownStage: there is no such stage.
        """
        has_run = any(run.status in _WAITING for run in runs_of(self._instance, self._key(batch_id)))
        return self._control.retry(batch_id, stage, by=by, launch=launch, has_run=has_run)

    def skip(self, batch_id: int, stage: str, *, by: str | None = None, reason: str | None = None) -> Done:
        """Pass over an optional stage of one batch.

        Raises:
            StageRefused: the stage is not optional.
            IllegalStep: it is at work, complete or skipped, or the batch is over.
        """
        return self._control.skip(batch_id, stage, by=by, reason=reason)

    def cancel(self, batch_id: int, *, by: str | None = None) -> Done:
        """Give a batch up, and end its runs: one that waits at once, one at work when it has closed its stage.

        Raises:
            IllegalStep: it is completed, failed or cancelled already.
        """
        done = self._control.cancel(batch_id, by=by)
        end_runs(self._instance, self._tracking, batch_id, self._key(batch_id))
        return done

    def _key(self, batch_id: int) -> str:
        return batches.by_id(self._tracking.engine, batch_id, self._tracking.settings.batches).key


def end_runs(instance: dg.DagsterInstance, tracking: TrackingResource, batch_id: int, key: str) -> None:
    """End the runs of a cancelled batch. One at work gets a moment to close its stage by itself, then a signal."""
    end = time.monotonic() + _GRACE_SECONDS
    for run in runs_of(instance, key):
        at_work = run.status not in _WAITING
        while at_work and time.monotonic() < end and tracking.tracker.holder(batch_id) is not None:
            time.sleep(_POLL_SECONDS)
        while at_work and time.monotonic() < end and not _is_over(instance, run.run_id):
            time.sleep(_POLL_SECONDS)
        if not _is_over(instance, run.run_id):
            instance.run_coordinator.cancel_run(run.run_id)


def _is_over(instance: dg.DagsterInstance, run_id: str) -> bool:
    run = instance.get_run_by_id(run_id)
    return run is None or run.is_finished


class Action(str, Enum):  # noqa: UP042 - Dagster's config knows this form of an enum
    """What ``batch_control`` does."""

    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    RETRY = "retry"
    SKIP = "skip"


class ControlConfig(dg.Config):
    """What a person who launches ``batch_control`` says."""

    batch: str = Field(description="The batch: its key, like 2026-01-15_1, or its id.")
    action: Action = Field(description="pause, resume, cancel, retry or skip.")
    stage: str | None = Field(None, description="The stage to skip, or the only one to retry.")


@dg.op(out=dg.Out(dg.Nothing), description="Pauses, resumes, cancels or retries a batch, or skips a stage of it.")
def control_batch(
    context: dg.OpExecutionContext, config: ControlConfig, tracking: dg.ResourceParam[TrackingResource]
) -> None:
    """The op of ``batch_control``."""
    operator = Operator(context.instance, tracking)
    try:
        batch_id = _batch_id(tracking, config.batch)
        say_page(context.instance, context.run, f"batch {batch_id}", batch_page(batch_id))
        done = _verb(operator, config)(batch_id)
    except (IllegalStep, StageRefused, BatchError, UnknownStage, DatabaseError) as refused:
        raise dg.Failure(description=str(refused), allow_retries=False) from refused
    context.log.info("batch %d is %s", done.batch_id, done.state)


def _verb(operator: Operator, config: ControlConfig) -> Callable[[int], Done]:
    by = "the Dagster UI"
    if config.action is Action.SKIP:
        if config.stage is None:
            raise UnknownStage("skip needs the stage")
        stage = config.stage
        return lambda batch_id: operator.skip(batch_id, stage, by=by)
    if config.action is Action.RETRY:
        return lambda batch_id: operator.retry(batch_id, config.stage, by=by)
    verbs = {Action.PAUSE: operator.pause, Action.RESUME: operator.resume, Action.CANCEL: operator.cancel}
    return lambda batch_id: verbs[config.action](batch_id, by=by)


def _batch_id(tracking: TrackingResource, named: str) -> int:
    if named.isdecimal():
        return int(named)
    try:
        parse_batch_key(named)
    except ValueError as error:
        raise BatchError(str(error)) from None
    known = batches.by_key(tracking.engine, named, tracking.settings.batches)
    if known is None:
        raise BatchError(f"there is no batch {named}")
    return known.id


@dg.job(
    tags={"dagster/max_retries": "0", "dagster/priority": "20"},
    executor_def=dg.in_process_executor,
    description="Pauses, resumes, cancels or retries a batch, or skips a stage of it, as [COFI's pages](/cofi) do.",
)
def batch_control() -> None:
    """One op."""
    control_batch()


@dg.sensor(
    job=batch_pipeline,
    minimum_interval_seconds=2,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Starts the runs of batches that a person launched, resumed or retried; each once.",
)
def batch_launch_sensor(
    context: dg.SensorEvaluationContext, tracking: dg.ResourceParam[TrackingResource]
) -> dg.SensorResult | dg.SkipReason:
    """A run request per launch that is asked for; one whose run is there is done with."""
    with reading(tracking.engine) as connection:
        wanted = requests.launches(connection)
    fresh = []
    for launch in wanted:
        if context.instance.get_runs(filters=dg.RunsFilter(tags={LAUNCH_TAG: _name(launch)}), limit=1):
            with writing(tracking.engine) as connection:
                requests.launched(connection, launch)
        else:
            fresh.append(launch)
    if not fresh:
        return dg.SkipReason("no batch was launched, resumed or retried")
    return dg.SensorResult(
        run_requests=[
            dg.RunRequest(
                run_key=f"launch:{_name(launch)}",
                partition_key=launch.key,
                tags={BATCH_TAG: launch.key, LAUNCH_TAG: _name(launch)},
                asset_selection=[dg.AssetKey(launch.stage)] if launch.stage else None,
            )
            for launch in fresh
        ],
        dynamic_partitions_requests=[BATCHES.build_add_request([launch.key for launch in fresh])],
    )


def _name(launch: requests.Launch) -> str:
    return f"{launch.batch_id}:{launch.number}"
