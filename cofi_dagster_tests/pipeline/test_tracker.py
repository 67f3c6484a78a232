"""Times and statuses of stages (seed 000, step 8), and the lease by which two runs keep off one batch."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import pairwise

import psutil
import pytest

from cofi_dagster.database import tables as t
from cofi_dagster.pipeline.tracker import BatchBusy, StageFailed, StageRefused
from cofi_dagster.stages import NAMES, STAGES
from cofi_dagster_tests.fleet_simulator import FleetSimulator
from cofi_dagster_tests.pipeline.site import INTAKE, Site

Opening = Callable[..., Site]

SEED_NAMES = {
    "file_distribution": "dbInsertion",
    "callmetadata": "callmetadata",
    "trademetadata": "trademetadata",
    "denoise": "denoise",
    "ivr": "ivr",
    "lid": "lid",
    "triaging": "triaging",
    "stt": "stt",
    "llm1": "llm1",
    "triaging_step2": "triagingStep2",
    "llm2": "llm2",
}


def columns(here: Site, batch: int) -> dict[str, object]:
    ((row),) = here.rows(t.batch_status.select().where(t.batch_status.c.id == batch))
    return dict(row._mapping)


# -- times -------------------------------------------------------------------------------------------------------


def test_set_stage_start_time(each_site: Opening) -> None:
    here = each_site()
    batch = here.make(1)
    here.tracker.set_stage_start_time(batch, "lid")
    first = columns(here, batch)["lidStartTime"]
    assert isinstance(first, datetime)
    here.tracker.set_stage_start_time(batch, "lid")
    assert columns(here, batch)["lidStartTime"] == first


def test_set_stage_end_time(each_site: Opening) -> None:
    here = each_site()
    batch = here.make(1)
    here.tracker.set_stage_end_time(batch, "lid")
    first = columns(here, batch)["lidEndTime"]
    assert isinstance(first, datetime)
    time.sleep(0.002)
    here.tracker.set_stage_end_time(batch, "lid")
    second = columns(here, batch)["lidEndTime"]
    assert isinstance(second, datetime)
    assert second > first


def test_stage_name_mapping(site: Opening) -> None:
    here = site()
    assert {stage.name: stage.column for stage in STAGES} == SEED_NAMES
    batch = here.make(1)
    for name, column in SEED_NAMES.items():
        here.tracker.set_stage_start_time(batch, name)
        here.tracker.set_stage_end_time(batch, name)
        row = columns(here, batch)
        assert row[f"{column}StartTime"] is not None
        assert row[f"{column}EndTime"] is not None


def test_a_stage_that_does_not_exist_is_an_error(site: Opening) -> None:
    here = site()
    with pytest.raises(KeyError):
        here.tracker.set_stage_start_time(here.make(1), "lids")


def test_get_stage_duration(each_site: Opening) -> None:
    here = each_site()
    batch = here.make(1)
    assert here.tracker.get_stage_duration(batch, "stt") is None
    start = datetime(2026, 1, 15, 10)
    here.execute(t.batch_status.update().values(sttStartTime=start))
    assert here.tracker.get_stage_duration(batch, "stt") is None
    here.execute(t.batch_status.update().values(sttEndTime=start + timedelta(seconds=754.25)))
    assert here.tracker.get_stage_duration(batch, "stt") == 754.25


def test_times_are_utc_whatever_the_zone_of_the_server(each_site: Opening) -> None:
    here = each_site()
    batch = here.make(1)
    here.tracker.set_stage_start_time(batch, "lid")
    started = here.stage(batch, "lid").started
    assert abs((started - datetime.utcfromtimestamp(time.time())).total_seconds()) < 5


def test_batch_pipeline_sets_timestamps(each_site: Opening, machines: FleetSimulator) -> None:
    here = each_site(**machines.environment())
    batch = here.make(10)
    here.run(batch)
    states = list(here.tracker.stages(batch).values())
    assert [state.status for state in states] == ["Complete"] * len(STAGES)
    for state, following in pairwise(states):
        assert state.started <= state.ended <= following.started
    assert here.status(batch) == "Completed"


def test_resume_preserves_start_time(each_site: Opening, machines: FleetSimulator) -> None:
    here = each_site(COFI_MAX_ATTEMPTS=1, **machines.environment())
    batch = here.make(3)
    machines.fault("status", service="denoise", status=400, times=3)
    with pytest.raises(StageFailed):
        here.up_to(batch, "denoise")
    before = here.stage(batch, "denoise")
    time.sleep(0.01)
    here.run(batch, "denoise")
    after = here.stage(batch, "denoise")
    assert (before.status, after.status) == ("Failed", "Complete")
    assert after.started == before.started
    assert after.ended > before.ended


def test_a_settled_stage_keeps_its_times(site: Opening, machines: FleetSimulator) -> None:
    here = site(**machines.environment())
    batch = here.make(3)
    here.run(batch)
    before = here.tracker.stages(batch)
    count = len(machines.requests())
    here.run(batch, run="again")
    assert here.tracker.stages(batch) == before
    assert len(machines.requests()) == count


def test_stage_with_no_files(each_site: Opening, machines: FleetSimulator) -> None:
    here = each_site(**machines.environment())
    machines.fault("status", service="lid", status=422, times=None)
    batch = here.make(2)
    here.run(batch, *INTAKE, "denoise", "ivr")
    machines.clear_faults()
    here.execute(t.call.update().values(status="ShortCall"))
    here.run(batch, "lid", "triaging")
    report = here.run(batch, "stt")
    state = here.stage(batch, "stt")
    assert (report.total, report.done, report.skipped) == (2, 0, 2)
    assert (state.status, state.started is None, state.ended is None) == ("Complete", False, False)
    report = here.run(batch, "llm1")
    state = here.stage(batch, "llm1")
    assert (report.total, state.status, state.started is None, state.ended is None) == (0, "Complete", False, False)


def test_stage_with_all_failures(each_site: Opening, machines: FleetSimulator) -> None:
    here = each_site(**machines.environment())
    batch = here.make(5)
    machines.fault("status", service="lid", file="call_00000[0-3].wav", status=415, detail="codec", times=None)
    machines.fault("status", service="lid", status=422, detail="empty", times=None)
    with pytest.raises(StageFailed, match="all 5 files failed, 4 of them with: HTTP 415: codec"):
        here.up_to(batch, "lid")
    state = here.stage(batch, "lid")
    assert (state.status, here.status(batch)) == ("Failed", "Failed")
    assert state.error == "all 5 files failed, 4 of them with: HTTP 415: codec"
    assert state.ended >= state.started
    (event,) = here.events(batch, "stage_failed")
    assert (event["stage"], event["totalFiles"], event["processedFiles"]) == ("lid", 5, 0)
    assert event["metadata"] == {"failed": 5, "skipped": 0, "error": state.error}


def test_disabled_stage(each_site: Opening, machines: FleetSimulator) -> None:
    here = each_site(COFI_STAGES_DISABLED="denoise,ivr", **machines.environment())
    batch = here.make(3)
    here.run(batch)
    for name in ("denoise", "ivr"):
        state = here.stage(batch, name)
        assert (state.status, state.started, state.ended) == ("Skipped", None, None)
        assert here.flagged(batch, f"{name}Done") == set()
    assert here.status(batch) == "Completed"
    assert [event["stage"] for event in here.events(batch, "stage_skipped")] == ["denoise", "ivr"]


def test_the_batch_moves_through_its_words(site: Opening, machines: FleetSimulator) -> None:
    here = site(COFI_STAGES_DISABLED="ivr", **machines.environment())
    batch = here.make(2)
    words = [here.status(batch)]
    for name in NAMES:
        here.run(batch, name)
        words.append(here.status(batch))
    assert list(dict.fromkeys(words)) == [
        "Pending", "dbInsertDone", "denoiseDone", "lidDone", "triagingDone", "sttDone", "llm1Done",
        "triagingStep2Done", "Completed",
    ]  # fmt: skip


def test_a_stage_waits_for_its_prerequisites(site: Opening, machines: FleetSimulator) -> None:
    here = site(**machines.environment())
    batch = here.make(2)
    assert not here.tracker.can_start_stage(batch, "stt")
    with pytest.raises(StageRefused, match=r"stt of batch .* waits for lid"):
        here.run(batch, "stt")
    assert (here.stage(batch, "stt").status, here.status(batch)) == ("Pending", "Pending")
    here.up_to(batch, "lid")
    assert here.tracker.can_start_stage(batch, "stt")


def test_a_cancelled_batch_is_left_alone(site: Opening, machines: FleetSimulator) -> None:
    here = site(**machines.environment())
    batch = here.make(2)
    here.execute(t.batch_status.update().values(status="Cancelled"))
    with pytest.raises(StageRefused, match="cancelled"):
        here.run(batch, "file_distribution")
    assert here.status(batch) == "Cancelled"


def test_a_run_that_is_told_to_end_leaves_the_stage_terminated(each_site: Opening) -> None:
    here = each_site()
    batch = here.make(1)
    with pytest.raises(KeyboardInterrupt), here.tracker.stage(batch, "file_distribution", "run"):
        raise KeyboardInterrupt
    state = here.stage(batch, "file_distribution")
    assert (state.status, state.error, here.status(batch)) == ("Failed", "terminated", "Failed")
    assert state.ended is not None
    assert here.tracker.holder(batch) is None


# -- the lease ---------------------------------------------------------------------------------------------------


def test_two_runs_keep_off_one_batch_and_the_second_fails_nothing(each_site: Opening) -> None:
    here = each_site()
    batch = here.make(1)
    with here.tracker.stage(batch, "file_distribution", "first"):
        with pytest.raises(BatchBusy, match=rf"run first \(process {os.getpid()} on {socket.gethostname()}\)"):
            here.run(batch, "file_distribution", run="second")
        assert (here.status(batch), here.stage(batch, "file_distribution").status) == ("Pending", "InProgress")
    assert here.stage(batch, "file_distribution").status == "Complete"
    with here.tracker.stage(batch, "callmetadata", "second"):
        assert here.stage(batch, "callmetadata").status == "InProgress"


def test_of_many_runs_that_start_at_once_one_gets_the_batch(each_site: Opening) -> None:
    here = each_site()
    batch = here.make(1)
    gate, release = threading.Barrier(8), threading.Event()
    ended: list[str] = []

    def attempt(number: int) -> None:
        gate.wait()
        try:
            with here.tracker.stage(batch, "file_distribution", f"run {number}"):
                release.wait(10)
                ended.append("held")
        except BatchBusy:
            ended.append("busy")
            if len(ended) == 7:
                release.set()
        except Exception as error:  # noqa: BLE001 - shown by the assertion
            ended.append(repr(error))
            release.set()

    threads = [threading.Thread(target=attempt, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ended) == ["busy"] * 7 + ["held"]


def lease(here: Site, batch: int, **changes: object) -> None:
    own = psutil.Process()
    values = {"runId": "lost", "host": socket.gethostname(), "pid": own.pid, "processStarted": own.create_time()}
    here.execute(t.batch_lease.insert().values({"batchId": batch, **values, **changes}))


def dead_process() -> int:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return ended.pid


@pytest.mark.parametrize("how", ["process gone", "number used again", "silent elsewhere"])
def test_the_batch_of_a_dead_run_is_taken_over(each_site: Opening, machines: FleetSimulator, how: str) -> None:
    here = each_site(**machines.environment())
    batch = here.make(2)
    here.run(batch, "file_distribution")
    here.execute(t.batch_status.update().values(denoiseStatus="InProgress", denoiseStartTime=t.utcnow()))
    started = here.stage(batch, "denoise").started
    changes: dict[str, dict[str, object]] = {
        "process gone": {"pid": dead_process()},
        "number used again": {"processStarted": 1.0, "heartbeatAt": datetime(2026, 1, 1)},
        "silent elsewhere": {"host": "elsewhere", "heartbeatAt": datetime(2026, 1, 1)},
    }
    lease(here, batch, **changes[how])
    here.run(batch, "callmetadata", run="next")
    state = here.stage(batch, "denoise")
    assert (state.status, state.started) == ("Failed", started)
    assert state.ended >= started
    (event,) = here.events(batch, "run_lost")
    assert (event["stage"], event["metadata"]["runId"]) == ("denoise", "lost")
    assert here.run(batch, "denoise", run="next").done == 2
    assert here.stage(batch, "denoise").started == started


def test_the_batch_of_a_run_that_lives_elsewhere_is_not_taken(each_site: Opening) -> None:
    here = each_site()
    batch = here.make(1)
    lease(here, batch, host="elsewhere", pid=1)
    with pytest.raises(BatchBusy, match="process 1 on elsewhere"):
        here.run(batch, "file_distribution")
