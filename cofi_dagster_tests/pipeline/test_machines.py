"""Machines that refuse, hang, die, come back, or are slow: no file is lost, and the others take over."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable

import pytest
import sqlalchemy as sa

from cofi_dagster.database import tables as t
from cofi_dagster.pipeline.progress import StageReport
from cofi_dagster.pipeline.tracker import StageFailed
from cofi_dagster_tests.fleet_simulator import FleetSimulator, Request
from cofi_dagster_tests.pipeline.site import Site

Opening = Callable[..., Site]


def at_home(here: Site, batch: int) -> Counter[str]:
    return Counter(row["ip"] for row in here.files(batch).values())


def in_background(run: Callable[[], StageReport]) -> Callable[[], StageReport]:
    """Start it in a thread; the result waits for its end, and gives its report or raises its error."""
    ended: list[StageReport | BaseException] = []

    def work() -> None:
        try:
            ended.append(run())
        except BaseException as error:  # noqa: BLE001 - handed to the test's thread
            ended.append(error)

    thread = threading.Thread(target=work)
    thread.start()

    def result() -> StageReport:
        thread.join(30)
        assert ended, "it has not ended"
        if isinstance(ended[0], BaseException):
            raise ended[0]
        return ended[0]

    return result


def wait_for(condition: Callable[[], bool], seconds: float = 15) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.02)


def requests_of(fleet: FleetSimulator, service: str) -> list[Request]:
    return [request for request in fleet.requests() if request.service == service]


def test_files_are_placed_round_robin(site: Opening, machines: FleetSimulator) -> None:
    here = site(**machines.environment())
    batch = here.make(10)
    machines.set_latency({"denoise": 0.01})
    here.run(batch, "file_distribution")
    assert sum(at_home(here, batch).values()) == 10
    assert {row["ip"] for row in here.files(batch).values()} == set(machines.machines)
    assert len(machines.files(0)) + len(machines.files(1)) == 10


@pytest.mark.parametrize("files", [1, 2, 40])
def test_the_files_of_a_dead_machine_move_to_the_other(
    each_site: Opening, machines: FleetSimulator, files: int
) -> None:
    here = each_site(**machines.environment())
    batch = here.make(files)
    here.up_to(batch, "denoise")
    here.execute(t.file_distribution.update().values(ip=machines.machines[0]))
    machines.kill(0)
    report = here.run(batch, "ivr")
    assert (report.done, report.failed) == (files, 0)
    assert at_home(here, batch) == {machines.machines[1]: files}
    assert len(machines.files(1)) == files
    assert [event["metadata"]["machine"] for event in here.events(batch, "machine_aside")] in (
        [],
        [machines.machines[0]],
    )


def test_one_reset_or_half_reply_is_repeated_and_moves_nothing(site: Opening, machines: FleetSimulator) -> None:
    here = site(**machines.environment())
    batch = here.make(20)
    here.up_to(batch, "denoise")
    before = at_home(here, batch)
    machines.fault("close", service="ivr", file="call_000003.wav")
    machines.fault("truncated", service="ivr", file="call_000004.wav")
    report = here.run(batch, "ivr")
    assert (report.done, report.failed) == (20, 0)
    assert machines.counts()["ivr", "call_000003.wav"] == 2
    assert machines.counts()["ivr", "call_000004.wav"] == 2
    assert sum(before.values()) == 20
    assert "setAside" not in report.metadata


def test_a_machine_that_hangs_is_given_up_after_the_timeout(site: Opening, machines: FleetSimulator) -> None:
    here = site(COFI_REQUEST_TIMEOUT_SECONDS=0.3, COFI_CONCURRENCY_PER_MACHINE=3, **machines.environment())
    batch = here.make(12)
    here.up_to(batch, "denoise")
    machines.fault("hang", service="ivr", machine=0, times=None)
    report = here.run(batch, "ivr")
    assert (report.done, report.failed) == (12, 0)
    assert at_home(here, batch)[machines.machines[1]] == 12
    assert "no reply within 0.3 s" in report.metadata["setAside"][0]


def test_a_machine_that_is_back_gets_work_again(site: Opening, machines: FleetSimulator) -> None:
    here = site(COFI_CONCURRENCY_PER_MACHINE=2, **machines.environment())
    batch = here.make(120)
    here.up_to(batch, "denoise")
    machines.set_latency({"ivr": 0.06})
    machines.down(0)
    ended = in_background(lambda: here.run(batch, "ivr"))
    wait_for(lambda: any(event for event in here.events(batch, "machine_aside")))
    machines.up(0)
    report = ended()
    assert (report.done, report.failed) == (120, 0)
    assert here.events(batch, "machine_back")
    assert any(request.machine == 0 for request in requests_of(machines, "health"))
    served = Counter(request.machine for request in requests_of(machines, "ivr") if request.status == 200)
    assert served[0] > 5
    assert sum(served.values()) == 120


def test_a_machine_that_comes_back_empty_gets_its_files_again(site: Opening, machines: FleetSimulator) -> None:
    here = site(**machines.environment() | {"GPU_MACHINES": machines.machines[0]})
    batch = here.make(10)
    here.up_to(batch, "denoise")
    machines.kill(0)
    machines.up(0)
    assert here.run(batch, "ivr").done == 10
    assert len(machines.files(0)) == 10


def test_with_the_whole_fleet_down_the_stage_says_so_and_a_re_run_resumes(
    each_site: Opening, machines: FleetSimulator
) -> None:
    here = each_site(COFI_FLEET_WAIT_SECONDS=1, **machines.environment())
    batch = here.make(60)
    here.up_to(batch, "denoise")
    machines.set_latency({"ivr": 0.05})
    ended = in_background(lambda: here.run(batch, "ivr"))
    wait_for(lambda: len(requests_of(machines, "ivr")) > 10)
    for machine in range(2):
        machines.down(machine)
    with pytest.raises(StageFailed, match=r"no machine of the fleet is in service for ivr \(waited 1 s\): 127.0.0.2: "):
        ended()
    state = here.stage(batch, "ivr")
    assert (state.status, here.status(batch)) == ("Failed", "Failed")
    assert state.error is not None
    assert state.error.startswith("no machine of the fleet is in service for ivr")
    assert state.ended is not None
    assert here.failures(batch) == {}
    done = here.flagged(batch, "ivrDone")
    assert 0 < len(done) < 60

    for machine in range(2):
        machines.up(machine)
    before = len(machines.requests())
    report = here.run(batch, "ivr", run="again")
    again = {request.file for request in machines.requests()[before:] if request.service == "ivr"}
    assert (report.done, report.failed, report.total) == (60, 0, 60)
    assert again.isdisjoint(done)
    assert here.stage(batch, "ivr").started == state.started
    assert here.status(batch) == "ivrDone"


def test_a_fleet_that_was_never_there_fails_no_file(site: Opening, free_port: Callable[[], int]) -> None:
    port = str(free_port())
    here = site(COFI_FLEET_WAIT_SECONDS=0.5, GPU_MACHINES="127.0.0.1", FILES_PORT=port)
    batch = here.make(1)
    with pytest.raises(StageFailed, match="file_distribution of batch 2026-01-15_1: no machine of the fleet"):
        here.run(batch, "file_distribution")
    assert here.failures(batch) == {}


def test_without_a_machine_configured_the_stage_says_what_to_set(site: Opening) -> None:
    here = site()
    batch = here.make(2)
    with pytest.raises(StageFailed, match="set GPU_MACHINES"):
        here.run(batch, "file_distribution")
    assert here.status(batch) == "Failed"


@pytest.mark.parametrize("kind", ["close", "hang"])
def test_a_file_that_brings_its_connection_down_each_time_fails_alone(
    site: Opening, machines: FleetSimulator, kind: str
) -> None:
    here = site(COFI_REQUEST_TIMEOUT_SECONDS=0.3, **machines.environment())
    batch = here.make(30)
    here.up_to(batch, "denoise")
    machines.fault(kind, service="ivr", file="call_000007.wav", times=None)  # type: ignore[arg-type]
    report = here.run(batch, "ivr")
    assert (report.done, report.failed) == (29, 1)
    (reason,) = here.failures(batch).values()
    assert "attempt 3 of 3" in reason
    assert machines.counts()["ivr", "call_000007.wav"] <= 6


def test_a_file_that_kills_each_machine_that_gets_it_does_not_stop_the_batch(
    site: Opening, machines: FleetSimulator
) -> None:
    here = site(COFI_CONCURRENCY_PER_MACHINE=4, COFI_MAX_ATTEMPTS=2, **machines.environment())
    batch = here.make(40)
    here.up_to(batch, "denoise")
    poison = "call_000000.wav"
    machines.set_latency({"ivr": 0.05})
    machines.fault("close", service="ivr", file=poison, times=None)
    running = threading.Event()

    def deaths() -> None:
        seen = 0
        while not running.is_set():
            hit = [request for request in requests_of(machines, "ivr") if request.file == poison]
            for request in hit[seen:]:
                machines.down(request.machine)
                time.sleep(0.2)
                machines.up(request.machine)
            seen = len(hit)
            time.sleep(0.02)

    killer = threading.Thread(target=deaths)
    killer.start()
    try:
        report = here.run(batch, "ivr")
    finally:
        running.set()
        killer.join()
    assert poison in here.failures(batch)
    assert report.done + report.failed == 40
    assert report.failed <= 4


def test_a_moved_file_that_is_gone_from_disk_fails_with_its_reason(site: Opening, machines: FleetSimulator) -> None:
    here = site(**machines.environment())
    batch = here.make(10)
    here.up_to(batch, "denoise")
    gone = "call_000002.wav"
    for machine in range(2):
        machines.forget(machine, gone)
    (here.directory(batch) / gone).unlink()
    report = here.run(batch, "ivr")
    assert (report.done, report.failed) == (9, 1)
    assert here.failures(batch) == {gone: "cannot be read: No such file or directory"}


# -- who does what -----------------------------------------------------------------------------------------------


def test_the_longest_files_go_first(site: Opening, machines: FleetSimulator) -> None:
    here = site(COFI_CONCURRENCY_PER_MACHINE=1, **machines.environment() | {"GPU_MACHINES": machines.machines[0]})
    batch = here.make(12, durations="uniform:20:120")
    here.up_to(batch, "lid")
    here.run(batch, "stt")
    order = [request.file for request in requests_of(machines, "stt")]
    lengths = here.calls(batch)
    assert [lengths[file]["audioDuration"] for file in order] == sorted(
        (row["audioDuration"] for row in lengths.values()), reverse=True
    )


def test_a_fast_machine_takes_work_from_a_slow_one_and_both_end_together(
    site: Opening, machines: FleetSimulator
) -> None:
    here = site(COFI_CONCURRENCY_PER_MACHINE=4, **machines.environment())
    batch = here.make(120)
    here.up_to(batch, "lid")
    machines.set_latency({"stt": 0.1})
    machines.set_machine(0, speed=0.25)
    started = time.monotonic()
    report = here.run(batch, "stt")
    took = time.monotonic() - started
    assert report.done == 120
    served = Counter(request.machine for request in requests_of(machines, "stt"))
    assert served[1] > 2 * served[0]
    ends = [max(r.time for r in requests_of(machines, "stt") if r.machine == machine) for machine in range(2)]
    assert abs(ends[0] - ends[1]) < 0.8
    ideal = 120 * 0.1 / (4 * (1 + 0.25))
    assert took < 2 * ideal
    moved = {file for file, row in here.files(batch).items() if row["ip"] == machines.machines[1]}
    assert {f"{batch}/{file}" for file in moved} <= set(machines.files(1))


def test_no_more_requests_are_in_flight_than_the_settings_allow(site: Opening, machines: FleetSimulator) -> None:
    here = site(COFI_CONCURRENCY_PER_MACHINE=3, **machines.environment())
    batch = here.make(60)
    machines.set_latency({"denoise": 0.02})
    here.up_to(batch, "denoise")
    assert machines.max_in_flight() == [3, 3]


def test_llm_servers_of_a_list_share_the_calls(site: Opening, machines: FleetSimulator) -> None:
    both = ",".join(machines.url(machine) + "/v1" for machine in range(2))
    here = site(
        LLM1_API_URL=both,
        LLM2_API_URL=machines.url(1) + "/v1/",
        **machines.environment() | {"GPU_MACHINES": machines.machines[0], "LLM_PORT": "9"},
    )
    batch = here.make(40, trades=False)
    here.up_to(batch, "triaging_step2")
    machines.set_latency({"llm1": 0.02, "llm2": 0.02})
    here.run(batch, "llm2")
    assert {request.machine for request in requests_of(machines, "llm1")} == {0, 1}
    assert {request.machine for request in requests_of(machines, "llm2")} == {1}
    assert here.status(batch) == "Completed"


def test_llm_servers_take_over_from_one_that_dies(site: Opening, machines: FleetSimulator) -> None:
    both = ",".join(machines.url(machine) + "/v1" for machine in range(2))
    here = site(LLM1_API_URL=both, **machines.environment())
    batch = here.make(30, trades=False)
    here.up_to(batch, "stt")
    machines.down(1)
    report = here.run(batch, "llm1")
    assert (report.done, report.failed) == (30, 0)
    count = sa.select(sa.func.count(sa.distinct(t.call_conversation.c.callId)))
    assert here.rows(count)[0][0] == 30
