"""The error table of the protocol, line by line: what a machine replies for a file, and what becomes of the file."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from cofi_dagster.pipeline.tracker import StageFailed
from cofi_dagster_tests.fleet_simulator import FleetSimulator
from cofi_dagster_tests.pipeline.site import Site

Opening = Callable[..., Site]
BAD = "call_000001.wav"
SERVICES = ("denoise", "ivr", "lid", "stt", "llm1", "llm2")
FLAG = {name: f"{name}Done" for name in SERVICES}


@pytest.mark.parametrize("status", [400, 413, 415, 422])
def test_a_file_that_cannot_be_processed_fails_at_once_with_the_detail(
    site: Opening, machines: FleetSimulator, status: int
) -> None:
    here = site(**machines.environment())
    batch = here.make(4)
    machines.fault("status", service="denoise", file=BAD, status=status, detail="codec of the Moon", times=None)
    report = here.up_to(batch, "denoise")
    assert (report.done, report.failed) == (3, 1)
    assert machines.counts()["denoise", BAD] == 1
    assert here.failures(batch) == {BAD: f"HTTP {status}: codec of the Moon"}
    assert here.stage(batch, "denoise").status == "Complete"


def test_every_kind_of_status_is_survived_in_one_batch(site: Opening, machines: FleetSimulator) -> None:
    passing = [408, 425, 500, 502, 504, 429, 503, 505, 301]
    here = site(**machines.environment())
    names = [f"{status}.wav" for status in passing]
    batch = here.make(names)
    for status in passing:
        machines.fault("status", service="ivr", file=f"{status}.wav", status=status)
    report = here.up_to(batch, "ivr")
    assert (report.done, report.failed) == (len(names), 0)
    assert {name: machines.counts()["ivr", name] for name in names} == dict.fromkeys(names, 2)


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("kind", ["invalid_json", "wrong_shape"])
def test_a_reply_of_another_shape_is_asked_for_again(
    site: Opening, machines: FleetSimulator, service: str, kind: str
) -> None:
    here = site(**machines.environment())
    batch = here.make(3)
    machines.fault(kind, service=service, file=BAD)  # type: ignore[arg-type]
    report = here.up_to(batch, service)
    assert (report.done, report.failed) == (3, 0)
    assert machines.counts()["files" if service == "files" else service, BAD] == 2


def test_a_file_whose_replies_stay_wrong_fails_after_the_attempts_and_loses_nothing_else(
    site: Opening, machines: FleetSimulator
) -> None:
    here = site(COFI_MAX_ATTEMPTS=2, **machines.environment())
    names = [f"{service}.wav" for service in SERVICES] + ["good.wav"]
    batch = here.make(names, trades=False)
    for service in SERVICES:
        machines.fault("wrong_shape", service=service, file=f"{service}.wav", times=None)
    here.run(batch)
    for service in SERVICES:
        assert machines.counts()[service, f"{service}.wav"] == 2
        assert f"{service}.wav" not in here.flagged(batch, FLAG[service])
        (reason,) = here.failures(batch, service).values()
        assert reason.startswith("the reply is not what the protocol says: ")
        assert reason.endswith("(attempt 2 of 2)")
    assert all(here.files(batch)["good.wav"][flag] for flag in FLAG.values())
    assert here.status(batch) == "Completed"


def test_attempts_are_those_of_the_settings(site: Opening, machines: FleetSimulator) -> None:
    here = site(COFI_MAX_ATTEMPTS=1, **machines.environment())
    batch = here.make(4)
    machines.fault("status", service="lid", file=BAD, status=500, times=None)
    here.up_to(batch, "lid")
    assert machines.counts()["lid", BAD] == 1
    assert here.failures(batch) == {BAD: "HTTP 500: a fault of the simulator (attempt 1 of 1)"}


@pytest.mark.parametrize("kind", ["length", "invalid_content"])
@pytest.mark.parametrize("service", ["llm1", "llm2"])
def test_an_llm_reply_cut_off_or_outside_its_schema_is_never_an_answer(
    site: Opening, machines: FleetSimulator, service: str, kind: str
) -> None:
    here = site(COFI_MAX_ATTEMPTS=2, **machines.environment())
    batch = here.make(3, trades=False)
    machines.fault(kind, service=service, file=BAD, times=None)  # type: ignore[arg-type]
    here.run(batch)
    assert machines.counts()[service, BAD] == 2
    assert BAD in here.failures(batch, service)
    asked = {question for question, row in here.answers(batch).get(BAD, {}).items() if row["model"] != "triaging"}
    assert asked == set()
    assert here.calls(batch)[BAD]["status"] == ("TranscriptDone" if service == "llm1" else "AuditDone")
    machines.clear_faults()
    here.run(batch)
    assert here.calls(batch)[BAD]["status"] == "Complete"
    assert len(here.answers(batch)[BAD]) == 20


def test_what_an_llm_stage_was_told_is_on_record_where_it_failed(site: Opening, machines: FleetSimulator) -> None:
    here = site(COFI_MAX_ATTEMPTS=1, **machines.environment())
    batch = here.make(3, trades=False)
    machines.fault("length", service="llm1", file=BAD)
    here.up_to(batch, "llm1")
    reason = here.failures(batch, "llm1")[BAD]
    assert "finish_reason is 'length' (cut off at max_tokens)" in reason
    (event,) = here.events(batch, "file_error")
    assert (event["stage"], event["fileName"], event["status"]) == ("llm1", BAD, "failed")
    assert event["metadata"] == {"error": reason, "attempts": 1}


# -- 404 ---------------------------------------------------------------------------------------------------------


def test_a_machine_that_lost_a_file_gets_it_again_once(site: Opening, machines: FleetSimulator) -> None:
    here = site(**machines.environment())
    batch = here.make(4)
    here.up_to(batch, "denoise")
    for machine in range(2):
        machines.forget(machine, BAD)
    report = here.run(batch, "ivr")
    assert (report.done, report.failed) == (4, 0)
    assert machines.counts()["files", BAD] == 2
    assert machines.counts()["ivr", BAD] == 2


def test_a_machine_that_keeps_losing_a_file_fails_that_file(site: Opening, machines: FleetSimulator) -> None:
    here = site(**machines.environment())
    batch = here.make(4)
    here.up_to(batch, "denoise")
    machines.fault("status", service="ivr", file=BAD, status=404, detail="no such file", times=None)
    report = here.run(batch, "ivr")
    assert (report.done, report.failed) == (3, 1)
    assert machines.counts()["files", BAD] == 2
    assert machines.counts()["ivr", BAD] == 2
    assert here.failures(batch) == {BAD: "HTTP 404: no such file"}


def test_a_404_is_no_attempt(site: Opening, machines: FleetSimulator) -> None:
    here = site(COFI_MAX_ATTEMPTS=1, **machines.environment())
    batch = here.make(2)
    here.up_to(batch, "denoise")
    machines.fault("forget", service="ivr", file=BAD)
    assert here.run(batch, "ivr").failed == 0


# -- busy --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_machine_costs_a_file_no_attempt(site: Opening, machines: FleetSimulator, status: int) -> None:
    here = site(COFI_MAX_ATTEMPTS=1, **machines.environment())
    batch = here.make(4)
    machines.fault("status", service="stt", file=BAD, status=status, retry_after=0, times=6)
    report = here.up_to(batch, "stt")
    assert (report.done, report.failed) == (4, 0)
    assert machines.counts()["stt", BAD] == 7


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_waited_for(site: Opening, machines: FleetSimulator, form: str) -> None:
    here = site(**machines.environment() | {"GPU_MACHINES": machines.machines[0]})
    batch = here.make(2)
    here.up_to(batch, "denoise")
    at = datetime.now(UTC) + timedelta(seconds=2)
    after: object = 1 if form == "seconds" else format_datetime(at, usegmt=True)
    machines.fault("status", service="ivr", file=BAD, status=503, retry_after=after)
    here.run(batch, "ivr")
    first, second = [request.time for request in machines.requests() if request[2:4] == ("ivr", BAD)]
    assert second - first >= (1.0 if form == "seconds" else 0.9)


def test_a_wait_ends_when_it_is_over_and_not_at_the_next_tick(site: Opening, machines: FleetSimulator) -> None:
    here = site(COFI_CONCURRENCY_PER_MACHINE=1, **machines.environment())
    batch = here.make(2)
    here.up_to(batch, "denoise")
    machines.fault("status", service="ivr", status=429, retry_after="0.05", times=12)
    started = time.monotonic()
    here.run(batch, "ivr")
    assert time.monotonic() - started < 2.5


def test_a_crowded_machine_is_sent_less_until_it_takes_what_it_gets(site: Opening) -> None:
    with FleetSimulator(machines=1, languages="en", segments=2, latency="0.02", capacity=4, retry_after="0.1") as fleet:
        here = site(COFI_CONCURRENCY_PER_MACHINE=32, **fleet.environment())
        batch = here.make(150, calls=False, trades=False)
        report = here.up_to(batch, "denoise")
        refused = sum(fleet.counts(status=503).values())
    assert (report.done, report.failed) == (150, 0)
    assert refused < 100


def test_a_fleet_that_is_busy_for_too_long_stops_the_stage(site: Opening, machines: FleetSimulator) -> None:
    here = site(COFI_FLEET_WAIT_SECONDS=1, **machines.environment())
    batch = here.make(8)
    here.up_to(batch, "denoise")
    machines.fault("status", service="ivr", status=503, detail="model loading", times=None)
    started = time.monotonic()
    with pytest.raises(StageFailed, match=r"no machine of the fleet is in service for ivr .*HTTP 503: model loading"):
        here.run(batch, "ivr")
    assert time.monotonic() - started < 8
    assert here.failures(batch) == {}
    machines.clear_faults()
    assert here.run(batch, "ivr").done == 8


# -- uploads -----------------------------------------------------------------------------------------------------


def test_a_full_disk_sends_the_files_to_the_other_machine(site: Opening, machines: FleetSimulator) -> None:
    here = site(**machines.environment())
    batch = here.make(8)
    machines.fault("status", service="files", machine=0, status=507, detail="disk full", times=None)
    report = here.run(batch, "file_distribution")
    assert (report.done, report.failed) == (8, 0)
    assert {row["ip"] for row in here.files(batch).values()} == {machines.machines[1]}
    assert len(machines.files(1)) == 8
    assert "its disk is full: disk full" in report.metadata["setAside"][0]


def test_an_upload_whose_checksum_differs_is_repeated(site: Opening, machines: FleetSimulator) -> None:
    here = site(**machines.environment())
    batch = here.make(4)
    machines.fault("status", service="files", file=BAD, status=400, detail="checksum")
    report = here.run(batch, "file_distribution")
    assert (report.done, report.failed) == (4, 0)
    assert machines.counts()["files", BAD] == 2


@pytest.mark.parametrize("kind", ["invalid_json", "wrong_shape"])
def test_an_upload_that_the_machine_does_not_confirm_is_repeated(
    site: Opening, machines: FleetSimulator, kind: str
) -> None:
    here = site(**machines.environment())
    batch = here.make(4)
    machines.fault(kind, service="files", file=BAD)  # type: ignore[arg-type]
    report = here.run(batch, "file_distribution")
    assert (report.done, report.failed) == (4, 0)
    assert machines.counts()["files", BAD] == 2


def test_an_uploaded_file_is_on_record_with_its_size_and_checksum(site: Opening, machines: FleetSimulator) -> None:
    here = site(**machines.environment())
    batch = here.make(2)
    here.run(batch, "file_distribution")
    content = (here.directory(batch) / BAD).read_bytes()
    row = here.files(batch)[BAD]
    assert (row["bytes"], row["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
