"""Measure ``growth``: cost per file and peak memory of a run with a tenth of, as many, and ten times the files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

from benchmarks.batch_run import Installation
from benchmarks.measure import Measure, Row, Surroundings
from benchmarks.wire import MACHINES, PER_MACHINE
from cofi_dagster_tests.batches import make_batch
from cofi_dagster_tests.fleet_simulator import FleetSimulator

_PEAK_MB = 400
_FLAT = 0.1


def _run(surroundings: Surroundings) -> Iterator[Row]:
    first: float | None = None
    for files in (surroundings.files // 10, surroundings.files, surroundings.files * 10):
        folder = surroundings.folder / str(files)
        with FleetSimulator(machines=MACHINES, languages="en", record="count") as fleet:
            environment = {**fleet.environment(), "COFI_CONCURRENCY_PER_MACHINE": str(PER_MACHINE)}
            cofi = Installation(folder, surroundings.fresh_database("sqlite"), environment)
            done = cofi.run_batch(make_batch(folder / "batches", "2026-01-15_1", files))
        per_file = 1000 * done.seconds / files
        first = first or per_file
        reached = done.peak_mb < _PEAK_MB and per_file <= first * (1 + _FLAT)
        detail = {"ms_per_file": per_file, "peak_mb": done.peak_mb, "run": asdict(done)}
        yield Row(f"{files} files, peak {done.peak_mb:.0f} MB", per_file, reached, detail)


MEASURE = Measure("growth", "cost per file", "ms/file", f"flat ± {_FLAT:.0%}, < {_PEAK_MB} MB", _run)
