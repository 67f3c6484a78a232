"""The kinds of columns that the tables are made of, for SQLite, MySQL and MariaDB alike. No table here.

A database that COFI adopted may hold NULL where a column is NOT NULL, a flag as ``BIT`` or text, and a date with a
time: the types here read all of these as what they mean, and compare them so.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import operators
from sqlalchemy.sql.functions import FunctionElement

MYSQL = ("mysql", "mariadb")


class utcnow(FunctionElement[Any]):  # noqa: N801 - reads as the SQL function that it is
    """The database server's clock, UTC, microseconds (SQLite: milliseconds). The one clock of all stored times.

    A ``FunctionElement``, for a statement with any other element of one's own is compiled anew at each execution.
    """

    type = sa.DateTime()
    inherit_cache = True


@compiles(utcnow)
def _utcnow_mysql(element: utcnow, compiler: Any, **kw: Any) -> str:
    return "NOW(6)"


@compiles(utcnow, "sqlite")
def _utcnow_sqlite(element: utcnow, compiler: Any, **kw: Any) -> str:
    return "(strftime('%Y-%m-%d %H:%M:%f000', 'now'))"


class _NullIsDefault(sa.types.TypeDecorator.Comparator[Any]):
    """``column == default`` is true of NULL too, and ``column != another`` as well."""

    def operate(self, op: Any, *other: Any, **kwargs: Any) -> sa.ColumnElement[Any]:
        """The comparison, and where it would miss a NULL that means the default, that too."""
        result = super().operate(op, *other, **kwargs)
        default = self.type.default  # type: ignore[attr-defined]
        if (op is operators.eq and other[0] == default) or (op is operators.ne and other[0] not in (default, None)):
            return sa.or_(result, self.expr.is_(None))
        return result


class Flag(sa.types.TypeDecorator[int]):
    """0 or 1. An adopted table may hold NULL, ``BIT`` (bytes), ``'1'`` or ``'Complete'``."""

    impl = sa.SmallInteger
    cache_ok = True
    comparator_factory = _NullIsDefault
    default = 0

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """``TINYINT(1)`` on a server."""
        return dialect.type_descriptor(mysql.TINYINT(1) if dialect.name in MYSQL else sa.SmallInteger())

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> int:
        """The flag as a number; NULL is 0."""
        if isinstance(value, bytes):
            return int.from_bytes(value)
        if isinstance(value, str):
            return int(value in ("1", "Complete"))
        return int(value or 0)


class Word(sa.types.TypeDecorator[str]):
    """A word that has a default, which NULL means in a row from before the column had one."""

    impl = sa.String
    cache_ok = True
    comparator_factory = _NullIsDefault

    def __init__(self, length: int, default: str) -> None:
        super().__init__(length)
        self.default = default

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> str:
        """The word; NULL is the default."""
        return self.default if value is None else str(value)


class Day(sa.types.TypeDecorator[date]):
    """A date. An adopted table may hold a time too (``DATETIME``), or text."""

    impl = sa.Date
    cache_ok = True

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> Any:
        """The date alone."""
        if isinstance(value, datetime):
            return value.date()
        return date.fromisoformat(value[:10]) if isinstance(value, str) else value


def id_column() -> sa.Column[int]:
    """The primary key, numbered by the server."""
    kind = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    return sa.Column("id", kind, primary_key=True, autoincrement=True)


def ref_column(name: str, *, nullable: bool = False, **kw: Any) -> sa.Column[int]:
    """A number that is the ``id`` of a row elsewhere."""
    return sa.Column(name, sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=nullable, **kw)


def time_column(name: str, *, now: bool = False) -> sa.Column[Any]:
    """A time in UTC; ``now``: the server's clock where an INSERT says nothing."""
    kind = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), *MYSQL)
    return sa.Column(name, kind, server_default=utcnow() if now else None)


def flag_column(name: str) -> sa.Column[int]:
    """0 or 1, at first 0."""
    return sa.Column(name, Flag, nullable=False, server_default=sa.text("0"))


def word_column(name: str, default: str | None = None, length: int = 32) -> sa.Column[str]:
    """A short word, with or without a default."""
    kind = sa.String(length) if default is None else Word(length, default)
    return sa.Column(name, kind, nullable=default is None, server_default=default)


def file_column(name: str, *, nullable: bool = False) -> sa.Column[str]:
    """An audio file's name: up to 255 characters, told apart byte by byte (``A.wav`` is not ``a.wav``)."""
    kind = sa.String(255).with_variant(mysql.VARCHAR(255, collation="utf8mb4_bin"), *MYSQL)
    return sa.Column(name, kind, nullable=nullable)


def long_column(name: str) -> sa.Column[str]:
    """A text of up to 16 MB."""
    return sa.Column(name, sa.Text().with_variant(mysql.MEDIUMTEXT(), *MYSQL))


DOUBLE = sa.Float(53).with_variant(mysql.DOUBLE(asdecimal=False), *MYSQL)


def number_column(name: str) -> sa.Column[float]:
    """A number with a fraction."""
    return sa.Column(name, DOUBLE)


def as_json(column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """A column of JSON, or of what an adopted table has instead: plain text becomes a JSON text."""
    is_one = sa.or_(column.is_(None), sa.func.json_valid(column) == 1)
    return sa.case((is_one, column), else_=sa.func.json_quote(sa.cast(column, sa.String)))


def json_column(name: str) -> sa.Column[Any]:
    """A JSON value; None is NULL."""
    return sa.Column(name, sa.JSON(none_as_null=True))
