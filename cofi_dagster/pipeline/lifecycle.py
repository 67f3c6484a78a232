"""The life of a stage, as transactions on its batch: it begins, it stops, its batch follows; and a lost run is closed.

Each takes a connection within a transaction, locks the batch's row, and is the tracker's to call.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import sqlalchemy as sa

from cofi_dagster.pipeline import lease, requests
from cofi_dagster.pipeline.lease import Holder
from cofi_dagster.pipeline.stage_run import StageRefused, StageRun
from cofi_dagster.pipeline.standing import Standing, log_event, standing
from cofi_dagster.pipeline.status import CANCELLED, BatchStatus, StageStatus
from cofi_dagster.pipeline.steps import move_batch, move_stage, note, note_pause, put_detail
from cofi_dagster.settings import Settings

RUN_DIED = "the run's process died"


def begin(connection: sa.Connection, settings: Settings, run: StageRun) -> None:
    """A stage begins, and its batch runs.

    Raises:
        StageRefused: a prerequisite is not complete, or the batch is cancelled.
        IllegalStep: it is in progress already.
    """
    batch_id, stage = run.batch_id, run.stage
    found = standing(connection, batch_id, lock=True)
    if found.word == CANCELLED:
        raise StageRefused(f"batch {batch_id} is cancelled")
    if lacking := found.lacking(settings, stage):
        raise StageRefused(f"{stage.name} of batch {batch_id} waits for {', '.join(lacking)}")
    run.begin(found.stages[stage.name])
    move_stage(connection, found, stage, StageStatus.IN_PROGRESS)
    if found.state in (BatchStatus.PENDING, BatchStatus.FAILED, BatchStatus.PAUSED):
        move_batch(connection, found, BatchStatus.RUNNING, settings, run_id=run.run_id)
    cleared = {"error": None, "pausedAt": None, "skipReason": None, "pace": None, "paceAt": None}
    put_detail(connection, batch_id, stage, cleared)
    run.start_event = note(connection, run, "stage_start", StageStatus.IN_PROGRESS)


def stop(connection: sa.Connection, settings: Settings, run: StageRun, status: StageStatus, error: str | None) -> None:
    """A stage ends so, and its batch follows; the run lets go of the batch.

    Raises:
        IllegalStep: it is not in progress.
    """
    batch_id, stage = run.batch_id, run.stage
    found = standing(connection, batch_id, lock=True)
    if not lease.release(connection, batch_id, run.run_id) and run.counts:
        return  # the batch was taken from this run, which gave no sign of life: it is the other's to close
    if found.word == CANCELLED:
        requests.clear(connection, batch_id)
        if status is not StageStatus.COMPLETE:
            status, error = StageStatus.FAILED, CANCELLED.lower()
    found = move_stage(connection, found, stage, status)
    put_detail(connection, batch_id, stage, run.detail(status, error))
    kinds = {StageStatus.COMPLETE: "stage_complete", StageStatus.PAUSED: "stage_paused"}
    note(connection, run, kinds.get(status, "stage_failed"), status, error)
    _follow(connection, settings, run, found, status)


def _follow(connection: sa.Connection, settings: Settings, run: StageRun, found: Standing, status: StageStatus) -> None:
    """What a stage's end means for its batch."""
    if found.state is not BatchStatus.RUNNING:
        return
    if status is StageStatus.FAILED:
        move_batch(connection, found, BatchStatus.FAILED, settings, run_id=run.run_id, stage=run.stage)
    elif status is StageStatus.PAUSED:
        note_pause(connection, found, settings, run)
    else:
        move_batch(connection, found, found.state, settings)
        complete(connection, settings, found)


def complete(connection: sa.Connection, settings: Settings, found: Standing) -> None:
    """The batch is completed, if all that it goes through is."""
    if not is_through(settings, found):
        return
    if found.state is not BatchStatus.RUNNING:
        found = move_batch(connection, found, BatchStatus.RUNNING, settings)
    move_batch(connection, found, BatchStatus.COMPLETED, settings)
    requests.clear(connection, found.batch_id)


def is_through(settings: Settings, found: Standing) -> bool:
    """Whether each of its stages is complete or skipped, and the batch itself is not over yet."""
    over = (BatchStatus.COMPLETED, BatchStatus.CANCELLED)
    return found.state not in over and all(state.is_ready for state in found.gone_through(settings))


def close_lost(connection: sa.Connection, settings: Settings, batch_id: int, holder: Holder | None) -> None:
    """Close the stages that a dead run left in progress: end time its last sign of life, or now."""
    found = standing(connection, batch_id, lock=True)
    who = {"runId": holder.run_id, "host": holder.host, "pid": holder.pid} if holder is not None else {}
    for state in found.stages.values():
        if state.status is not StageStatus.IN_PROGRESS:
            continue
        alive_at = max(holder.heartbeat_at, state.started) if holder is not None and state.started else None
        found = move_stage(connection, found, state.stage, StageStatus.FAILED, ended=alive_at)
        error = RUN_DIED if found.word != CANCELLED else CANCELLED.lower()
        put_detail(connection, batch_id, state.stage, {"error": error, "pace": None, "paceAt": None})
        status = StageStatus.FAILED
        log_event(connection, batch_id, state.stage.name, "run_lost", status=status, metadata=who)
        if found.state is BatchStatus.RUNNING:
            run_id = holder.run_id if holder else None
            move_batch(connection, found, BatchStatus.FAILED, settings, run_id=run_id, stage=state.stage)


def shielded(write: Callable[[], None]) -> None:
    """Let a stage's end be written whole: a second signal, which raises in this thread, waits until it is."""
    failure: list[BaseException] = []

    def run() -> None:
        try:
            write()
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
            failure.append(error)

    thread = threading.Thread(target=run, name="cofi-stage-end")
    thread.start()
    try:
        thread.join()
    except BaseException:
        thread.join()
        raise
    if failure:
        raise failure[0]
