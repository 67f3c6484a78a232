"""Metrics of a batch at work are what the database and the fleet say themselves."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from cofi_dagster.web.metrics import metrics
from cofi_dagster_tests.fleet_simulator import FleetSimulator
from cofi_dagster_tests.pipeline.site import Site
from cofi_dagster_tests.status.test_control import FILES, at_work, opened

LINE = re.compile(r'([a-z_]+)\{((?:[a-z]+="(?:[^"\\\n]|\\.)*",?)*)\} (-?[\d.]+)')
"""A sample of Prometheus' text format 0.0.4, of the kind that has labels."""


def samples(here: Site) -> dict[tuple[str, ...], float]:
    """The metrics as they are now: name and label values to value. Each has its help and its type, once."""
    found: dict[tuple[str, ...], float] = {}
    said: list[str] = []
    for line in metrics(here.engine).splitlines():
        if line.startswith("#"):
            said.append(line.split()[2])
            continue
        match = LINE.fullmatch(line)
        assert match is not None, line
        name, labels, value = match.groups()
        assert said[-2:] == [name, name]
        key = (name, *re.findall(r'="((?:[^"\\]|\\.)*)"', labels))
        assert key not in found
        found[key] = float(value)
    assert len(set(said)) * 2 == len(said)
    return found


def until(here: Site, holds: Callable[[dict[tuple[str, ...], float]], bool]) -> dict[tuple[str, ...], float]:
    """The metrics, once they are so."""
    end = time.monotonic() + 30
    while not holds(found := samples(here)):
        assert time.monotonic() < end, found
        time.sleep(0.1)
    return found


def test_the_metrics_of_a_stage_at_work_are_true(each_site: Callable[..., Site]) -> None:
    with FleetSimulator(machines=2, languages="en", segments=2, latency="stt=0.02") as fleet:
        here, control = opened(each_site, fleet)
        fleet.fault("status", service="stt", file="call_000003.wav", status=415, times=None)
        batch, ended = at_work(here)
        stt = (str(batch), "stt")
        well, gone = (machine for machine in here.settings.gpu_machines)

        # One machine goes, the other takes what it has and says no more: nothing moves now, and all can be compared.
        fleet.down(1)
        until(here, lambda found: ("cofi_machine_set_aside", *stt, gone) in found)
        fleet.fault("hang", service="stt", times=None)
        while fleet.in_flight() != [1, 0] or len(here.flagged(batch, "sttDone")) < 12:
            time.sleep(0.05)
        time.sleep(0.3)  # what was answered last is committed
        done, failed = len(here.flagged(batch, "sttDone")), len(here.failures(batch, "stt"))
        now = until(here, lambda found: found["cofi_stage_files", *stt, "done"] == done)
        assert now["cofi_stage_files", *stt, "failed"] == failed <= 1
        assert now["cofi_stage_files", *stt, "total"] == FILES
        assert now["cofi_machine_in_flight", *stt, well] == 1
        assert now["cofi_machine_in_flight", *stt, gone] == 0
        assert now["cofi_machine_answered", *stt, well] + now["cofi_machine_answered", *stt, gone] == done
        errors = {key[3:]: count for key, count in now.items() if key[0] == "cofi_machine_errors"}
        assert sum(count for (machine, _), count in errors.items() if machine == gone) >= 3
        took = here.stage(batch, "stt").seconds
        assert abs(now["cofi_stage_files_per_second", *stt] - (done + failed) / took) < 1
        assert (now["cofi_batches", "batch", here.status(batch)], now["cofi_stage_batches", "stt", "InProgress"]) == (
            1,
            1,
        )
        calls = [call["status"] for call in here.calls(batch).values()]
        assert {key[1]: count for key, count in now.items() if key[0] == "cofi_open_calls"} == {
            status: calls.count(status) for status in set(calls)
        }

        # At its end nothing is said of it any more.
        control.cancel(batch)
        ended()
        over = samples(here)
        assert not [key for key in over if key[1:3] == stt]
        assert (over["cofi_batches", "batch", "Cancelled"], over["cofi_stage_batches", "stt", "Failed"]) == (1, 1)
