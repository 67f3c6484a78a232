"""Running a batch with the real command line as a process of its own, and what it cost."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from cofi_dagster.database.engine import connect
from cofi_dagster.stages import STAGES

COFI = Path(sys.executable).with_name("cofi")
_BASE = ("PATH", "HOME", "LANG", "TMPDIR")


@dataclass(frozen=True, slots=True)
class BatchRun:
    """What a run cost.

    Attributes:
        seconds: from the start of the first stage to the end of the last, by the database's clock.
        command_seconds: the whole command, with Python's and Dagster's start.
        cpu_seconds, peak_mb: of the command and the processes that it waited for.
        stages: seconds by stage.
    """

    seconds: float
    command_seconds: float
    cpu_seconds: float
    peak_mb: float
    stages: dict[str, float]


class Installation:
    """A home, a database and a fleet to run batches with."""

    def __init__(self, folder: Path, url: str, environment: Mapping[str, str]) -> None:
        """``folder`` is its home, ``url`` its database's; ``environment`` has the fleet's and other settings."""
        folder.mkdir(parents=True)
        self.folder = folder
        self.url = url
        kept = {name: os.environ[name] for name in _BASE if name in os.environ}
        self._environment = {**kept, "COFI_HOME": str(folder), "COFI_DATABASE_URL": self.url, **environment}
        self.cofi("db", "upgrade")

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start ``cofi`` with arguments; its output goes to ``cofi.log``."""
        with (self.folder / "cofi.log").open("ab") as log:
            return subprocess.Popen(
                [str(COFI), *arguments], env=self._environment, cwd=self.folder, stdout=log, stderr=log
            )

    def cofi(self, *arguments: str) -> resource.struct_rusage:
        """Run ``cofi`` to its end and return what it used.

        Raises:
            RuntimeError: it failed; the message has the end of its output.
        """
        process = self.start(*arguments)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            tail = (self.folder / "cofi.log").read_text(errors="replace")[-2000:]
            raise RuntimeError(f"cofi {' '.join(arguments)} ended with {process.returncode}:\n{tail}")
        return usage

    def run_batch(self, batch: Path) -> BatchRun:
        """Run a batch directory to its end.

        Raises:
            RuntimeError: the batch is not ``Completed``.
        """
        began = datetime.now()
        usage = self.cofi("batch", "run", str(batch))
        command_seconds = (datetime.now() - began).total_seconds()
        times = self.stage_times()
        starts, ends = zip(*times.values(), strict=True)
        return BatchRun(
            seconds=(max(ends) - min(starts)).total_seconds(),
            command_seconds=command_seconds,
            cpu_seconds=usage.ru_utime + usage.ru_stime,
            peak_mb=usage.ru_maxrss / 1024,
            stages={name: (end - start).total_seconds() for name, (start, end) in times.items()},
        )

    def stage_times(self) -> dict[str, tuple[datetime, datetime]]:
        """Start and end of each stage of the newest batch that has both."""
        columns: list[Any] = [sa.column(name, sa.DateTime()) for s in STAGES for name in (s.start_column, s.end_column)]
        newest = sa.select(*columns).select_from(sa.table("batchStatus")).order_by(sa.column("id").desc()).limit(1)
        row = self.read(newest)[0]
        pairs = {stage.name: (row[2 * k], row[2 * k + 1]) for k, stage in enumerate(STAGES)}
        return {name: (start, end) for name, (start, end) in pairs.items() if start and end}

    def ask_questions(self, number: int) -> None:
        """Lengthen the default questionnaire to so many questions."""
        engine = connect(self.url)
        table = sa.Table("auditQuestion", sa.MetaData(), autoload_with=engine)
        with engine.begin() as connection:
            rows = connection.execute(sa.select(table).order_by(table.c.position)).mappings().all()
            more = [{**rows[k % len(rows)], "position": k + 1} for k in range(len(rows), number)]
            for row in more:
                del row["id"]
            if more:
                connection.execute(table.insert(), more)
        engine.dispose()

    def count(self, table: str) -> int:
        """How many rows a table has."""
        counted: int = self.read(sa.select(sa.func.count()).select_from(sa.table(table)))[0][0]
        return counted

    def read(self, query: sa.Select[Any]) -> list[Any]:
        """The rows of a query."""
        engine = connect(self.url)
        try:
            with engine.connect() as connection:
                return list(connection.execute(query))
        finally:
            engine.dispose()
