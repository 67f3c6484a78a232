"""An installation for tests: settings, an up-to-date database and the pipeline on it; and what the tables say after."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from cofi_dagster.database import tables as t
from cofi_dagster.database.engine import connect, reading, writing
from cofi_dagster.database.upgrade import upgrade
from cofi_dagster.fleet.endpoints import endpoints
from cofi_dagster.pipeline import batches
from cofi_dagster.pipeline.progress import StageReport
from cofi_dagster.pipeline.run import Pipeline
from cofi_dagster.pipeline.tracker import StageState, Tracker
from cofi_dagster.settings import Settings
from cofi_dagster.stages import NAMES
from cofi_dagster_tests.batches import make_batch

SettingsOf = Callable[..., Settings]
KEY = "2026-01-15_1"
INTAKE = ("file_distribution", "callmetadata", "trademetadata")


@dataclass(frozen=True, slots=True)
class Site:
    """One installation. Batches are named by their id; a stage's run by ``run``."""

    settings: Settings
    engine: sa.Engine
    tracker: Tracker
    pipeline: Pipeline

    @classmethod
    def open(cls, settings: Settings) -> Site:
        """On the settings' database, upgraded."""
        engine = connect(settings)
        upgrade(engine)
        return cls.on(settings, engine)

    @classmethod
    def on(cls, settings: Settings, engine: sa.Engine) -> Site:
        """On a database that is ready."""
        tracker = Tracker(engine, settings)
        return cls(settings, engine, tracker, Pipeline(settings, engine, tracker, partial(endpoints, settings)))

    # -- doing -------------------------------------------------------------------------------------------------

    def make(self, files: int | Sequence[str] = 4, key: str = KEY, **how: Any) -> int:
        """Make a batch directory, and register it."""
        return self.register(make_batch(self.settings.batches, key, files, **how))

    def register(self, directory: Path) -> int:
        """Register a batch directory."""
        return batches.register(self.engine, directory, self.settings.batches).id

    def directory(self, batch: int) -> Path:
        """The batch's directory."""
        return self.pipeline.batch(batch).directory

    def run(self, batch: int, *stages: str, run: str = "run") -> StageReport:
        """Run these stages, or all; the report of the last."""
        return [self.pipeline.run_stage(batch, stage, run) for stage in stages or NAMES][-1]

    def up_to(self, batch: int, stage: str) -> StageReport:
        """Run everything up to and including a stage; its report."""
        return self.run(batch, *NAMES[: NAMES.index(stage) + 1])

    # -- seeing ------------------------------------------------------------------------------------------------

    def rows(self, query: sa.Select[Any]) -> list[Any]:
        """A query's rows."""
        with reading(self.engine) as connection:
            return list(connection.execute(query))

    def execute(self, statement: Any) -> None:
        """Run one statement; a text is run as it is."""
        with writing(self.engine) as connection:
            if isinstance(statement, str):
                connection.exec_driver_sql(statement)
            else:
                connection.execute(statement)

    def status(self, batch: int) -> str:
        """``batchStatus.status``."""
        return self.pipeline.batch(batch).status

    def stage(self, batch: int, name: str) -> StageState:
        """How a stage stands."""
        return self.tracker.stages(batch)[name]

    def files(self, batch: int) -> dict[str, Mapping[str, Any]]:
        """The batch's ``fileDistribution`` rows by file."""
        table = t.file_distribution
        return {row.file: row._mapping for row in self.rows(sa.select(table).where(table.c.batchId == batch))}

    def calls(self, batch: int) -> dict[str, Mapping[str, Any]]:
        """The batch's ``call`` rows by file."""
        return {row.audioName: row._mapping for row in self.rows(sa.select(t.call).where(t.call.c.batchId == batch))}

    def flagged(self, batch: int, flag: str) -> set[str]:
        """The files whose done flag is set."""
        return {file for file, row in self.files(batch).items() if row[flag]}

    def failures(self, batch: int, stage: str | None = None) -> dict[str, str]:
        """The reason on record for each file that failed (the newest), by file."""
        log = t.processing_logs
        query = sa.select(t.call.c.audioName, log.c.error_message).join(t.call, t.call.c.id == log.c.call_id)
        query = query.where(log.c.batch_id == batch, log.c.status == "failed").order_by(log.c.id)
        found = self.rows(query if stage is None else query.where(log.c.stage_name == stage))
        return {row.audioName: row.error_message.removeprefix(f"{row.audioName}: ") for row in found}

    def logged(self, batch: int, stage: str) -> dict[str, list[str]]:
        """The statuses of a stage's ``processing_logs`` rows by file."""
        log = t.processing_logs
        query = sa.select(t.call.c.audioName, log.c.status).join(t.call, t.call.c.id == log.c.call_id)
        found: dict[str, list[str]] = {}
        for name, status in self.rows(query.where(log.c.batch_id == batch, log.c.stage_name == stage)):
            found.setdefault(name, []).append(status)
        return found

    def events(self, batch: int, kind: str, stage: str | None = None) -> list[Mapping[str, Any]]:
        """The batch's events of a kind, in order."""
        log = t.batch_execution_log
        query = sa.select(log).where(log.c.batchId == batch, log.c.eventType == kind).order_by(log.c.id)
        return [row._mapping for row in self.rows(query if stage is None else query.where(log.c.stage == stage))]

    def answers(self, batch: int) -> dict[str, dict[int, Mapping[str, Any]]]:
        """The batch's answers by file and question."""
        answer = t.audit_answer
        query = sa.select(t.call.c.audioName, answer).join(t.call, t.call.c.id == answer.c.callId)
        found: dict[str, dict[int, Mapping[str, Any]]] = {}
        for row in self.rows(query.where(t.call.c.batchId == batch)):
            found.setdefault(row.audioName, {})[row.questionId] = row._mapping
        return found

    def transcripts(self, batch: int) -> dict[str, list[str]]:
        """The texts of each call's segments by file."""
        said = t.transcript
        query = sa.select(t.call.c.audioName, said.c.text).join(t.call, t.call.c.id == said.c.callId)
        found: dict[str, list[str]] = {}
        for name, words in self.rows(
            query.where(t.call.c.batchId == batch).order_by(said.c.callId, said.c.segmentIndex)
        ):
            found.setdefault(name, []).append(words)
        return found
