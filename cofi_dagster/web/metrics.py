"""``/metrics`` in Prometheus' text format, counted from the database at each scrape. Numbers only, nobody's names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import sqlalchemy as sa

from cofi_dagster.database import tables as t
from cofi_dagster.database.engine import reading
from cofi_dagster.pipeline.status import CANCELLED, COMPLETED
from cofi_dagster.stages import STAGES

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def metrics(engine: sa.Engine) -> str:
    """All metrics. Calls are counted of the batches that are not over: those of ten years would take seconds."""
    with reading(engine) as connection:
        return "\n".join([*_batches(connection), *_stages(connection), *_calls(connection), *_tasks(connection), ""])


def _head(name: str, text: str) -> Iterator[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} gauge"


def _lines(name: str, labels: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> Iterator[str]:
    for *values, count in rows:
        pairs = ",".join(f'{label}="{_escaped(value)}"' for label, value in zip(labels, values, strict=True))
        yield f"{name}{{{pairs}}} {count}"


def _escaped(value: object) -> str:
    return str(value).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _batches(connection: sa.Connection) -> Iterator[str]:
    batch = t.batch_status.c
    yield from _head("cofi_batches", "Batches by kind and status.")
    query = sa.select(batch.kind, batch.status, sa.func.count()).group_by(batch.kind, batch.status)
    yield from _lines("cofi_batches", ("kind", "status"), (tuple(row) for row in connection.execute(query)))


def _stages(connection: sa.Connection) -> Iterator[str]:
    yield from _head("cofi_stage_batches", "Batches by the status of a stage.")
    for stage in STAGES:
        column = t.batch_status.c[stage.status_column]
        counted = connection.execute(sa.select(column, sa.func.count()).group_by(column)).all()
        rows = [(stage.name, status, count) for status, count in counted]
        yield from _lines("cofi_stage_batches", ("stage", "status"), rows)


def _calls(connection: sa.Connection) -> Iterator[str]:
    over = t.batch_status.c.status.in_([COMPLETED, CANCELLED])
    open_ids = sa.select(t.batch_status.c.id).where(~over)
    yield from _head("cofi_open_calls", "Calls by status, of the batches that are not over.")
    query = sa.select(t.call.c.status, sa.func.count()).where(t.call.c.batchId.in_(open_ids))
    rows = connection.execute(query.group_by(t.call.c.status)).all()
    yield from _lines("cofi_open_calls", ("status",), (tuple(row) for row in rows))


def _tasks(connection: sa.Connection) -> Iterator[str]:
    task = t.audit_task.c
    yield from _head("cofi_tasks", "Audit uploads and reaudits by status.")
    query = sa.select(task.kind, task.status, sa.func.count()).group_by(task.kind, task.status)
    yield from _lines("cofi_tasks", ("kind", "status"), (tuple(row) for row in connection.execute(query)))
