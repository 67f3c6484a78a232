"""Tables as files for people: CSV, XLSX or JSON, written row by row. What is in a table is not said here.

A cell that a spreadsheet would take for a formula is made text by an apostrophe before it (OWASP, CSV injection).
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_NOT_IN_XLSX = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_SHEET_ROWS = 1_000_000
_BYTE_ORDER_MARK = "\ufeff"
_LINES_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Table:
    """A table: its name, its columns, and its rows as they are read."""

    name: str
    columns: tuple[str, ...]
    rows: Callable[[], Iterator[Sequence[Any]]]


def neutral(value: Any) -> Any:
    """A value as a spreadsheet may have it: text that it would take for a formula begins with an apostrophe."""
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, str) and value.lstrip(" ").startswith(_FORMULA):
        return "'" + value
    return value


def csv_text(table: Table) -> Iterator[str]:
    """A table as CSV with a byte order mark, some lines at a time."""
    out = io.StringIO(newline="")
    out.write(_BYTE_ORDER_MARK)
    writer = csv.writer(out)
    writer.writerow(table.columns)
    for number, row in enumerate(table.rows(), 1):
        writer.writerow([neutral(value) for value in row])
        if number % _LINES_AT_ONCE == 0:
            yield out.getvalue()
            out.seek(0)
            out.truncate()
    yield out.getvalue()


def write_csv(tables: Sequence[Table], folder: Path, name: str) -> list[Path]:
    """A file for each table."""
    paths = []
    for table in tables:
        path = folder / f"{name}_{table.name}.csv"
        with path.open("w", newline="", encoding="utf-8") as out:
            out.writelines(csv_text(table))
        paths.append(path)
    return paths


def write_xlsx(tables: Sequence[Table], folder: Path, name: str) -> list[Path]:
    """One file, with a sheet for each table, or several where it is long."""
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


def write_json(tables: Sequence[Table], folder: Path, name: str) -> list[Path]:
    """One file: an object with a list of rows for each table."""
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
