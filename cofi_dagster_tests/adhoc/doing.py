"""Doing ad-hoc work in tests as its jobs do it, and seeing what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from cofi_dagster.adhoc import reaudit, tasks
from cofi_dagster.adhoc.progress import file_states
from cofi_dagster.adhoc.tasks import Task
from cofi_dagster.database import tables as t
from cofi_dagster.pipeline.tracker import StageFailed
from cofi_dagster_tests.pipeline.site import Site

RUN = "reaudit-run"


def queue(site: Site, names: Sequence[str], stages: Sequence[str], batch: int | None = None) -> Task:
    """Queue a reaudit."""
    request = reaudit.request_of(site.engine, site.settings, names, stages, batch)
    return tasks.get(site.engine, reaudit.queue(site.engine, request))


def carry_out(site: Site, task: Task, run: str = RUN) -> Task:
    """Run a queued reaudit to its end, as the job's ops do."""
    begun = tasks.begin(site.engine, task.id, run)
    try:
        stages = begun.request["stages"]
        reaudit.begin(site.pipeline, begun, run, stages)
        for stage in stages:
            reaudit.run_stage(site.pipeline, begun, run, stage, stages)
        reaudit.finish(site.pipeline, begun)
    except (StageFailed, tasks.TaskError) as error:
        reaudit.close(site.pipeline, begun, str(error))
    return tasks.get(site.engine, task.id)


def redo(site: Site, names: Sequence[str], stages: Sequence[str], batch: int | None = None) -> Task:
    """Queue a reaudit and run it to its end."""
    return carry_out(site, queue(site, names, stages, batch))


def states(site: Site, task: Task) -> dict[str, tuple[str, str | None]]:
    """Status and error of each of the task's files."""
    return {file.file: (str(file.status), file.error) for file in file_states(site.engine, site.settings, task)}


def batch_row(site: Site, batch: int) -> dict[str, Any]:
    """The whole row of ``batchStatus``."""
    return dict(site.rows(sa.select(t.batch_status).where(t.batch_status.c.id == batch))[0]._mapping)


def history(site: Site, table: sa.Table, task: Task | None = None) -> list[Any]:
    """The rows of a history."""
    query = sa.select(table).order_by(table.c.id)
    return site.rows(query if task is None else query.where(table.c.taskId == task.id))
