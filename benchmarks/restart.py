"""Measure ``restart``: kill -9 at half of a stage, then the same command again.

Two figures: requests for files that the database had as done when the run was killed, and seconds from the second
command to its first request for another file.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from subprocess import Popen

import psutil
import sqlalchemy as sa

from benchmarks.batch_run import Installation
from benchmarks.measure import Measure, Row, Surroundings
from benchmarks.wire import MACHINES, PER_MACHINE
from cofi_dagster_tests.batches import make_batch
from cofi_dagster_tests.fleet_simulator import FleetSimulator

_REACH_SECONDS = 10
_POLL_SECONDS = 0.2
_STAGE, _DONE = "stt", "sttDone"


def _kill_at_half(process: Popen[bytes], fleet: FleetSimulator, files: int) -> None:
    while sum(number for (service, _), number in fleet.counts().items() if service == _STAGE) < files // 2:
        if process.poll() is not None:
            raise RuntimeError(f"the run ended with {process.returncode} before half of {_STAGE} was done")
        time.sleep(_POLL_SECONDS)
    running = psutil.Process(process.pid)
    for one in [running, *running.children(recursive=True)]:
        one.kill()
    process.wait()


def _done_files(cofi: Installation) -> set[str]:
    files = sa.table("fileDistribution", sa.column("file"), sa.column(_DONE))
    return {row.file for row in cofi.read(sa.select(files.c.file).where(files.c[_DONE] == 1))}


def _run(surroundings: Surroundings) -> Iterator[Row]:
    batch = make_batch(surroundings.folder, "2026-01-15_1", surroundings.files)
    with FleetSimulator(machines=MACHINES, languages="en", latency=f"{_STAGE}=0.02") as fleet:
        environment = {**fleet.environment(), "COFI_CONCURRENCY_PER_MACHINE": str(PER_MACHINE)}
        cofi = Installation(surroundings.folder / "home", surroundings.fresh_database("sqlite"), environment)
        _kill_at_half(cofi.start("batch", "run", os.fspath(batch)), fleet, surroundings.files)
        done = _done_files(cofi)
        fleet.forget_records()
        restarted = time.time()
        cofi.run_batch(batch)
        again = [request for request in fleet.requests() if request.service == _STAGE]
    repeated = sum(request.file in done for request in again)
    waited = min(request.time for request in again) - restarted
    detail = {"done_when_killed": len(done), "requests_after": len(again)}
    yield Row(f"requests repeated, {surroundings.files} files", repeated, repeated == 0, detail)
    yield Row("seconds to the first new file", waited, waited < _REACH_SECONDS, detail)


MEASURE = Measure("restart", f"kill -9 at half of {_STAGE}", "", f"0; < {_REACH_SECONDS} s", _run)
