"""What statements read, by the server's own count and plan: recorded while something uses an engine on MariaDB.

A statement's rows examined are those that the storage engine handed out (``Handler_read_…``), its own temporary tables
included. Knows no query of COFI's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from pymysql.cursors import Cursor, SSCursor

_PLANNED = ("SELECT", "UPDATE", "DELETE", "INSERT", "REPLACE")
_WHOLE = ("ALL", "index")
_READS = "SHOW SESSION STATUS LIKE 'Handler\\_read\\_%'"
_NAMED = re.compile(r"%\(\w+\)s")
_LISTS = re.compile(r"(\(?%s\)?)(?:, ?\(?%s\)?)+")
_CASES = re.compile(r"(?: WHEN \(.{0,40}?%s\) THEN %s)+")
_SHOWN = 600


@dataclass(slots=True)
class Statement:
    """A statement of one shape: how often it ran, the run that read most, and the tables that its plan reads whole.

    Attributes:
        text: its SQL, with lists of values shortened.
        examined, returned: rows that its dearest run read, and gave or changed.
        whole: of each table that the plan reads whole, how the server says so, and the rows that it expects.
    """

    text: str
    runs: int = 0
    examined: int = 0
    returned: int = 0
    whole: list[tuple[str, str, int]] = field(default_factory=list)


class Recorder:
    """Every statement that goes through an engine while it records, by its shape."""

    def __init__(self) -> None:
        self.statements: dict[str, Statement] = {}
        self._later: list[tuple[Statement, str, Any]] = []
        self._idle: dict[int, int] = {}

    @contextmanager
    def on(self, engine: sa.Engine) -> Iterator[None]:
        """Record what the block does with the engine."""
        sa.event.listen(engine, "before_cursor_execute", self._before)
        sa.event.listen(engine, "after_cursor_execute", self._after)
        try:
            yield
        finally:
            sa.event.remove(engine, "before_cursor_execute", self._before)
            sa.event.remove(engine, "after_cursor_execute", self._after)
        with engine.connect() as connection:
            self._run_streamed(connection)

    def _before(self, _c: Any, cursor: Any, text: str, parameters: Any, context: Any, many: bool) -> None:
        shape = shape_of(text)
        if not shape.upper().startswith(_PLANNED) or "information_schema" in text:
            return
        found = self.statements.get(shape)
        raw = cursor.connection
        if found is None:
            found = self.statements[shape] = Statement(shape)
            if not many:
                found.whole = _whole_reads(raw, text, parameters)
        found.runs += 1
        if isinstance(cursor, SSCursor):
            self._later.append((found, text, parameters))
            return
        context.cofi_read = (found, self._reads(raw))

    def _after(self, _c: Any, cursor: Any, _text: str, _parameters: Any, context: Any, _many: bool) -> None:
        begun: tuple[Statement, int] | None = getattr(context, "cofi_read", None)
        if begun is not None:
            found, before = begun
            context.cofi_read = None
            self._count(found, cursor, before)

    def _count(self, found: Statement, cursor: Any, before: int) -> None:
        read = self._reads(cursor.connection) - before - self._idle[id(cursor.connection)]
        if read >= found.examined:
            found.examined, found.returned = read, max(0, cursor.rowcount)

    def _run_streamed(self, connection: sa.Connection) -> None:
        """What was read row by row is counted by running it again whole: nothing else fits between its rows."""
        raw = connection.connection.driver_connection
        assert raw is not None
        for found, text, parameters in self._later:
            with raw.cursor(Cursor) as cursor:
                before = self._reads(raw)
                cursor.execute(text, parameters)
                self._count(found, cursor, before)
        self._later.clear()

    def _reads(self, raw: Any) -> int:
        """Rows that this session has read so far; asking for that reads some too, as many each time."""
        if id(raw) not in self._idle:
            first = _reads(raw)
            self._idle[id(raw)] = _reads(raw) - first
        return _reads(raw)


def shape_of(text: str) -> str:
    """A statement's SQL on one line, its lists of values shortened, cut where it is long."""
    values = _NAMED.sub("%s", " ".join(text.split()))
    return _CASES.sub(" WHEN …", _LISTS.sub(r"\1…", values))[:_SHOWN]


def _reads(raw: Any) -> int:
    with raw.cursor(Cursor) as cursor:
        cursor.execute(_READS)
        return sum(int(value) for _, value in cursor.fetchall())


def _whole_reads(raw: Any, text: str, parameters: Any) -> list[tuple[str, str, int]]:
    if "JSON_TABLE" in text or " VALUES " in text:
        return []
    with raw.cursor(Cursor) as cursor:
        cursor.execute("EXPLAIN " + text, parameters)
        columns = [column[0] for column in cursor.description]
        rows = [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
    stored = [row for row in rows if not str(row["table"]).startswith("<")]
    return [(str(row["table"]), row["type"], int(row["rows"] or 0)) for row in stored if row["type"] in _WHOLE]
