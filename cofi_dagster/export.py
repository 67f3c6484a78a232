"""A batch's answers, mappings and exceptions as tables for people, read in pages; each with its newest human review."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from cofi_dagster.audit import exceptions
from cofi_dagster.audit.exception_kinds import CHANGED, Kind
from cofi_dagster.audit.exceptions import Wanted
from cofi_dagster.audit.findings import Finding, machine_answer
from cofi_dagster.database import tables as t
from cofi_dagster.database.engine import reading
from cofi_dagster.pipeline.batches import Batch
from cofi_dagster.sheets import Table, write_csv, write_json, write_xlsx
from cofi_dagster.sheets import neutral as neutral  # noqa: PLC0414 - what a cell becomes is part of the export

_PAGE = 2000


class ExportError(RuntimeError):
    """The export cannot be written; the message says why."""


def export(engine: sa.Engine, batch: Batch, form: str, folder: Path) -> list[Path]:
    """Write the batch to ``folder`` as ``csv`` (a file per table), ``xlsx`` or ``json``; the files.

    Raises:
        ExportError: a file cannot be written.
    """
    tables = (
        Table("answers", _ANSWER_COLUMNS, lambda: _answers(engine, batch.id)),
        Table("mappings", _MAPPING_COLUMNS, lambda: _mappings(engine, batch.id)),
        exceptions_table(engine, Wanted((batch.id,)), {batch.id: batch.key}),
    )
    writers = {"csv": write_csv, "xlsx": write_xlsx, "json": write_json}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return writers[form](tables, folder, f"batch_{batch.key}")
    except OSError as error:
        raise ExportError(f"the export cannot be written to {folder}: {error.strerror}") from error


# -- rows ------------------------------------------------------------------------------------------------------------

_REVIEW_COLUMNS = ("review", "reviewReason", "reviewedBy", "reviewedAt", "reviewValue")
"""``review`` is ``accepted``, ``overridden``, or ``changed`` where the machine says something else since."""
_ANSWER_COLUMNS = (
    "audioName", "callId", "callStatus", "questionId", "question", "answer", "confidence", "evidenceStatus", "quotes",
    "startSeconds", "endSeconds", "model", "promptVersion", "createdAt", *_REVIEW_COLUMNS,
)  # fmt: skip
_MAPPING_COLUMNS = (
    "orderId", "tradeId", "clientCode", "symbol", "side", "quantity", "price", "orderTime", "audioName", "isEvidence",
    "matchTier", "score", "step", "verdict",
)  # fmt: skip
_EXCEPTION_COLUMNS = (
    "kind", "orderId", "audioName", "reason", "detail", "batch", "tradeId", "client", "symbol", "side", "quantity",
    "price", "time", "nearestCall", "matchTier", "score", "questionId", "question", "answer", *_REVIEW_COLUMNS,
)  # fmt: skip


def _answers(engine: sa.Engine, batch_id: int) -> Iterator[Sequence[Any]]:
    """The answers in the order of the calls; read in pages of calls, so that memory stays flat."""
    call, answer = t.call.c, t.audit_answer
    last = 0
    while True:
        with reading(engine) as connection:
            page = sa.select(call.id, call.audioName, call.status).where(call.batchId == batch_id, call.id > last)
            calls = connection.execute(page.order_by(call.id).limit(_PAGE)).all()
            if not calls:
                return
            its = sa.select(answer).where(answer.c.callId.between(calls[0].id, calls[-1].id))
            reviews = _reviews(connection, calls[0].id, calls[-1].id)
            by_call: dict[int, list[Any]] = {row.id: [] for row in calls}
            for row in connection.execute(its.order_by(answer.c.callId, answer.c.questionId)):
                if row.callId in by_call:
                    by_call[row.callId].append(row)
        for known in calls:
            for row in by_call[known.id]:
                yield (known.audioName, known.id, known.status, *_answer(row), *_of_answer(row, reviews))
        last = calls[-1].id


def _answer(row: Any) -> tuple[Any, ...]:
    quotes = [item for item in row.evidence or [] if isinstance(item, dict)]
    starts = [item["start"] for item in quotes if isinstance(item.get("start"), int | float)]
    ends = [item["end"] for item in quotes if isinstance(item.get("end"), int | float)]
    said = " | ".join(str(item.get("quote", "")) for item in quotes)
    times = (min(starts, default=None), max(ends, default=None))
    what = (row.questionId, row.question, row.answer, row.confidence, row.evidenceStatus, said)
    return (*what, *times, row.model, row.promptVersion, row.createdAt)


def _reviews(connection: sa.Connection, first_call: int, last_call: int) -> dict[tuple[int, int], Any]:
    """The newest review of each answer about these calls, by call and question."""
    table = t.human_review.c
    query = sa.select(t.human_review).where(table.callId.between(first_call, last_call), table.questionId.is_not(None))
    return {(row.callId, row.questionId): row for row in connection.execute(query.order_by(table.id))}


def _of_answer(answer: Any, reviews: Mapping[tuple[int, int], Any]) -> tuple[Any, ...]:
    one = reviews.get((answer.callId, answer.questionId))
    if one is None:
        return (None,) * len(_REVIEW_COLUMNS)
    is_current = one.machineValue == machine_answer(answer.answer, answer.evidenceStatus)
    return (one.decision if is_current else CHANGED, one.reason, one.reviewedBy, one.reviewedAt, one.value)


def _mappings(engine: sa.Engine, batch_id: int) -> Iterator[Sequence[Any]]:
    trade, mapping = t.trade_metadata.c, t.trade_audio_mapping.c
    query = (
        sa.select(
            *(trade[name] for name in _MAPPING_COLUMNS[:8]),
            mapping.audioName,
            (trade.audioName == mapping.audioName).label("isEvidence"),
            *(mapping[name] for name in _MAPPING_COLUMNS[10:]),
        )
        .select_from(t.trade_audio_mapping.join(t.trade_metadata, trade.id == mapping.tradeMetadataId))
        .where(mapping.batchId == batch_id)
        .order_by(trade.id, mapping.step, mapping.id)
    )
    for row in _stream(engine, query):
        yield tuple(bool(value) if name == "isEvidence" else value for name, value in row._mapping.items())


def exceptions_table(engine: sa.Engine, wanted: Wanted, keys: Mapping[int, str]) -> Table:
    """Exceptions as a table; ``keys`` are those of their batches. ``audioName`` is never the call of a trade that has
    no evidence: the one that came nearest is ``nearestCall``.
    """
    rows = lambda: (_exception(found, keys) for found in exceptions.stream(engine, wanted))  # noqa: E731
    return Table("exceptions", _EXCEPTION_COLUMNS, rows)


def _exception(found: Finding, keys: Mapping[int, str]) -> tuple[Any, ...]:
    is_lost = found.kind is Kind.TRADE_WITHOUT_EVIDENCE
    audio, nearest = (None, found.audio_name) if is_lost else (found.audio_name, None)
    what = (found.kind.replace("_", " "), found.order_id, audio, found.reason, found.detail, keys[found.batch_id])
    order = (found.fill_id, found.client, found.symbol, found.side, found.quantity, found.price, found.at)
    matched = (nearest, found.tier, found.score, found.subject.question_id, found.question, found.answer)
    return (*what, *order, *matched, *_reviewed(found))


def _reviewed(found: Finding) -> tuple[Any, ...]:
    one = found.review
    return (None,) * len(_REVIEW_COLUMNS) if one is None else (found.state, one.reason, one.by, one.at, one.value)


def _stream(engine: sa.Engine, query: sa.Select[Any]) -> Iterator[Any]:
    with reading(engine) as connection:
        yield from connection.execution_options(yield_per=_PAGE).execute(query)
