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
        parts = (_batches, _stages, _durations, _at_work, _calls, _tasks, _alerts)
        return "\n".join([*(line for part in parts for line in part(connection)), ""])


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


def _durations(connection: sa.Connection) -> Iterator[str]:
    yield from _head("cofi_stage_seconds_average", "Mean duration of the completed batches' stages.")
    view = sa.text("SELECT stage_name, avg_duration_seconds FROM vw_stage_statistics")
    rows = [(name, float(average)) for name, average in connection.execute(view) if average is not None]
    yield from _lines("cofi_stage_seconds_average", ("stage",), rows)


def _at_work(connection: sa.Connection) -> Iterator[str]:
    """Of the stages at work now: what the engine said at its last beat, a second or a few ago."""
    detail = t.stage_detail.c
    rows = connection.execute(sa.select(t.stage_detail).join(t.batch_lease, t.batch_lease.c.batchId == detail.batchId))
    at_work = [row for row in rows.mappings() if row["pace"] is not None]
    labels = ("batch", "stage")
    yield from _head("cofi_stage_files", "Files of the stages at work by outcome; `total` are all.")
    counts = {"done": "itemsDone", "failed": "itemsFailed", "skipped": "itemsSkipped", "total": "itemsTotal"}
    files = [(r["batchId"], r["stage"], word, r[name] or 0) for r in at_work for word, name in counts.items()]
    yield from _lines("cofi_stage_files", (*labels, "outcome"), files)
    yield from _head("cofi_stage_files_per_second", "Files with an outcome per second at work.")
    worked = [r for r in at_work if r["secondsAtWork"]]
    rates = [(r["batchId"], r["stage"], round((r["itemsWorked"] or 0) / r["secondsAtWork"], 3)) for r in worked]
    yield from _lines("cofi_stage_files_per_second", labels, rates)
    yield from _head("cofi_machine_in_flight", "Requests in flight to a machine.")
    flying = [(r["batchId"], r["stage"], m, n) for r in at_work for m, n in r["pace"].get("inFlight", {}).items()]
    yield from _lines("cofi_machine_in_flight", (*labels, "machine"), flying)
    did = [(r["batchId"], r["stage"], m, d) for r in at_work for m, d in r["pace"].get("machines", {}).items()]
    yield from _head("cofi_machine_answered", "Files that a machine has answered in a stage at work.")
    yield from _lines("cofi_machine_answered", (*labels, "machine"), [(*where, d["answered"]) for *where, d in did])
    yield from _head("cofi_machine_errors", "Requests to a machine that failed in a stage at work, by kind of error.")
    wrong = [(*where, kind, count) for *where, d in did for kind, count in d["errors"].items()]
    yield from _lines("cofi_machine_errors", (*labels, "machine", "kind"), wrong)
    yield from _head("cofi_machine_set_aside", "Machines that are set aside.")
    aside = [(r["batchId"], r["stage"], machine, 1) for r in at_work for machine in r["pace"].get("aside", {})]
    yield from _lines("cofi_machine_set_aside", (*labels, "machine"), aside)


def _alerts(connection: sa.Connection) -> Iterator[str]:
    yield from _head("cofi_open_alerts", "Open alerts by kind.")
    alert = t.alert.c
    query = sa.select(alert.kind, sa.func.count()).where(alert.openKey.is_not(None)).group_by(alert.kind)
    yield from _lines("cofi_open_alerts", ("kind",), (tuple(row) for row in connection.execute(query)))
