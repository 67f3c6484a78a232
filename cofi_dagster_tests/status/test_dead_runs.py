"""Runs that died without a word are closed, a slow one is left alone; and launches that a person asked for."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.tags import PARTITION_NAME_TAG

from cofi_dagster.adhoc.tasks import new_id
from cofi_dagster.adhoc.uploads import upload_root
from cofi_dagster.database import tables as t
from cofi_dagster.definitions import build_defs
from cofi_dagster.orchestration.control_jobs import Operator, batch_launch_sensor
from cofi_dagster.orchestration.foreground import origin_of
from cofi_dagster.orchestration.instance import open_instance
from cofi_dagster.orchestration.jobs import BATCH_PIPELINE
from cofi_dagster.orchestration.reconciler import dead_run_sensor
from cofi_dagster.orchestration.resources import TrackingResource
from cofi_dagster.pipeline.status import IllegalStep
from cofi_dagster.pipeline.tracker import StagePaused, StageRefused
from cofi_dagster_tests.pipeline.site import Site

Opening = Callable[..., Site]
KEY = "2026-01-15_1"


@pytest.fixture
def tracking(each_site: Opening, monkeypatch: pytest.MonkeyPatch) -> tuple[Site, TrackingResource]:
    """An installation, and the resource that Dagster's sensors get of it."""
    here = each_site()
    resource = TrackingResource()
    for name, value in (("settings", here.settings), ("engine", here.engine), ("tracker", here.tracker)):
        monkeypatch.setitem(resource.__dict__, name, value)
    return here, resource


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def run_of(instance: dg.DagsterInstance, status: dg.DagsterRunStatus, **tags: str) -> dg.DagsterRun:
    job = build_defs().resolve_job_def(BATCH_PIPELINE)
    instance.add_dynamic_partitions("batches", [KEY])
    known = {PARTITION_NAME_TAG: KEY, **tags}
    return instance.create_run_for_job(job, tags=known, status=status, remote_job_origin=origin_of(BATCH_PIPELINE))


def at_work(here: Site, run_id: str, **lease: Any) -> int:
    """A batch whose file distribution is in progress in a run whose lease has these columns."""
    batch = here.make(1)
    here.tracker.start_stage(batch, "file_distribution", run_id)
    if lease:
        here.execute(t.batch_lease.update().values(**lease))
    return batch


def dead_process() -> int:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return ended.pid


def reconciled(instance: dg.DagsterInstance, tracking: TrackingResource, cursor: str | None = None) -> str:
    """What a tick of the sensor says."""
    resources = {"tracking": dg.ResourceDefinition.hardcoded_resource(tracking)}
    with dg.build_sensor_context(instance=instance, cursor=cursor, resources=resources) as context:
        tick = dead_run_sensor.evaluate_tick(context)
    assert float(tick.cursor or 0) > time.time() - 3600
    assert not tick.run_requests
    return tick.skip_message or ""


@pytest.mark.parametrize("how", ["process gone", "number is another's after a reboot", "silent elsewhere"])
def test_a_dead_run_is_closed_and_its_dagster_run_is_reported(
    tracking: tuple[Site, TrackingResource], instance: dg.DagsterInstance, how: str
) -> None:
    here, resource = tracking
    run = run_of(instance, dg.DagsterRunStatus.STARTED)
    lease: dict[str, dict[str, Any]] = {
        "process gone": {"pid": dead_process()},
        "number is another's after a reboot": {"processStarted": 1.0, "heartbeatAt": datetime(2026, 1, 1)},
        "silent elsewhere": {"host": "elsewhere", "heartbeatAt": datetime(2026, 1, 1)},
    }
    batch = at_work(here, run.run_id, **lease[how])
    assert f"run {run.run_id}" in reconciled(instance, resource)
    state = here.stage(batch, "file_distribution")
    assert (state.status, state.error, here.status(batch)) == ("Failed", "the run's process died", "Failed")
    assert state.ended >= state.started
    (event,) = here.events(batch, "run_lost")
    assert event["metadata"]["runId"] == run.run_id
    assert here.tracker.holder(batch) is None
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    assert found.status is dg.DagsterRunStatus.FAILURE
    assert reconciled(instance, resource) == "no run has died"


@pytest.mark.parametrize("how", ["here", "here, and the clock was set", "elsewhere"])
def test_a_run_that_is_merely_slow_is_left_alone(
    tracking: tuple[Site, TrackingResource], instance: dg.DagsterInstance, how: str
) -> None:
    here, resource = tracking
    leases: dict[str, dict[str, Any]] = {
        "here": {"heartbeatAt": datetime(2026, 1, 1)},
        "here, and the clock was set": {"processStarted": time.time() + 3600},
        "elsewhere": {"host": "elsewhere", "pid": 1},
    }
    batch = at_work(here, "slow", **leases[how])
    assert reconciled(instance, resource) == "no run has died"
    assert here.stage(batch, "file_distribution").status == "InProgress"


def test_a_stage_in_progress_that_no_run_holds_is_closed(
    tracking: tuple[Site, TrackingResource], instance: dg.DagsterInstance
) -> None:
    here, resource = tracking
    batch = at_work(here, "gone")
    here.execute(t.batch_lease.delete())
    assert "no run is at work on" in reconciled(instance, resource)
    assert (here.stage(batch, "file_distribution").status, here.status(batch)) == ("Failed", "Failed")


def test_a_run_from_which_the_batch_was_taken_writes_nothing_more(tracking: tuple[Site, TrackingResource]) -> None:
    here, _ = tracking
    batch = here.make(1)
    with here.tracker.stage(batch, "file_distribution", "slow"):
        here.tracker.close_lost(batch, lambda holder: True)
        assert here.status(batch) == "Failed"
    assert (here.stage(batch, "file_distribution").status, here.status(batch)) == ("Failed", "Failed")


def test_the_sensor_looks_once_an_hour_for_what_uploads_left(
    tracking: tuple[Site, TrackingResource], instance: dg.DagsterInstance
) -> None:
    here, resource = tracking
    left = upload_root(here.settings) / new_id()
    left.mkdir(parents=True)
    os.utime(left, (0, 0))
    assert reconciled(instance, resource, str(time.time())) == "no run has died"
    assert reconciled(instance, resource, str(time.time() - 3601)) == f"removed {left}: an upload that was never queued"
    assert not left.exists()


def launched(instance: dg.DagsterInstance, tracking: TrackingResource) -> list[dg.RunRequest]:
    with dg.build_sensor_context(instance=instance) as context:
        result = batch_launch_sensor(context, tracking=tracking)
    return list(result.run_requests or []) if isinstance(result, dg.SensorResult) else []


def test_a_resume_is_launched_once_whatever_happens_between(
    tracking: tuple[Site, TrackingResource], instance: dg.DagsterInstance
) -> None:
    here, resource = tracking
    batch = at_work(here, "first")
    here.tracker.fail_stage(batch, "file_distribution", "no machine", run_id="first")
    operator = Operator(instance, resource)
    operator.retry(batch, "file_distribution", by="anna")
    (request,) = launched(instance, resource)
    (again,) = launched(instance, resource)
    assert request.run_key == again.run_key == f"launch:{batch}:1"
    assert (request.partition_key, request.asset_selection) == (KEY, [dg.AssetKey("file_distribution")])
    waiting = run_of(instance, dg.DagsterRunStatus.QUEUED, **request.tags)
    assert launched(instance, resource) == []
    assert launched(instance, resource) == []
    with pytest.raises(IllegalStep, match=f"a run of batch {batch} is on its way"):
        operator.retry(batch)
    instance.report_run_failed(waiting)
    operator.retry(batch)
    (request,) = launched(instance, resource)
    assert (request.run_key, request.asset_selection) == (f"launch:{batch}:2", None)


def test_a_pause_holds_though_the_run_that_resumes_the_batch_is_still_in_the_queue(
    tracking: tuple[Site, TrackingResource], instance: dg.DagsterInstance
) -> None:
    here, resource = tracking
    batch = at_work(here, "first")
    here.tracker.fail_stage(batch, "file_distribution", "no machine", run_id="first")
    operator = Operator(instance, resource)
    operator.retry(batch)
    (request,) = launched(instance, resource)
    run_of(instance, dg.DagsterRunStatus.QUEUED, **request.tags)
    operator.pause(batch)
    with pytest.raises(StagePaused):
        here.tracker.start_stage(batch, "file_distribution", "the queued run")
    assert here.status(batch) == "Paused"


def test_a_cancel_ends_a_run_that_waits_for_its_turn_at_once_and_for_good(
    tracking: tuple[Site, TrackingResource], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, resource = tracking
    monkeypatch.setenv("DAGSTER_HOME", str(here.settings.dagster_home))
    batch = here.make(1)
    with open_instance(here.settings) as queueing:
        run = run_of(queueing, dg.DagsterRunStatus.QUEUED)
        asked = time.monotonic()
        Operator(queueing, resource).cancel(batch)
        found = queueing.get_run_by_id(run.run_id)
    assert time.monotonic() - asked < 5
    assert found is not None
    assert (here.status(batch), found.status) == ("Cancelled", dg.DagsterRunStatus.CANCELED)
    with pytest.raises(StageRefused, match=f"batch {batch} is cancelled"):
        here.tracker.start_stage(batch, "file_distribution", "a run that came too late")
    assert here.tracker.holder(batch) is None


def test_a_cancel_ends_a_run_that_does_not_end_by_itself(
    tracking: tuple[Site, TrackingResource], instance: dg.DagsterInstance
) -> None:
    here, resource = tracking
    batch = here.make(1)
    run = run_of(instance, dg.DagsterRunStatus.STARTING)
    ended: list[str] = []
    instance.run_coordinator.cancel_run = ended.append  # type: ignore[assignment,method-assign]
    Operator(instance, resource).cancel(batch)
    assert here.status(batch) == "Cancelled"
    assert ended == [run.run_id]
