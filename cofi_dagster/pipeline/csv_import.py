"""Reading ``callMetadata.csv`` and ``tradeMetadata.csv``: encodings, headers, records, keys. No SQL, no matching.

A bad row is rejected alone, with the physical line on which it starts and the reason. How single values are read is in
``csv_values``; which file of the batch an ``audioName`` means, in ``audio_names``.
"""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from cofi_dagster.database import tables
from cofi_dagster.pipeline import csv_values as read
from cofi_dagster.pipeline.audio_names import match_audio_names
from cofi_dagster.pipeline.csv_values import BadValue, Doubtful

__all__ = ["CsvError", "Import", "Rejected", "match_audio_names", "read_call_metadata", "read_trade_metadata"]

Reader = Callable[[str], Any]

_DELIMITERS = ",;\t|"
_QUOTED_LINES_LIMIT = 20


class CsvError(ValueError):
    """The file cannot be read at all: one sentence that names the file and what it lacks."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that was left out (or, in :attr:`Import.noted`, a value of it): the physical line it starts on, and why."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Import:
    """What a CSV held: rows ready for the table's columns (without ``batchId``), and what was left out."""

    rows: list[dict[str, Any]]
    rejected: list[Rejected]
    encoding: str
    noted: list[Rejected] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Kind:
    """What one of the two files is: its table, how each column is read, what it cannot do without, and its key."""

    table: sa.Table
    readers: Mapping[str, Reader]
    required: tuple[str, ...]
    one_of: tuple[str, ...]
    key: tuple[str, ...]


_CALLS = _Kind(
    table=tables.call_metadata,
    readers={
        "audioName": read.text, "callStart": read.call_start, "callEnd": read.moment,
        "durationSeconds": read.duration, "clientCode": read.identifier, "clientPhone": read.text,
        "dealerId": read.text, "extension": read.text, "direction": read.text,
    },
    required=("audioName",),
    one_of=(),
    key=("audioName",),
)  # fmt: skip

_TRADES = _Kind(
    table=tables.trade_metadata,
    readers={
        "orderId": read.identifier, "tradeId": read.identifier, "clientCode": read.identifier,
        "clientPhone": read.text, "symbol": read.text, "side": read.side, "quantity": read.quantity,
        "price": read.price, "orderTime": read.order_time, "tradeTime": read.moment, "exchange": read.text,
        "dealerId": read.text, "status": read.text,
    },
    required=("orderId", "symbol", "side", "quantity", "orderTime"),
    one_of=("clientCode", "clientPhone"),
    key=("orderId", "tradeId"),
)  # fmt: skip


def read_call_metadata(path: Path, renames: Mapping[str, str]) -> Import:
    """The rows of a ``callMetadata.csv``; the key is ``audioName``. ``renames`` maps their header names to ours.

    A ``callStart`` without a time of day becomes None (noted): read as midnight, it would precede every order.

    Raises:
        CsvError: the file cannot be read, or lacks a column that it needs.
    """
    return _read(path, renames, _CALLS)


def read_trade_metadata(path: Path, renames: Mapping[str, str]) -> Import:
    """The rows of a ``tradeMetadata.csv``; the key is (``orderId``, ``tradeId``). ``renames``: their names to ours.

    An ``orderTime`` without a time of day is read as midnight (noted): no call of that day then precedes the order.

    Raises:
        CsvError: the file cannot be read, or lacks a column that it needs.
    """
    return _read(path, renames, _TRADES)


def _read(path: Path, renames: Mapping[str, str], kind: _Kind) -> Import:
    try:
        encoding = _encoding(path)
        with path.open(encoding=encoding, errors="replace", newline="") as stream:
            return _import(path.name, stream, renames, kind, encoding)
    except OSError as error:
        raise CsvError(f"{path.name} cannot be read: {error.strerror or error}") from error


def _encoding(path: Path) -> str:
    """UTF-8 (with a BOM or without) where every byte of the file is, else cp1252."""
    with path.open("rb") as binary:
        if binary.read(2) in {b"\xff\xfe", b"\xfe\xff"}:
            raise CsvError(f"{path.name} is UTF-16; export it as UTF-8")
    try:
        with path.open(encoding="utf-8-sig") as stream:
            while stream.read(1 << 20):
                pass
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8-sig"


class _Lines:
    """The physical lines of a file, numbered from 1, without NUL bytes; a line can be handed back."""

    def __init__(self, stream: Iterable[str]) -> None:
        self._numbered = enumerate(stream, start=1)
        self._returned: deque[tuple[int, str]] = deque()

    def __iter__(self) -> Iterator[tuple[int, str]]:
        return self

    def __next__(self) -> tuple[int, str]:
        if self._returned:
            return self._returned.popleft()
        number, line = next(self._numbered)
        return number, line.replace("\0", "") if "\0" in line else line

    def hand_back(self, lines: list[tuple[int, str]]) -> None:
        self._returned.extendleft(reversed(lines))


def _import(name: str, stream: Iterable[str], renames: Mapping[str, str], kind: _Kind, encoding: str) -> Import:
    lines = _Lines(stream)
    header, delimiter = _header(name, lines, renames, kind)
    columns = _columns(name, header, renames, kind)
    result = Import([], [], encoding)
    parse = _row_parser(columns, kind)
    seen: dict[tuple[Any, ...], int] = {}
    for line, fields in _records(lines, delimiter, len(header), encoding, result.rejected):
        notes: list[str] = []
        try:
            row = parse(fields, notes)
        except BadValue as error:
            result.rejected.append(Rejected(line, str(error)))
            continue
        first = seen.setdefault(tuple([row[column] for column in kind.key]), line)
        if first != line:
            key = " and ".join(kind.key)
            result.rejected.append(Rejected(line, f"the same {key} as line {first}, which is kept"))
            continue
        result.noted.extend(Rejected(line, note) for note in notes)
        result.rows.append(row)
    return result


def _row_parser(columns: Mapping[str, int], kind: _Kind) -> Callable[[list[str], list[str]], dict[str, Any]]:
    """A function from a record's fields to its row; it shares equal texts among rows, which halves a day's memory."""
    lengths = {ours: getattr(kind.table.c[ours].type, "length", None) for ours in columns}
    plan = [(ours, index, kind.readers[ours], lengths[ours]) for ours, index in columns.items()]
    blank = dict.fromkeys(kind.readers)
    texts: dict[str, str] = {}

    def parse(fields: list[str], notes: list[str]) -> dict[str, Any]:
        row: dict[str, Any] = blank.copy()
        for ours, index, reader, length in plan:
            try:
                value = reader(fields[index].strip())
            except BadValue as error:
                raise BadValue(f"{ours} {error}") from None
            except Doubtful as doubt:
                value = doubt.value
                notes.append(f"{ours} {doubt}")
            if length and value is not None:
                if len(value) > length:
                    raise BadValue(f"{ours} is longer than {length} characters")
                value = value if ours in kind.key else texts.setdefault(value, value)
            row[ours] = value
        _demand(row, kind)
        return row

    return parse


def _demand(row: dict[str, Any], kind: _Kind) -> None:
    for column in kind.required:
        if row[column] is None:
            raise BadValue(f"{column} is empty")
    if kind.one_of and all(row[column] is None for column in kind.one_of):
        raise BadValue(f"{' and '.join(kind.one_of)} are both empty")


def _header(name: str, lines: _Lines, renames: Mapping[str, str], kind: _Kind) -> tuple[list[str], str]:
    """The header's names and the delimiter: the one that shows the most of our columns."""
    for _, line in lines:
        text = line.strip()
        if text and not re.fullmatch(r"sep=.", text):
            split = {mark: next(csv.reader([text], delimiter=mark)) for mark in _DELIMITERS}
            known = {_plain(theirs) for theirs in (*renames, *kind.readers)}
            best = max(_DELIMITERS, key=lambda mark: sum(_plain(theirs) in known for theirs in split[mark]))
            return split[best], best
    raise CsvError(f"{name} is empty: not even a header line")


def _columns(name: str, header: list[str], renames: Mapping[str, str], kind: _Kind) -> dict[str, int]:
    """Where each of our columns is. A name of the mapping goes before a column that happens to have our own name."""
    strangers = sorted(set(renames.values()) - set(kind.readers))
    if strangers:
        raise CsvError(f"{name} has no column {', '.join(strangers)}: mend the mapping of column names in the settings")
    found: dict[str, int] = {}
    for names in (
        {_plain(theirs): ours for theirs, ours in renames.items()},
        {_plain(ours): ours for ours in kind.readers},
    ):
        taken = set(found)
        for index, theirs in enumerate(header):
            ours = names.get(_plain(theirs))
            if ours is None or ours in taken or index in found.values():
                continue
            if ours in found:
                raise CsvError(f"{name} has two columns for {ours}: '{header[found[ours]]}' and '{theirs}'")
            found[ours] = index
    missing = [column for column in kind.required if column not in found]
    if kind.one_of and not any(column in found for column in kind.one_of):
        missing.append(" or ".join(kind.one_of))
    if missing:
        raise CsvError(f"{name} lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}")
    return found


def _plain(name: str) -> str:
    return re.sub(r"[\s_]", "", name).casefold()


def _records(
    lines: _Lines, delimiter: str, width: int, encoding: str, rejected: list[Rejected]
) -> Iterator[tuple[int, list[str]]]:
    """The fields of each record with the physical line it starts on; what is no record goes to ``rejected``."""
    for number, line in lines:
        if not line.strip(" \t\r\n" + delimiter):
            continue
        reason = ""
        fields = (
            line.rstrip("\r\n").split(delimiter) if '"' not in line else _quoted(number, line, lines, delimiter, width)
        )
        if fields is None:
            reason = "a quote is not closed, or text follows a closing quote"
        elif len(fields) < width or any(text.strip() for text in fields[width:]):
            reason = f"{len(fields)} fields where the header has {width}"
        elif encoding == "cp1252" and "\ufffd" in line:
            reason = "holds bytes that are neither UTF-8 nor cp1252"
        if reason or fields is None:
            rejected.append(Rejected(number, reason))
        else:
            yield number, fields


def _quoted(number: int, line: str, lines: _Lines, delimiter: str, width: int) -> list[str] | None:
    """The fields of a record with quotes, which may go on over several lines; None where the quotes make no sense.

    A quote that was never closed must not swallow the rows after it: they are handed back.
    """
    taken: list[tuple[int, str]] = []
    while True:
        try:
            fields = next(csv.reader([line, *(text for _, text in taken)], delimiter=delimiter, strict=True))
        except csv.Error as error:
            following = next(lines, None) if "end of data" in str(error) and len(taken) < _QUOTED_LINES_LIMIT else None
            if following is None:
                break
            taken.append(following)
            continue
        if not taken or len(fields) == width:
            return fields
        break
    lines.hand_back(taken)
    return None
