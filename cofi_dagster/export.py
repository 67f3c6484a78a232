"""A batch's answers, mappings and exceptions as files for people: CSV, XLSX or JSON, written row by row.

A cell that a spreadsheet would take for a formula is made text by an apostrophe before it (OWASP, CSV injection).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import sqlalchemy as sa

from cofi_dagster.database import tables as t
from cofi_dagster.database.engine import reading
from cofi_dagster.pipeline.batches import Batch
from cofi_dagster.pipeline.status import CallStatus

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_NOT_IN_XLSX = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_SHEET_ROWS = 1_000_000
_PAGE = 2000


class ExportError(RuntimeError):
    """The export cannot be written; the message says why."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the export: its name, its columns, and its rows as they are read."""

    name: str
    columns: tuple[str, ...]
    rows: Callable[[], Iterator[Sequence[Any]]]


def export(engine: sa.Engine, batch: Batch, form: str, folder: Path) -> list[Path]:
    """Write the batch to ``folder`` as ``csv`` (a file per table), ``xlsx`` or ``json``; the files.

    Raises:
        ExportError: a file cannot be written.
    """
    tables = (
        Table("answers", _ANSWER_COLUMNS, lambda: _answers(engine, batch.id)),
        Table("mappings", _MAPPING_COLUMNS, lambda: _mappings(engine, batch.id)),
        Table("exceptions", _EXCEPTION_COLUMNS, lambda: _exceptions(engine, batch.id)),
    )
    writers = {"csv": _write_csv, "xlsx": _write_xlsx, "json": _write_json}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return writers[form](tables, folder, f"batch_{batch.key}")
    except OSError as error:
        raise ExportError(f"the export cannot be written to {folder}: {error.strerror}") from error


# -- forms -----------------------------------------------------------------------------------------------------------


def neutral(value: Any) -> Any:
    """A value as a spreadsheet may have it: text that it would take for a formula begins with an apostrophe."""
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, str) and value.lstrip(" ").startswith(_FORMULA):
        return "'" + value
    return value


def _write_csv(tables: Sequence[Table], folder: Path, name: str) -> list[Path]:
    paths = []
    for table in tables:
        path = folder / f"{name}_{table.name}.csv"
        with path.open("w", newline="", encoding="utf-8-sig") as out:
            writer = csv.writer(out)
            writer.writerow(table.columns)
            writer.writerows([neutral(value) for value in row] for row in table.rows())
        paths.append(path)
    return paths


def _write_xlsx(tables: Sequence[Table], folder: Path, name: str) -> list[Path]:
    from openpyxl import Workbook

    book = Workbook(write_only=True)
    for table in tables:
        sheet, left, number = None, 0, 0
        for row in table.rows():
            if sheet is None or not left:
                number += 1
                sheet = book.create_sheet(table.name if number == 1 else f"{table.name} {number}")
                sheet.append(list(table.columns))
                left = _SHEET_ROWS
            sheet.append([_cell(value) for value in row])
            left -= 1
        if sheet is None:
            book.create_sheet(table.name).append(list(table.columns))
    path = folder / f"{name}.xlsx"
    book.save(path)
    return [path]


def _cell(value: Any) -> Any:
    kept = neutral(value)
    return _NOT_IN_XLSX.sub("\ufffd", kept)[:32_767] if isinstance(kept, str) else kept


def _write_json(tables: Sequence[Table], folder: Path, name: str) -> list[Path]:
    path = folder / f"{name}.json"
    with path.open("wb") as out:
        for place, table in enumerate(tables):
            out.write((b"{" if place == 0 else b",\n") + orjson.dumps(table.name) + b": [")
            for number, row in enumerate(table.rows()):
                out.write(b",\n" if number else b"\n")
                out.write(orjson.dumps(dict(zip(table.columns, row, strict=True)), option=orjson.OPT_UTC_Z))
            out.write(b"]")
        out.write(b"}\n")
    return [path]


# -- rows ------------------------------------------------------------------------------------------------------------

_ANSWER_COLUMNS = (
    "audioName", "callId", "callStatus", "questionId", "question", "answer", "confidence", "evidenceStatus", "quotes",
    "startSeconds", "endSeconds", "model", "promptVersion", "createdAt",
)  # fmt: skip
_MAPPING_COLUMNS = (
    "orderId", "tradeId", "clientCode", "symbol", "side", "quantity", "price", "orderTime", "audioName", "isEvidence",
    "matchTier", "score", "step", "verdict",
)  # fmt: skip
_EXCEPTION_COLUMNS = ("kind", "orderId", "audioName", "reason")


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
            by_call: dict[int, list[Any]] = {row.id: [] for row in calls}
            for row in connection.execute(its.order_by(answer.c.callId, answer.c.questionId)):
                if row.callId in by_call:
                    by_call[row.callId].append(row)
        for known in calls:
            for row in by_call[known.id]:
                yield (known.audioName, known.id, known.status, *_answer(row))
        last = calls[-1].id


def _answer(row: Any) -> tuple[Any, ...]:
    quotes = [item for item in row.evidence or [] if isinstance(item, dict)]
    starts = [item["start"] for item in quotes if isinstance(item.get("start"), int | float)]
    ends = [item["end"] for item in quotes if isinstance(item.get("end"), int | float)]
    said = " | ".join(str(item.get("quote", "")) for item in quotes)
    times = (min(starts, default=None), max(ends, default=None))
    what = (row.questionId, row.question, row.answer, row.confidence, row.evidenceStatus, said)
    return (*what, *times, row.model, row.promptVersion, row.createdAt)


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


def _exceptions(engine: sa.Engine, batch_id: int) -> Iterator[Sequence[Any]]:
    """Trades without evidence, discrepancies, calls without a trade, and calls that are not through."""
    trade, mapping, call = t.trade_metadata.c, t.trade_audio_mapping.c, t.call.c
    lost = sa.select(trade.orderId).where(trade.batchId == batch_id, trade.audioName.is_(None)).order_by(trade.id)
    for row in _stream(engine, lost):
        yield ("trade without evidence", row.orderId, None, "no call before the order was found to be its evidence")
    named = (
        sa.select(trade.orderId, mapping.audioName, mapping.verdict)
        .select_from(t.trade_audio_mapping.join(t.trade_metadata, trade.id == mapping.tradeMetadataId))
        .where(mapping.batchId == batch_id, mapping.step == 2, mapping.verdict.is_not(None))
        .where(mapping.verdict != "confirmed")
    )
    for row in _stream(engine, named.order_by(mapping.id)):
        yield ("discrepancy", row.orderId, row.audioName, row.verdict.replace("_", " "))
    has_trades = sa.exists().where(trade.batchId == batch_id)
    mapped = sa.exists().where(trade.batchId == batch_id, trade.audioName == call.audioName)
    single = sa.select(call.audioName).where(call.batchId == batch_id, has_trades, ~mapped).order_by(call.id)
    for row in _stream(engine, single):
        yield ("call without trade", None, row.audioName, "it is the evidence of no trade")
    unfinished = sa.select(call.audioName, call.status).where(
        call.batchId == batch_id, call.status != CallStatus.COMPLETE
    )
    for row in _stream(engine, unfinished.order_by(call.id)):
        yield ("call not audited", None, row.audioName, row.status)


def _stream(engine: sa.Engine, query: sa.Select[Any]) -> Iterator[Any]:
    with reading(engine) as connection:
        yield from connection.execution_options(yield_per=_PAGE).execute(query)
