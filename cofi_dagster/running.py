"""Running a batch directory in this process, with what a person sees of it: used by the command line and the demo."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from cofi_dagster.console import StageBars
from cofi_dagster.pipeline import batches
from cofi_dagster.pipeline.status import COMPLETED, StageStatus
from cofi_dagster.settings import Settings


@dataclass(frozen=True, slots=True)
class RunResult:
    """How the run of a batch ended: the batch's status, and a sentence for each stage that failed."""

    batch_id: int
    run_id: str
    status: str
    errors: list[str] = field(default_factory=list)
    stage_is_done: bool = False

    @property
    def is_well(self) -> bool:
        """Whether all that was asked for is done: the batch, or the one stage that was to be run."""
        return self.status == COMPLETED or self.stage_is_done


def run_directory(settings: Settings, directory: Path, stage: str | None = None) -> RunResult:
    """Run a batch directory to its end, or one stage of it, as a Dagster run in this process; what is done stays done.

    Raises:
        BatchBusy: another run of the batch is queued or at work.
        BatchError: a batch of that key came from elsewhere.
        DatabaseError: the database cannot be used.
    """
    from cofi_dagster.orchestration.foreground import run_batch
    from cofi_dagster.orchestration.instance import open_instance
    from cofi_dagster.orchestration.resources import TrackingResource

    tracking = TrackingResource()
    batch = batches.register(tracking.engine, directory, settings.batches)
    with open_instance(settings) as instance, StageBars() as bars:
        run = run_batch(instance, tracking, batch, bars, stage)
    batch = batches.by_id(tracking.engine, batch.id, settings.batches)
    states = tracking.tracker.stages(batch.id)
    errors = [
        f"{name}: {state.error}" for name, state in states.items() if state.status is StageStatus.FAILED and state.error
    ]
    if not errors and not run.is_success:
        errors.append(f"Dagster run {run.run_id} ended as {run.status.value}; `cofi up` shows why")
    stage_is_done = stage is not None and states[stage].is_ready
    return RunResult(batch.id, run.run_id, batch.status, errors, stage_is_done)
