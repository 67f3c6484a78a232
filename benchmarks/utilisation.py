"""Measure ``utilisation``: work ÷ capacity over the time that a stage took, on a fleet whose machines differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from benchmarks.batch_run import Installation
from benchmarks.measure import Measure, Row, Surroundings
from cofi_dagster_tests.batches import make_batch
from cofi_dagster_tests.fleet_simulator import FleetSimulator
from cofi_dagster_tests.fleet_simulator.fleet import Fleet

_REACH = 0.97
_DURATIONS = "lognormal:60:0.8"
_PER_MACHINE = 8
_SECONDS_PER_SECOND = 0.2 / 60
"""Seconds of work per second of audio: 0.2 s for the mean call."""


def _run(surroundings: Surroundings) -> Iterator[Row]:
    batch = make_batch(surroundings.folder, "2026-01-15_1", surroundings.files, durations=_DURATIONS)
    speeds = (1.0, 1.0, 1.0, 0.5)
    with FleetSimulator(
        machines=4,
        latency=f"stt=per-second:{_SECONDS_PER_SECOND}",
        speeds=",".join(map(str, speeds)),
        capacity=_PER_MACHINE,
        over_capacity="queue",
        durations=_DURATIONS,
        languages="en",
        record="count",
    ) as fleet:
        environment = {**fleet.environment(), "COFI_CONCURRENCY_PER_MACHINE": str(_PER_MACHINE)}
        cofi = Installation(surroundings.folder / "home", surroundings.fresh_database("sqlite"), environment)
        done = cofi.run_batch(batch)
        sent = fleet.counts()
    calls = Fleet(fleet.options)
    work = sum(calls.call(file).duration for service, file in sent if service == "stt") * _SECONDS_PER_SECOND
    bound = work / (sum(speeds) * _PER_MACHINE)
    share = bound / done.stages["stt"]
    detail = {"bound_seconds": bound, "stt_seconds": done.stages["stt"], "requests": dict(_by_service(sent))}
    yield Row(f"stt, {surroundings.files} files, speeds {speeds}", share, share >= _REACH, detail)


def _by_service(sent: Counter[tuple[str, str]]) -> Counter[str]:
    counted: Counter[str] = Counter()
    for (service, _), number in sent.items():
        counted[service] += number
    return counted


MEASURE = Measure("utilisation", "fleet utilisation, one machine of four at half speed", "share", f"≥ {_REACH}", _run)
