"""Measure ``viewers``: a stage while 50 people watch its batch live, over the same stage unwatched.

The pages are served by a process of their own, as under ``cofi up``; every viewer asks for both live parts of the page
of the batch as often as a browser does. Watched and unwatched rounds take turns; what two unwatched rounds differ by is
the noise that the figure stands in.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from typing import Any

import aiohttp
import httpx

from benchmarks.measure import Measure, Row, Surroundings
from cofi_dagster.database.engine import connect, writing
from cofi_dagster.database.tables import batch_status, file_distribution
from cofi_dagster.database.upgrade import upgrade
from cofi_dagster.fleet.endpoints import endpoints
from cofi_dagster.pipeline import batches
from cofi_dagster.pipeline.run import Pipeline
from cofi_dagster.pipeline.tracker import Tracker
from cofi_dagster.processes import free_port
from cofi_dagster.settings import Settings
from cofi_dagster_tests.batches import make_batch
from cofi_dagster_tests.fleet_simulator import FleetSimulator

_VIEWERS = 50
_PARTS = {"now": 2.0, "then": 10.0}
_SECONDS_A_FILE = 0.02
_PER_MACHINE = 8
_ROUNDS = 5
_STAGE = "denoise"
_REACH = 1.0


def serve(values: dict[str, Any], port: int) -> None:
    """Serve the pages, in a process of their own."""
    import uvicorn
    from starlette.responses import PlainTextResponse

    from cofi_dagster.web.server import create_app

    app = create_app(Settings.load(_env_file=None, **values), PlainTextResponse("the Dagster UI"))
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error")


@contextmanager
def _pages(values: dict[str, Any]) -> Iterator[str]:
    port = free_port()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(values, port), daemon=True)
    server.start()
    address = f"http://127.0.0.1:{port}"
    try:
        while True:
            try:
                httpx.get(f"{address}/health").raise_for_status()
                break
            except httpx.TransportError:
                time.sleep(0.2)
        yield address
    finally:
        server.terminate()
        server.join()


@contextmanager
def _watched(address: str, batch_id: int, answers: list[int]) -> Iterator[None]:
    """Let all viewers watch, each with a tag of what it has, as a browser does."""
    over = threading.Event()

    async def watch(session: aiohttp.ClientSession, part: str, every: float, offset: float) -> None:
        tag = ""
        await asyncio.sleep(offset)
        while not over.is_set():
            headers = {"If-None-Match": tag} if tag else {}
            async with session.get(f"{address}/cofi/batch/{batch_id}/{part}", headers=headers) as reply:
                await reply.read()
                answers.append(reply.status)
                tag = reply.headers.get("ETag", tag)
            await asyncio.sleep(every)

    async def all_watch() -> None:
        async with aiohttp.ClientSession() as session:
            watching = [
                asyncio.create_task(watch(session, part, every, every * number / _VIEWERS))
                for number in range(_VIEWERS)
                for part, every in _PARTS.items()
            ]
            await asyncio.to_thread(over.wait)
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)

    thread = threading.Thread(target=asyncio.run, args=(all_watch(),))
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _run(surroundings: Surroundings) -> Iterator[Row]:
    directory = make_batch(surroundings.folder, "2026-01-15_1", surroundings.files)
    latency = f"{_STAGE}={_SECONDS_A_FILE}"
    for database in surroundings.databases:
        with FleetSimulator(machines=2, languages="en", latency=latency, record="count") as fleet:
            values = {
                "COFI_HOME": str(surroundings.folder / database),
                "COFI_DATABASE_URL": surroundings.fresh_database(database),
                "COFI_CONCURRENCY_PER_MACHINE": _PER_MACHINE,
                **fleet.environment(),
            }
            settings = Settings.load(_env_file=None, **values)
            engine = connect(settings)
            upgrade(engine)
            pipeline = Pipeline(settings, engine, Tracker(engine, settings), partial(endpoints, settings))
            batch = batches.register(engine, directory, settings.batches)
            pipeline.run_stage(batch.id, "file_distribution", "bench")
            answers: list[int] = []

            def stage_seconds(number: str) -> float:
                began = time.perf_counter()
                pipeline.run_stage(batch.id, _STAGE, f"bench {number}")  # noqa: B023 - called within the round
                seconds = time.perf_counter() - began
                with writing(engine) as connection:  # noqa: B023
                    connection.execute(file_distribution.update().values(denoiseDone=0))
                    connection.execute(batch_status.update().values(denoiseStatus="Pending"))
                return seconds

            with _pages(values) as address:
                alone, watched = [stage_seconds("warm"), stage_seconds("alone")][1:], []
                for number in range(_ROUNDS):
                    with _watched(address, batch.id, answers):
                        watched.append(stage_seconds(f"watched {number}"))
                    alone.append(stage_seconds(f"alone {number}"))
            engine.dispose()
        if set(answers) - {200, 304}:
            raise RuntimeError(f"the pages answered {sorted(set(answers))}")
        beside = [(before + after) / 2 for before, after in pairwise(alone)]
        slower = statistics.median(100 * (mine - its) / its for mine, its in zip(watched, beside, strict=True))
        noise = statistics.median(100 * abs(after - before) / before for before, after in pairwise(alone))
        detail = {"watched": watched, "alone": alone, "noise_percent": noise, "answers": len(answers)}
        yield Row(f"{database}, noise {noise:.1f} %", slower, slower < max(_REACH, noise), detail)


MEASURE = Measure("viewers", f"{_VIEWERS} viewers of a stage's batch", "%", "not above the noise", _run)
