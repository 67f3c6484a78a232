"""Measure ``tracking``: a stage with tracking and result writes, over the same stage that keeps and says nothing.

Both ask the database what is pending, and both keep the garbage collector from what was there before."""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import Any

import uvloop

from benchmarks.measure import Measure, Row, Surroundings
from cofi_dagster.database.engine import connect, reading, writing
from cofi_dagster.database.tables import batch_status, file_distribution
from cofi_dagster.database.upgrade import upgrade
from cofi_dagster.fleet.client import FleetClient
from cofi_dagster.fleet.endpoints import endpoints
from cofi_dagster.pipeline import batches
from cofi_dagster.pipeline.dispatch import Dispatch, Limits, Stop
from cofi_dagster.pipeline.pace import Pace
from cofi_dagster.pipeline.run import Pipeline, StageContext
from cofi_dagster.pipeline.stage_denoise import make
from cofi_dagster.pipeline.tracker import Tracker
from cofi_dagster.pipeline.work import Outcome, Work
from cofi_dagster.settings import Settings
from cofi_dagster.stages import BY_NAME
from cofi_dagster_tests.batches import make_batch
from cofi_dagster_tests.fleet_simulator import FleetSimulator

_REACH = 1.0
_SECONDS_A_FILE = 0.02
_PER_MACHINE = 8
_ROUNDS = 7
_STAGE = "denoise"


class _Nothing:
    """A sink that keeps nothing."""

    is_full = False

    def on_room(self, callback: Callable[[], object]) -> None: ...
    def check(self) -> None: ...
    def put(self, outcome: Outcome) -> None: ...
    def started(self, work: Work) -> None: ...
    def machine_aside(self, machine: str, reason: str) -> None: ...
    def machine_back(self, machine: str) -> None: ...


def _bare(context: StageContext) -> float:
    """Seconds of the stage's plan and requests alone."""
    began = time.perf_counter()
    stage = make(context)
    with reading(context.engine) as connection:
        works = stage.plan(connection).works

    async def run() -> None:
        async with FleetClient(connections_per_machine=_PER_MACHINE, api_key=None) as client:
            sink: Any = _Nothing()
            work = Dispatch(
                stage,
                works,
                endpoints(context.settings, context.stage),
                client=client,
                sink=sink,
                stop=Stop(),
                limits=Limits(_PER_MACHINE, 3, 30.0),
                batch_id=context.batch.id,
                path_of=context.batch.path_of,
                pace=Pace([work.weight for work in works]),
            )
            await work.run()

    gc.freeze()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())
    gc.unfreeze()
    return time.perf_counter() - began


def _run(surroundings: Surroundings) -> Iterator[Row]:
    directory = make_batch(surroundings.folder, "2026-01-15_1", surroundings.files)
    with FleetSimulator(machines=2, languages="en", latency=f"{_STAGE}={_SECONDS_A_FILE}", record="count") as fleet:
        for database in surroundings.databases:
            settings = Settings.load(
                _env_file=None,
                COFI_HOME=surroundings.folder / database,
                COFI_DATABASE_URL=surroundings.fresh_database(database),
                COFI_CONCURRENCY_PER_MACHINE=_PER_MACHINE,
                **fleet.environment(),
            )
            engine = connect(settings)
            upgrade(engine)
            pipeline = Pipeline(settings, engine, Tracker(engine, settings), partial(endpoints, settings))
            batch = batches.register(engine, directory, settings.batches)
            pipeline.run_stage(batch.id, "file_distribution", "bench")
            context = StageContext(settings, engine, batch, BY_NAME[_STAGE])
            bare, ours = [_bare(context)], []
            for number in range(_ROUNDS):
                began = time.perf_counter()
                pipeline.run_stage(batch.id, _STAGE, f"bench {number}")
                ours.append(time.perf_counter() - began)
                with writing(engine) as connection:
                    connection.execute(file_distribution.update().values(denoiseDone=0))
                    connection.execute(batch_status.update().values(denoiseStatus="Pending"))
                bare.append(_bare(context))
            beside = [(before + after) / 2 for before, after in pairwise(bare)]
            share = statistics.median(100 * (mine - its) / its for mine, its in zip(ours, beside, strict=True))
            engine.dispose()
            yield Row(
                f"{database}, {surroundings.files} files of 20 ms", share, share < _REACH, {"ours": ours, "bare": bare}
            )


MEASURE = Measure("tracking", "cost of tracking and results", "%", f"< {_REACH:g} %", _run)
