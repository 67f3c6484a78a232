"""Batches and stages as lines of text for a terminal. Queries and words; nothing is changed."""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa

from cofi_dagster.audit.exception_kinds import WITHDRAWN, Kind
from cofi_dagster.audit.exceptions import Wanted, stream
from cofi_dagster.audit.findings import Finding
from cofi_dagster.database import tables as t
from cofi_dagster.database.engine import reading
from cofi_dagster.pipeline import batches
from cofi_dagster.pipeline.tracker import Tracker
from cofi_dagster.settings import Settings

_REASONS = 10
_OF_TRADES = (Kind.TRADE_WITHOUT_EVIDENCE, Kind.DISCREPANCY, Kind.WEAK_EVIDENCE)


def batch_rows(engine: sa.Engine, limit: int) -> Iterator[str]:
    """One line per batch, newest first."""
    table = t.batch_status
    query = sa.select(
        table.c.id, table.c.batchDate, table.c.batchNumber, table.c.status, table.c.totalFiles, table.c.createdAt
    ).order_by(table.c.id.desc())
    yield f"{'id':>6}  {'batch':<16} {'status':<18} {'files':>7}  created (UTC)"
    with reading(engine) as connection:
        for row in connection.execute(query.limit(limit)):
            key = f"{row.batchDate.isoformat()}_{row.batchNumber}"
            created = f"{row.createdAt:%Y-%m-%d %H:%M:%S}" if row.createdAt else ""
            yield f"{row.id:>6}  {key:<16} {row.status:<18} {row.totalFiles:>7}  {created}"


def batch_lines(engine: sa.Engine, settings: Settings, batch_id: int) -> Iterator[str]:
    """A batch, its stages, its calls by status, and why files failed.

    Raises:
        BatchError: there is no such batch.
    """
    batch = batches.by_id(engine, batch_id, settings.batches)
    yield f"batch {batch.id}  {batch.key}  {batch.status}  {batch.total_files} files  {batch.directory}"
    yield ""
    yield f"{'stage':<18} {'status':<11} {'started (UTC)':<20} {'seconds':>9}  error"
    for name, state in Tracker(engine, settings).stages(batch_id).items():
        started = f"{state.started:%Y-%m-%d %H:%M:%S}" if state.started else ""
        seconds = f"{(state.ended - state.started).total_seconds():.1f}" if state.started and state.ended else ""
        yield f"{name:<18} {state.status:<11} {started:<20} {seconds:>9}  {state.error or ''}".rstrip()
    yield ""
    with reading(engine) as connection:
        statuses = sa.select(t.call.c.status, sa.func.count()).where(t.call.c.batchId == batch_id)
        for status, count in connection.execute(statuses.group_by(t.call.c.status)):
            yield f"calls {status:<20} {count:>7}"
        logs = t.processing_logs
        failures = sa.select(logs.c.stage_name, logs.c.error_message).where(
            logs.c.batch_id == batch_id, logs.c.status == "failed"
        )
        for stage, message in connection.execute(failures.order_by(logs.c.id.desc()).limit(_REASONS)):
            yield f"failed in {stage}: {message}"


def exceptions(engine: sa.Engine, batch_id: int) -> list[str]:
    """The trades that an auditor has to look at, a line each: no evidence, a discrepancy, or a weak match."""
    of_trades: dict[int, Finding] = {}
    for kind in _OF_TRADES:
        for found in stream(engine, Wanted((batch_id,), kind)):
            of_trades.setdefault(found.subject.id, found)
    return [_line(of_trades[trade_id]) for trade_id in sorted(of_trades)] or ["none"]


def _line(found: Finding) -> str:
    quantity = "?" if found.quantity is None else f"{found.quantity:g}"
    order = f"order {found.order_id} ({found.side} {quantity} {found.symbol}, client {found.client})"
    if found.kind is Kind.TRADE_WITHOUT_EVIDENCE:
        nearest = f"not discussed in {found.audio_name}" if found.reason == WITHDRAWN else "no call found before it"
        return f"{order}: no evidence, {nearest}"
    return f"{order}: {found.reason} in {found.audio_name}"
