"""Transactions that see a fault through: repeated while it passes, and done exactly once.

A connection that is lost while it commits leaves open whether it did. So on a server each transaction leaves a receipt,
committed with it; the repeat looks for that first, and waits at its lock while the server may still be at the commit.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Generic, TypeVar
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.dialects.mysql import insert

from cofi_dagster.database.engine import is_sqlite, reading, writing
from cofi_dagster.database.faults import patiently
from cofi_dagster.database.tables import commit_receipt, utcnow

T = TypeVar("T")

_DAY = sa.text("INTERVAL 1 DAY")


class _Writers:
    """The writers of this process: as many as it has transactions at once, each with a row of its own."""

    def __init__(self) -> None:
        self._free: list[str] = []
        self._lock = threading.Lock()
        self._swept = False

    @contextmanager
    def one(self, engine: sa.Engine) -> Iterator[str]:
        """A writer that no other transaction of this process uses meanwhile."""
        with self._lock:
            sweep, self._swept = not self._swept, True
            writer = self._free.pop() if self._free else uuid4().hex
        if sweep and not is_sqlite(engine):
            patiently(partial(_sweep, engine), engine.url)
        try:
            yield writer
        finally:
            with self._lock:
                self._free.append(writer)


_writers = _Writers()


def _sweep(engine: sa.Engine) -> None:
    """Remove the receipts of processes long gone, by key: a scan would wait for those of transactions under way."""
    with writing(engine) as connection:
        old = sa.select(commit_receipt.c.writer).where(commit_receipt.c.committedAt < sa.func.now() - _DAY)
        writers = connection.execute(old.limit(1000)).scalars().all()
        if writers:
            connection.execute(commit_receipt.delete().where(commit_receipt.c.writer.in_(writers)))


def transact(engine: sa.Engine, change: Callable[[sa.Connection], T]) -> T:
    """Make a change in one transaction, exactly once; a fault that passes is waited out, with growing waits.

    Raises:
        DatabaseError: a fault that may pass did not in time; nothing of the change was kept.
        sqlalchemy.exc.DBAPIError: a fault that does not pass by waiting; nothing of the change was kept.
    """
    with _writers.one(engine) as writer:
        return patiently(_Transaction(engine, change, writer).run, engine.url)


def inquire(engine: sa.Engine, query: Callable[[sa.Connection], T]) -> T:
    """Ask the database; a fault that passes is waited out, with growing waits.

    Raises:
        DatabaseError: a fault that may pass did not in time.
        sqlalchemy.exc.DBAPIError: a fault that does not pass by waiting.
    """

    def run() -> T:
        with reading(engine) as connection:
            return query(connection)

    return patiently(run, engine.url)


class _Transaction(Generic[T]):
    """A change, over its attempts."""

    def __init__(self, engine: sa.Engine, change: Callable[[sa.Connection], T], writer: str) -> None:
        self._engine = engine
        self._change = change
        self._writer = writer
        self._token = uuid4().hex
        self._made: list[T] = []

    def run(self) -> T:
        """One attempt."""
        with writing(self._engine) as connection:
            if self._made and self._receipt(connection) == self._token:
                return self._made[0]
            self._made.clear()
            made = self._change(connection)
            if not is_sqlite(connection):
                self._leave_receipt(connection)
                self._made.append(made)
        return made

    def _receipt(self, connection: sa.Connection) -> str | None:
        query = sa.select(commit_receipt.c.token).where(commit_receipt.c.writer == self._writer)
        return connection.execute(query.with_for_update()).scalar_one_or_none()

    def _leave_receipt(self, connection: sa.Connection) -> None:
        token = {"token": self._token, "committedAt": utcnow()}
        made = insert(commit_receipt).values(writer=self._writer, **token)
        connection.execute(made.on_duplicate_key_update(**token))
