"""What a stage tells of each machine: files per minute, errors by kind, and since when it is set aside."""

from __future__ import annotations

from collections.abc import Callable

from cofi_dagster.pipeline.machine_tally import Mishap
from cofi_dagster.pipeline.pace import Pace
from cofi_dagster_tests.fleet_simulator import FleetSimulator
from cofi_dagster_tests.pipeline.site import Site

Opening = Callable[..., Site]


def test_files_per_minute_are_those_of_the_last_minute() -> None:
    pace = Pace([10.0] * 1000)
    machine = pace.machine("gpu1")
    assert pace.figures(0.0)["gpu1"]["perMinute"] is None
    said = []
    for second in range(1, 201):
        machine.answered += 2 if second <= 100 else 0
        said.append(pace.figures(float(second))["gpu1"]["perMinute"])
    assert said[9] == said[99] == 120.0
    assert 55.0 < said[129] < 65.0
    assert said[199] == 0.0


def test_a_machine_that_is_set_aside_says_since_when_and_why() -> None:
    pace = Pace([10.0])
    pace.begun("gpu1", 5.0)
    pace.ended("gpu1", 5.0, 7.5)
    machine = pace.machine("gpu1")
    machine.met(Mishap.NO_REPLY, "connection refused")
    machine.aside = (8.0, "connection refused")
    assert pace.aside() == {"gpu1": "connection refused"}
    said = pace.figures(20.0)["gpu1"]
    assert (said["asideSeconds"], said["seconds"], said["lastError"]) == (12.0, 2.5, "connection refused")
    machine.aside = None
    assert pace.aside() == {}
    assert "asideSeconds" not in pace.figures(21.0)["gpu1"]


def test_a_stage_counts_the_errors_of_each_machine_by_kind(site: Opening, machines: FleetSimulator) -> None:
    here = site(COFI_CONCURRENCY_PER_MACHINE=4, **machines.environment() | {"GPU_MACHINES": machines.machines[0]})
    batch = here.make(30)
    here.up_to(batch, "denoise")
    for status, file in ((503, 1), (500, 2), (422, 3)):
        how = {"retry_after": 0.05} if status == 503 else {}
        machines.fault("status", service="ivr", file=f"call_{file:06d}.wav", status=status, **how)
    machines.fault("close", service="ivr", file="call_000004.wav")
    machines.forget(0, "call_000005.wav")
    report = here.run(batch, "ivr")
    (did,) = report.metadata["machines"].values()
    assert did["errors"] == {"busy": 1, "fault": 1, "file refused": 1, "no reply": 1, "file missing": 1}
    assert (did["files"], report.failed) == (29, 1)
