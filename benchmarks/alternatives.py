"""Measure ``alternatives``: what a file costs in a stage of COFI, and as a dynamic step of Dagster's own.

Both ask the same simulated service about the same files, without latency. A dynamic step's cost is the difference
between a job of many and one of few, so that neither the start of the job nor of the instance counts. Prefect is not
installed for this: what was measured of it stands in the table of ``docs/engineer.md``.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import httpx

from benchmarks.measure import Measure, Row, Surroundings
from cofi_dagster.database.engine import connect, writing
from cofi_dagster.database.tables import batch_status, file_distribution
from cofi_dagster.database.upgrade import upgrade
from cofi_dagster.fleet.endpoints import endpoints
from cofi_dagster.pipeline import batches
from cofi_dagster.pipeline.run import Pipeline
from cofi_dagster.pipeline.tracker import Tracker
from cofi_dagster.settings import Settings
from cofi_dagster_tests.batches import make_batch, names
from cofi_dagster_tests.fleet_simulator import FleetSimulator

_REACH = 50.0
_FEW, _MANY = 20, 220
_ROUNDS = 3
_STAGE = "denoise"
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def _dynamic_job(url: str, batch_id: int, files: list[str]) -> dg.JobDefinition:
    """A step per file, as Dagster's documents show it."""

    @dg.op(out=dg.DynamicOut(str))
    def list_files() -> Iterator[dg.DynamicOutput[str]]:
        for number, file in enumerate(files):
            yield dg.DynamicOutput(file, mapping_key=f"file_{number}")

    @dg.op
    def denoise(file: str) -> float:
        reply = client.post(f"{url}/{_STAGE}", json={"batch_id": batch_id, "file": file})
        reply.raise_for_status()
        length: float = reply.json()["audio_duration"]
        return length

    client = httpx.Client()

    @dg.job(executor_def=dg.in_process_executor)
    def dynamic_files() -> None:
        list_files().map(denoise)

    return dynamic_files


def _dynamic_seconds(folder: Path, url: str, batch_id: int, files: list[str]) -> float:
    """Seconds of one run on an instance of its own, on SQLite."""
    folder.mkdir(parents=True)
    with dg.DagsterInstance.local_temp(str(folder)) as instance:
        job = _dynamic_job(url, batch_id, files)
        began = time.perf_counter()
        result = job.execute_in_process(instance=instance, run_config=_QUIET)
        seconds = time.perf_counter() - began
    if not result.success:
        raise RuntimeError("the job of dynamic steps failed")
    return seconds


def _run(surroundings: Surroundings) -> Iterator[Row]:
    directory = make_batch(surroundings.folder, "2026-01-15_1", surroundings.files)
    with FleetSimulator(machines=1, languages="en", record="count") as fleet:
        settings = Settings.load(_env_file=None, COFI_HOME=surroundings.folder / "home", **fleet.environment())
        engine = connect(settings)
        upgrade(engine)
        pipeline = Pipeline(settings, engine, Tracker(engine, settings), partial(endpoints, settings))
        batch = batches.register(engine, directory, settings.batches)
        pipeline.run_stage(batch.id, "file_distribution", "bench")
        ours: list[float] = []
        theirs: list[float] = []
        for number in range(_ROUNDS):
            began = time.perf_counter()
            pipeline.run_stage(batch.id, _STAGE, f"bench {number}")
            ours.append((time.perf_counter() - began) / surroundings.files)
            with writing(engine) as connection:
                connection.execute(file_distribution.update().values(denoiseDone=0))
                connection.execute(batch_status.update().values(denoiseStatus="Pending"))
            took = {
                count: _dynamic_seconds(
                    surroundings.folder / f"{number}_{count}", fleet.url(), batch.id, names(surroundings.files)[:count]
                )
                for count in (_FEW, _MANY)
            }
            theirs.append((took[_MANY] - took[_FEW]) / (_MANY - _FEW))
        engine.dispose()
    mine, dynamic = statistics.median(ours), statistics.median(theirs)
    detail: dict[str, Any] = {"cofi_ms": 1000 * mine, "dynamic_ms": 1000 * dynamic}
    yield Row(f"Dagster's dynamic step ({1000 * dynamic:.1f} ms) over ours ({1000 * mine:.2f} ms)", dynamic / mine,
              dynamic / mine >= _REACH, detail)  # fmt: skip


MEASURE = Measure("alternatives", "a file as a dynamic step, over COFI", "×", f"≥ {_REACH:g}", _run)
