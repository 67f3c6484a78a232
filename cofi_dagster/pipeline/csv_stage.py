"""What the two CSV stages share: all of a file's rows in one transaction, each bad row on record with its line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from cofi_dagster.database import tables as t
from cofi_dagster.database.transactions import inquire, transact
from cofi_dagster.pipeline.audio_names import match_audio_names
from cofi_dagster.pipeline.csv_import import Import
from cofi_dagster.pipeline.run import StageContext
from cofi_dagster.pipeline.tracker import StageRun, Tracker

_ROWS = 5000
_MOST_LOGGED = 10_000

Reader = Callable[[Path, Mapping[str, str]], Import]


def import_csv(
    context: StageContext,
    run: StageRun,
    tracker: Tracker,
    *,
    name: str,
    table: sa.Table,
    read: Reader,
    renames: Mapping[str, str],
) -> None:
    """Read ``name`` from the batch's directory into ``table``, whole or not at all. No such file: nothing to do.

    Raises:
        CsvError: the file cannot be read or lacks columns that it needs; nothing was changed.
    """
    path = context.batch.path_of(name)
    if not path.exists():
        tracker.set_total(run, 0)
        run.metadata["file"] = None
        return
    found = read(path, renames)
    tracker.set_total(run, len(found.rows) + len(found.rejected))
    run.metadata.update(file=name, encoding=found.encoding, rejected=len(found.rejected), noted=len(found.noted))
    if table is t.call_metadata:
        run.metadata["withoutFile"] = _name_files(context, found.rows)
    _store(context, table, found, name)
    run.done, run.failed = len(found.rows), len(found.rejected)


def _name_files(context: StageContext, rows: list[dict[str, Any]]) -> int:
    """Put the batch's own file name where a row means one of its files; how many rows mean none."""
    files = t.file_distribution
    query = sa.select(files.c.file).where(files.c.batchId == context.batch.id)
    names = inquire(context.engine, lambda connection: list(connection.execute(query).scalars()))
    meant = match_audio_names([row["audioName"] for row in rows], names)
    for row in rows:
        row["audioName"] = meant[row["audioName"]] or row["audioName"]
    return sum(1 for file in meant.values() if file is None)


def _store(context: StageContext, table: sa.Table, found: Import, name: str) -> None:
    batch_id = context.batch.id
    logs = [
        _log(context, "failed", f"{name} line {bad.line}: {bad.reason}") for bad in found.rejected[:_MOST_LOGGED]
    ] + [_log(context, "success", f"{name} line {odd.line}: {odd.reason}") for odd in found.noted[:_MOST_LOGGED]]

    def store(connection: sa.Connection) -> None:
        connection.execute(table.delete().where(table.c.batchId == batch_id))
        for start in range(0, len(found.rows), _ROWS):
            connection.execute(
                table.insert(), [{**row, "batchId": batch_id} for row in found.rows[start : start + _ROWS]]
            )
        for start in range(0, len(logs), _ROWS):
            connection.execute(t.processing_logs.insert(), logs[start : start + _ROWS])

    transact(context.engine, store)


def _log(context: StageContext, status: str, message: str) -> dict[str, Any]:
    return {
        "batch_id": context.batch.id,
        "stage_name": context.stage.name,
        "status": status,
        "error_message": message,
    }
