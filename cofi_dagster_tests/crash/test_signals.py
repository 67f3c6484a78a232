"""A run that is told to end: within seconds, with its times and statuses right, to be taken up again."""

from __future__ import annotations

import signal
import time

import pytest

from cofi_dagster_tests.crash.conftest import Installation
from cofi_dagster_tests.crash.test_kill import HELD, assert_nothing_doubled, done
from cofi_dagster_tests.fleet_simulator import FleetSimulator

SECONDS = 3.0


@pytest.mark.parametrize("database_url", ["mariadb"], indirect=True)
def test_a_termination_or_ctrl_c_ends_a_run_in_seconds_and_it_resumes(
    installation: Installation, slow_fleet: FleetSimulator
) -> None:
    here = installation.site
    batch = here.make(60)
    told = (("denoise", signal.SIGTERM), ("stt", signal.SIGINT), ("llm2", signal.SIGTERM))
    started = {}
    for stage, number in told:
        slow_fleet.fault("hang", service=stage, file=HELD, times=None)
        run = installation.run(batch)
        run.until(lambda stage=stage: len(done(here, batch, stage)) >= 20)  # type: ignore[misc]
        at = time.monotonic()
        run.signal(number)
        code = run.wait(20)
        took = time.monotonic() - at
        assert code == 1, run.err
        assert took < SECONDS
        state = here.stage(batch, stage)
        assert (state.status, state.error, here.status(batch)) == ("Failed", "terminated", "Failed")
        assert state.ended > state.started
        assert f"{stage}: terminated" in run.err
        assert "Traceback" not in run.err
        assert here.tracker.holder(batch) is None
        assert 20 <= len(done(here, batch, stage)) < 60
        started[stage] = state.started
        slow_fleet.clear_faults()
    assert installation.run(batch).wait() == 0
    assert here.status(batch) == "Completed"
    assert {stage: here.stage(batch, stage).started for stage in started} == started
    assert here.events(batch, "run_lost") == []
    assert here.failures(batch) == {}
    assert_nothing_doubled(here, batch)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_run_ends_while_the_whole_fleet_is_down(installation: Installation, slow_fleet: FleetSimulator) -> None:
    here = installation.site
    batch = here.make(20)
    for machine in range(2):
        slow_fleet.down(machine)
    run = installation.run(batch)
    run.until(lambda: len(here.events(batch, "machine_aside")) == 2)
    at = time.monotonic()
    run.signal(signal.SIGTERM)
    assert run.wait(20) == 1
    assert time.monotonic() - at < SECONDS
    assert here.stage(batch, "file_distribution").error == "terminated"
