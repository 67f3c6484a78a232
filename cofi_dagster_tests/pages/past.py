"""Batches of the past for the tests of trends: rows as finished runs leave them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

from cofi_dagster.database import tables as t
from cofi_dagster.database.engine import writing
from cofi_dagster.stages import BY_NAME, STAGES, Kind, Stage
from cofi_dagster_tests.pipeline.site import Site


def finished(
    site: Site,
    day: date,
    number: int = 1,
    *,
    files: int = 100,
    seconds: Mapping[str, float] | None = None,
    audio: float = 60.0,
    counted: bool = True,
    status: str = "Completed",
    kind: str = "batch",
) -> int:
    """A batch that began at 13:00 UTC; its id.

    ``seconds`` by stage, 10 where nothing is said; a stage with 0 was skipped. ``audio`` seconds each file. Without
    ``counted`` it is from before COFI counted files and audio.
    """
    took = {stage.name: 10.0 for stage in STAGES} | dict(seconds or {})
    at = datetime(day.year, day.month, day.day, 13)
    row: dict[str, Any] = {"batchDate": day, "batchNumber": number, "totalFiles": files, "kind": kind}
    row |= {"status": status, "createdAt": at}
    for name, length in took.items():
        stage = BY_NAME[name]
        if not length:
            row[stage.status_column] = 0 if stage.status_is_flag else "Skipped"
            continue
        row |= {stage.start_column: at, stage.end_column: at + timedelta(seconds=length)}
        row[stage.status_column] = 1 if stage.status_is_flag else "Complete"
        at += timedelta(seconds=length)
    with writing(site.engine) as connection:
        made = connection.execute(t.batch_status.insert().values(row)).inserted_primary_key
        assert made is not None
        if counted:
            details = [_detail(int(made[0]), BY_NAME[name], files, audio, took[name]) for name in took if took[name]]
            connection.execute(t.stage_detail.insert(), details)
        return int(made[0])


def _detail(batch: int, stage: Stage, files: int, audio: float, seconds: float) -> dict[str, Any]:
    heard = audio * files if stage.kind is Kind.FILES else 0.0
    return {"batchId": batch, "stage": stage.name, "itemsWorked": files, "workDone": heard, "secondsAtWork": seconds}
