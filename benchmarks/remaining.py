"""Measure ``remaining``: batches are run, and what was said at a quarter, half and three quarters of their time is
compared with what came. The first batches are the history of the others; sizes, lengths and speeds vary.
"""

from __future__ import annotations

import random
import statistics
import threading
import time
from collections.abc import Iterator
from functools import partial

from benchmarks.measure import Measure, Row, Surroundings
from cofi_dagster.database.engine import connect, reading
from cofi_dagster.database.upgrade import upgrade
from cofi_dagster.fleet.endpoints import endpoints
from cofi_dagster.pipeline import batches
from cofi_dagster.pipeline.remaining import estimate
from cofi_dagster.pipeline.run import Pipeline
from cofi_dagster.pipeline.standing import standing
from cofi_dagster.pipeline.tracker import Tracker
from cofi_dagster.settings import Settings
from cofi_dagster.stages import NAMES
from cofi_dagster_tests.batches import make_batch
from cofi_dagster_tests.fleet_simulator import FleetSimulator

_REACH = 10.0
_BATCHES, _HISTORY = 9, 3
_MARKS = (25, 50, 75)
_LATENCY = "denoise=0.02,ivr=0.02,lid=0.03,stt=lognormal:0.15:0.5,llm1=lognormal:0.06:0.4,llm2=lognormal:0.08:0.4"


def _watched(pipeline: Pipeline, batch_id: int) -> tuple[float, list[tuple[float, float | None]]]:
    """Run a batch; its seconds, and what was said of it at which second."""
    said: list[tuple[float, float | None]] = []
    over = threading.Event()
    began = time.monotonic()

    def ask() -> None:
        while not over.wait(0.1):
            with reading(pipeline.engine) as connection:
                now = time.monotonic() - began
                claimed = estimate(connection, pipeline.settings, standing(connection, batch_id)).batch
            said.append((now, claimed.seconds if claimed else None))

    asker = threading.Thread(target=ask)
    asker.start()
    for name in NAMES:
        pipeline.run_stage(batch_id, name, "bench")
    seconds = time.monotonic() - began
    over.set()
    asker.join()
    return seconds, said


def _run(surroundings: Surroundings) -> Iterator[Row]:
    lots = random.Random(11)
    most = max(200, surroundings.files // 20)
    errors: dict[int, list[float]] = {mark: [] for mark in _MARKS}
    with FleetSimulator(machines=2, languages="en", latency=_LATENCY, record="count") as fleet:
        settings = Settings.load(
            _env_file=None,
            COFI_HOME=surroundings.folder / "home",
            COFI_DATABASE_URL=surroundings.fresh_database("sqlite"),
            COFI_CONCURRENCY_PER_MACHINE=4,
            **fleet.environment(),
        )
        engine = connect(settings)
        upgrade(engine)
        pipeline = Pipeline(settings, engine, Tracker(engine, settings), partial(endpoints, settings))
        for number in range(_BATCHES):
            directory = make_batch(surroundings.folder, f"2026-01-15_{number + 1}", lots.randint(most // 2, most))
            batch = batches.register(engine, directory, settings.batches)
            seconds, said = _watched(pipeline, batch.id)
            for mark in _MARKS if number >= _HISTORY else ():
                at, claimed = min(said, key=lambda one: abs(one[0] - seconds * mark / 100))
                errors[mark].append(100.0 if claimed is None else 100 * abs(claimed - (seconds - at)) / (seconds - at))
        engine.dispose()
    everything = [error for some in errors.values() for error in some]
    for mark, some in errors.items():
        yield Row(f"at {mark} %, {len(some)} batches, median", statistics.median(some), None, {"errors": some})
    median = statistics.median(everything)
    yield Row("all, median", median, median <= _REACH, {"worst": max(everything)})


MEASURE = Measure("remaining", "error of the time remaining", "%", f"≤ {_REACH:g} %", _run)
