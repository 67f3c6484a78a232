"""Measure ``pages``: API replies about batches, and whole pages, over 1,000 finished batches and one of 10,000 files
at work. A page is what the server sends; drawing it is the browser's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import httpx
import sqlalchemy as sa
from fastapi import FastAPI

from benchmarks.measure import Measure, Row, Surroundings
from cofi_dagster.database import tables as t
from cofi_dagster.database.engine import connect
from cofi_dagster.database.upgrade import upgrade
from cofi_dagster.pipeline.tracker import Tracker
from cofi_dagster.settings import Settings
from cofi_dagster.stages import NAMES, STAGES
from cofi_dagster.web.api import create_api

_REACH_MS = 25.0
_BATCHES = 1000
_ROUNDS = 200
_PAGE_MS = 1000.0
_PAGE_ROUNDS = 40
_FIRST_DAY = date(2024, 1, 1)
_ROWS = 20_000


def _finished(number: int, files: int) -> dict[str, Any]:
    """A completed batch of the history: stages of a minute each, one after the other."""
    day = _FIRST_DAY + timedelta(days=number // 2)
    row: dict[str, Any] = {"batchDate": day, "batchNumber": number % 2 + 1, "status": "Completed", "totalFiles": files}
    began = sa.func.now()
    for stage in STAGES:
        row[stage.status_column] = 1 if stage.status_is_flag else "Complete"
        row[stage.start_column] = row[stage.end_column] = began
    return row


def _fill(engine: sa.Engine, settings: Settings, files: int) -> int:
    """1,000 finished batches with all their files, and one that is half through speech to text; its id."""
    each = files // 10
    with engine.begin() as connection:
        for number in range(_BATCHES):
            connection.execute(t.batch_status.insert().values(_finished(number, each)))
        ids = list(connection.execute(sa.select(t.batch_status.c.id)).scalars())
        took = {
            "itemsTotal": each,
            "itemsDone": each,
            "itemsWorked": each,
            "workDone": 60.0 * each,
            "secondsAtWork": 60,
        }
        details = [{"batchId": batch_id, "stage": name, **took} for batch_id in ids for name in NAMES]
        connection.execute(t.stage_detail.insert(), details)
    rows = (
        {"batchId": batch_id, "file": f"call_{k:06d}.wav", "ip": "m", "sttDone": 1}
        for batch_id in ids
        for k in range(each)
    )
    _insert(engine, t.file_distribution, rows)
    tracker = Tracker(engine, settings)
    with engine.begin() as connection:
        made = connection.execute(
            t.batch_status.insert().values(batchDate=date(2026, 1, 15), batchNumber=1, totalFiles=files)
        )
        assert made.inserted_primary_key is not None
        batch_id = int(made.inserted_primary_key[0])
    flags = {stage.done_flag: 1 for stage in STAGES[3:6] if stage.done_flag}
    names = [f"call_{k:06d}.wav" for k in range(files)]
    _insert(engine, t.file_distribution, ({"batchId": batch_id, "file": name, "ip": "m", **flags} for name in names))
    _insert(engine, t.call, ({"batchId": batch_id, "audioName": name, "audioDuration": 60.0} for name in names))
    for name in NAMES[:7]:
        tracker.start_stage(batch_id, name)
        tracker.complete_stage(batch_id, name)
    tracker.start_stage(batch_id, "stt")
    tracker.update_progress(batch_id, "stt", files // 2)
    return batch_id


def _insert(engine: sa.Engine, table: sa.Table, rows: Iterator[dict[str, Any]]) -> None:
    group: list[dict[str, Any]] = []
    for row in rows:
        group.append(row)
        if len(group) == _ROWS:
            with engine.begin() as connection:
                connection.execute(table.insert(), group)
            group = []
    if group:
        with engine.begin() as connection:
            connection.execute(table.insert(), group)


def _run(surroundings: Surroundings) -> Iterator[Row]:
    for database in surroundings.databases:
        url = surroundings.fresh_database(database)
        settings = Settings.load(_env_file=None, COFI_HOME=surroundings.folder / database, COFI_DATABASE_URL=url)
        engine = connect(settings)
        upgrade(engine)
        batch_id = _fill(engine, settings, surroundings.files)
        last = surroundings.files - 100
        paths = {
            "timing": f"/api/batch/{batch_id}/timing",
            "status": f"/api/batch/{batch_id}/status",
            "document status": f"/status/{batch_id}",
            "batches": "/api/batches",
            "files": f"/api/batch/{batch_id}/files",
            "files, the last page": f"/api/batch/{batch_id}/files?offset={last}",
            "files of a status, the last page": f"/api/batch/{batch_id}/files?status=Pending&offset={last}",
            "statistics": "/stages/statistics",
        }
        shown = {
            "page of all batches": "/cofi",
            "page of the batch": f"/cofi/batch/{batch_id}",
            "page of trends": "/cofi/trends?days=365",
            "page of calls": "/cofi/calls",
            "page of exceptions": f"/cofi/exceptions?batch={batch_id}",
            "page of uploads": "/cofi/uploads",
            "page of the fleet": "/cofi/fleet",
        }
        app = create_api(settings, engine)
        for reach, rounds, asked in ((_REACH_MS, _ROUNDS, paths), (_PAGE_MS, _PAGE_ROUNDS, shown)):
            for name, milliseconds in asyncio.run(_ask(app, asked, rounds)).items():
                p95 = milliseconds[int(0.95 * rounds)]
                detail = {"p50": milliseconds[rounds // 2], "worst": milliseconds[-1]}
                yield Row(f"{database}, {name}, p95", p95, p95 <= reach, detail)
        engine.dispose()


async def _ask(app: FastAPI, paths: dict[str, str], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each reply, sorted, without a network between."""
    took: dict[str, list[float]] = {name: [] for name in paths}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://cofi") as client:
        for _ in range(rounds):
            for name, path in paths.items():
                began = time.perf_counter()
                reply = await client.get(path)
                took[name].append((time.perf_counter() - began) * 1000)
                if reply.status_code != 200:
                    raise RuntimeError(f"{path}: HTTP {reply.status_code}")
    return {name: sorted(milliseconds) for name, milliseconds in took.items()}


MEASURE = Measure(
    "pages", "API and pages over 1,000 batches", "ms", f"≤ {_REACH_MS:g} ms; a page ≤ {_PAGE_MS:g} ms (MariaDB)", _run
)
