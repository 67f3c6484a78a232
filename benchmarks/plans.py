"""Measure ``plans``: of every statement that COFI issues, what the server reads for it, over 1,000 finished batches.

On MariaDB alone, whose plans and counts are asked for. What COFI does is done once, through its own front: a batch, an
upload, a reaudit, every GET of the API and the pages, a person's verbs, the sensors' looks, a purge, an export, the
monitoring's SQL. Nothing of that need read a table whole that grows with the years.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Iterator
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import sqlalchemy as sa

from benchmarks.measure import Measure, Row, Surroundings
from benchmarks.statements import Recorder, Statement
from cofi_dagster.adhoc import reaudit, tasks, uploads
from cofi_dagster.adhoc.tasks import TaskKind, TaskStatus
from cofi_dagster.alerts.watch import watch
from cofi_dagster.database.engine import connect
from cofi_dagster.database.retention import hold, holds, purge, release
from cofi_dagster.database.upgrade import missing, upgrade
from cofi_dagster.export import export
from cofi_dagster.fleet.endpoints import endpoints
from cofi_dagster.orchestration.reconciler import reconcile
from cofi_dagster.orchestration.resources import TrackingResource
from cofi_dagster.overview import batch_lines, batch_rows, exceptions
from cofi_dagster.pipeline import arrivals, batches, requests
from cofi_dagster.pipeline.control import Control, ready_batches
from cofi_dagster.pipeline.run import Pipeline
from cofi_dagster.settings import Settings
from cofi_dagster.stages import NAMES, STAGES
from cofi_dagster.web.api import create_api
from cofi_dagster_tests.batches import make_batch, names
from cofi_dagster_tests.database.servers import ROOT, run_script
from cofi_dagster_tests.fleet_simulator import FleetSimulator

_BATCHES = 1000
_OWN_FILES = 200
_FIRST_DAY = date(2022, 1, 1)
_MOST_BATCHES_READ = 10
_CASE = 90
_PARAMETER = re.compile(r"{(\w+)(?::\w+)?}")

_STATUSES = ", ".join(f"{s.status_column} = {1 if s.status_is_flag else repr('Complete')}" for s in STAGES)
_TIMES = ", ".join(
    f"{s.start_column} = batchDate + INTERVAL {place} HOUR, {s.end_column} = batchDate + INTERVAL {place + 1} HOUR"
    for place, s in enumerate(STAGES)
)
_DETAILS = " UNION ALL ".join(f"SELECT '{name}' AS stage" for name in NAMES)
_TABLES = (
    "batchStatus", "fileDistribution", "call", "callMetadata", "tradeMetadata", "tradeAudioMapping", "lidStatus",
    "ivrSegment", "transcript", "callConversation", "auditAnswer", "processing_logs", "batchExecutionLog",
    "stageDetail", "auditAnswerHistory", "transcriptHistory", "auditTask", "auditTaskCall", "humanReview", "alert",
)  # fmt: skip
_FILL = f"""
INSERT INTO batchStatus (id, batchDate, batchNumber, status, totalFiles)
  SELECT seq, '{_FIRST_DAY}' + INTERVAL (seq DIV 2) DAY, 1 + seq MOD 2, 'Completed', {{files}}
  FROM seq_1_to_{_BATCHES};
UPDATE batchStatus SET createdAt = batchDate, {_STATUSES}, {_TIMES};
INSERT INTO fileDistribution (id, batchId, file, ip, denoiseDone, ivrDone, lidDone, sttDone, llm1Done, llm2Done)
  SELECT seq + 1, 1 + seq DIV {{files}}, CONCAT('b', 1 + seq DIV {{files}}, '_', seq MOD {{files}}, '.wav'), 'm',
         1, 1, 1, 1, 1, 1
  FROM seq_0_to_{{last}};
INSERT INTO `call` (id, batchId, audioName, status, lang, audioDuration)
  SELECT id, batchId, file, 'Complete', 'en', 60 FROM fileDistribution;
INSERT INTO callMetadata (batchId, audioName, clientCode, callStart)
  SELECT batchId, file, CONCAT('C', id MOD 5000), '{_FIRST_DAY}' + INTERVAL id MINUTE FROM fileDistribution;
INSERT INTO tradeMetadata (id, batchId, orderId, clientCode, symbol, side, quantity, audioName)
  SELECT id, batchId, id, CONCAT('C', id MOD 5000), 'INFY', 'BUY', 10, file FROM fileDistribution;
INSERT INTO tradeAudioMapping (batchId, tradeMetadataId, callId, audioName, matchTier, step, verdict)
  SELECT batchId, id, id, file, 'client_before_order', 1 + id MOD 2, 'confirmed' FROM fileDistribution;
INSERT INTO lidStatus (batchId, file, language) SELECT batchId, file, 'en' FROM fileDistribution;
INSERT INTO ivrSegment (callId, kind) SELECT id, 'silence' FROM fileDistribution;
INSERT INTO transcript (callId, segmentIndex, text) SELECT id, 0, 'I want to buy ten' FROM fileDistribution;
INSERT INTO callConversation (callId, symbol) SELECT id, 'INFY' FROM fileDistribution;
INSERT INTO auditAnswer (callId, questionId, question, answer) SELECT id, 1, 'q', 'yes' FROM fileDistribution;
INSERT INTO processing_logs (call_id, batch_id, stage_name, status)
  SELECT id, batchId, 'stt', IF(id MOD 50, 'success', 'failed') FROM `call`;
INSERT INTO batchExecutionLog (batchId, stage, eventType, fileName)
  SELECT batchId, 'stt', IF(id MOD 50, 'stage_progress', 'file_error'), audioName FROM `call`;
INSERT INTO stageDetail (batchId, stage, itemsTotal, itemsDone, itemsFailed, itemsWorked, workDone, secondsAtWork)
  SELECT id, stage, {{files}}, {{files}}, 0, {{files}}, 60 * {{files}}, 3600 FROM batchStatus JOIN ({_DETAILS}) stages;
INSERT INTO auditAnswerHistory (callId, questionId, answer, taskId)
  SELECT id, 1, 'no', CONCAT('task', batchId) FROM `call`;
INSERT INTO transcriptHistory (callId, segmentIndex, text, taskId)
  SELECT id, 0, 'buy', CONCAT('task', batchId) FROM `call`;
INSERT INTO auditTask (taskId, kind, status, request, batchId)
  SELECT CONCAT('task', id), 'reaudit', 'completed', '{{{{}}}}', id FROM batchStatus;
INSERT INTO auditTaskCall (taskId, callId, batchId, audioName, status)
  SELECT CONCAT('task', batchId), id, batchId, audioName, 'completed' FROM `call`;
INSERT INTO humanReview (batchId, callId, tradeMetadataId, questionId, kind, decision, reviewedBy)
  SELECT batchId, id, id, 1, 'answer', 'confirm', 'asha' FROM `call`;
INSERT INTO alert (alertKey, kind, batchId, message, resolvedAt)
  SELECT CONCAT('failed:', id), 'failed', id, 'm', batchDate FROM batchStatus;
ANALYZE TABLE {", ".join(f"`{name}`" for name in _TABLES)};
"""  # noqa: S608 - names and numbers of this file
"""1,000 batches that went through everything, with one row of each kind a call."""


def _fill(settings: Settings, files: int) -> None:
    engine = connect(settings)
    upgrade(engine)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        run_script(connection, _FILL.format(files=files, last=_BATCHES * files - 1))
    engine.dispose()


class _Day:
    """What COFI, and the people who use it, do with the database; each part once."""

    def __init__(self, settings: Settings, tracking: TrackingResource, folder: Path) -> None:
        self._settings = settings
        self._tracking = tracking
        self._engine = tracking.engine
        self._pipeline = Pipeline(settings, self._engine, tracking.tracker, partial(endpoints, settings))
        self._folder = folder
        self._tasks: list[str] = []
        self.answered: set[str] = set()

    def run(self) -> None:
        """All of it."""
        whole = self._batch("2026-01-15_1", NAMES)
        at_work = self._batch("2026-01-16_1", NAMES[:8])
        self._batch("2026-01-15_1", NAMES)
        self._reaudit(names(_OWN_FILES)[:20])
        self._upload()
        for batch_id in (whole, at_work, 7):
            self._see(batch_id)
            asyncio.run(self._ask_everything(batch_id))
        self._command(at_work)
        self._look()
        self._keep()
        with self._engine.connect() as connection:
            for path in sorted((ROOT / "sql" / "monitoring").glob("*.sql")):
                run_script(connection, f"SET @batch_id = 7;\n{path.read_text('utf-8')}")

    def _batch(self, key: str, stages: tuple[str, ...]) -> int:
        directory = self._settings.batches / key
        if not directory.exists():
            make_batch(self._settings.batches, key, _OWN_FILES)
        batch = batches.register(self._engine, directory, self._settings.batches)
        for stage in stages:
            self._pipeline.run_stage(batch.id, stage, "plans")
        return batch.id

    def _reaudit(self, audio_names: list[str]) -> None:
        stages = ["lid", "stt", "llm1", "llm2"]
        request = reaudit.request_of(self._engine, self._settings, audio_names, stages, None)
        task_id = reaudit.queue(self._engine, request)
        queued = tasks.get(self._engine, task_id)
        reaudit.busy_batches(self._tracking.tracker, self._engine, queued)
        task = tasks.begin(self._engine, task_id, "again")
        reaudit.begin(self._pipeline, task, "again", stages)
        for stage in stages:
            reaudit.run_stage(self._pipeline, task, "again", stage, stages)
        reaudit.finish(self._pipeline, task)
        self._tasks.append(task_id)

    def _upload(self) -> None:
        sent = make_batch(self._folder, "2026-01-17_1", 3)
        with uploads.Upload(self._settings) as upload:
            for path in sorted(sent.glob("*.wav")):
                upload.add(path)
            task_id = upload.queue(self._engine, 1, 1)
        batch_id = uploads.open_batch(self._engine, self._settings, tasks.begin(self._engine, task_id, "upload"))
        for stage in STAGES:
            if stage.in_upload:
                self._pipeline.run_stage(batch_id, stage.name, "upload")
        tasks.complete(self._engine, task_id)
        self._tasks.append(task_id)

    def _see(self, batch_id: int) -> None:
        list(batch_rows(self._engine, 20))
        list(batch_lines(self._engine, self._settings, batch_id))
        exceptions(self._engine, batch_id)
        batch = batches.by_id(self._engine, batch_id, self._settings.batches)
        export(self._engine, batch, "csv", self._folder / f"export {batch_id}")
        tasks.newest(self._engine, 20)
        missing(self._engine)

    async def _ask_everything(self, batch_id: int) -> None:
        """Every GET of the API and of the pages, with this batch, a call of it, and the tasks."""
        with self._engine.connect() as connection:
            query = sa.text("SELECT id FROM `call` WHERE batchId = :batch ORDER BY id LIMIT 1")
            call_id = connection.execute(query, {"batch": batch_id}).scalar_one()
        app = create_api(self._settings, self._engine)
        paths = sorted(set(_paths(app.routes)))
        known = {"batch_id": [batch_id], "call_id": [call_id], "task_id": self._tasks}
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://cofi") as client:
            for path in paths:
                for filled in _filled(path, known):
                    reply = await client.get(filled)
                    if reply.status_code >= 500:
                        raise RuntimeError(f"{filled}: HTTP {reply.status_code}")
                    self.answered.add(path)
            for asked in ("?status=Complete&limit=50&offset=50", "?limit=500"):
                await client.get(f"/api/batch/{batch_id}/files{asked}")
            await client.get("/api/batches?status=Completed&limit=50&offset=100")

    def _command(self, batch_id: int) -> None:
        control = Control(self._engine, self._settings)
        control.pause(batch_id, by="plans")
        control.resume(batch_id, by="plans", launch=True)
        control.skip(batch_id, "llm1", by="plans")
        for stage in NAMES:
            ready_batches(self._engine, self._settings, stage)
        control.cancel(batch_id, by="plans")

    def _look(self) -> None:
        """What the sensors look at."""
        watch(self._engine, self._settings, [])
        with dg.DagsterInstance.ephemeral() as instance:
            reconcile(instance, self._tracking)
        with self._engine.connect() as connection:
            requests.launches(connection)
        for kind in TaskKind:
            tasks.tasks(self._engine, kind, [TaskStatus.PROCESSING], 100)
        arrivals.known_keys(self._engine)

    def _keep(self) -> None:
        hold(self._engine, 1, None, reason="inquiry", by="plans")
        hold(self._engine, 2, "b2_5.wav", reason="dispute", by="plans")
        holds(self._engine)
        first = _FIRST_DAY.replace(day=3)
        list(purge(self._engine, first, lambda batch: self._folder.joinpath, by="plans", dry_run=True))
        list(purge(self._engine, first, lambda batch: self._folder.joinpath, by="plans"))
        release(self._engine, 1, None, reason="closed", by="plans")


def _paths(routes: Iterable[Any]) -> Iterator[str]:
    """The paths that answer to GET; a router that is included keeps its own."""
    for route in routes:
        if hasattr(route, "original_router"):
            yield from _paths(route.original_router.routes)
        elif "GET" in (getattr(route, "methods", None) or ()):
            yield route.path


def _filled(path: str, known: dict[str, list[int]] | dict[str, list[str]]) -> list[str]:
    wanted = _PARAMETER.findall(path)
    if not wanted:
        return [path]
    if len(wanted) > 1 or wanted[0] not in known:
        return []
    return [_PARAMETER.sub(str(value), path) for value in known[wanted[0]]]


def _run(surroundings: Surroundings) -> Iterator[Row]:
    if "mariadb" not in surroundings.databases:
        return
    files = surroundings.files // 10
    with FleetSimulator(machines=2, languages="en", record="count") as fleet:
        settings = Settings.load(
            _env_file=None,
            COFI_HOME=surroundings.folder / "home",
            COFI_DATABASE_URL=surroundings.fresh_database("mariadb"),
            COFI_BATCH_ROOT=surroundings.folder / "batches",
            **fleet.environment(),
        )
        _fill(settings, files)
        tracking = TrackingResource(settings)
        recorder, day = Recorder(), _Day(settings, tracking, surroundings.folder)
        with recorder.on(tracking.engine):
            day.run()
        tracking.engine.dispose()
    yield from _rows(list(recorder.statements.values()), files, sorted(day.answered))


def _rows(statements: list[Statement], files: int, asked: list[str]) -> Iterator[Row]:
    most = _MOST_BATCHES_READ * (files + _OWN_FILES)
    whole = [one for one in statements if any(rows > most for _, _, rows in one.whole)]
    much = [one for one in statements if one.examined > most + one.returned and one not in whole]
    dear = sorted(statements, key=lambda one: one.returned - one.examined)[:20]
    yield Row("statements of COFI's", len(statements), None, {"asked": asked, "dearest": [_said(one) for one in dear]})
    yield Row("that read a large table whole", len(whole), not whole)
    yield Row(f"that read more than {_MOST_BATCHES_READ} batches' rows", len(much), not much)
    for one in [*whole, *much]:
        yield Row(one.text[:_CASE], one.examined, False, _said(one))


def _said(one: Statement) -> dict[str, object]:
    return {
        "statement": one.text,
        "runs": one.runs,
        "examined": one.examined,
        "returned": one.returned,
        "whole": one.whole,
    }


MEASURE = Measure("plans", "statements that read what they need not", "", "none (MariaDB)", _run)
