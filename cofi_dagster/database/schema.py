"""What a database lacks against the declared tables, and the statements that add it. Rows are never changed here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.schema import CreateIndex, CreateTable

from cofi_dagster.database.tables import metadata


@dataclass(frozen=True, slots=True)
class Lack:
    """One thing that is missing: ``what`` for a person, ``statement`` that adds it."""

    what: str
    statement: str


def lacks(connection: sa.Connection) -> list[Lack]:
    """All tables, columns, unique keys and indexes that the database lacks, in the order to add them."""
    inspector = sa.inspect(connection)
    there = set(inspector.get_table_names())
    found: list[Lack] = []
    for table in metadata.sorted_tables:
        if table.name not in there:
            found += _table(table, connection.dialect)
            continue
        columns = {column["name"].lower() for column in inspector.get_columns(table.name)}
        found += _columns(table, columns, connection.dialect)
        found += _keys(table, inspector, connection.dialect)
    return found


def _sql(element: sa.schema.ExecutableDDLElement, dialect: sa.Dialect) -> str:
    return str(element.compile(dialect=dialect)).strip()


def _table(table: sa.Table, dialect: sa.Dialect) -> Iterable[Lack]:
    yield Lack(f"table {table.name}", _sql(CreateTable(table), dialect))
    for index in _indexes(table):
        yield Lack(f"index {index.name} on {table.name}", _sql(CreateIndex(index), dialect))


def _indexes(table: sa.Table) -> list[sa.Index]:
    return sorted(table.indexes, key=lambda index: str(index.name))


def _columns(table: sa.Table, there: set[str], dialect: sa.Dialect) -> Iterable[Lack]:
    quote = dialect.identifier_preparer.quote
    for column in table.columns:
        if column.name.lower() in there:
            continue
        kind = column.type.compile(dialect=dialect)
        default = _constant_default(column, dialect)
        null = " NOT NULL" if not column.nullable and default else ""
        yield Lack(
            f"column {table.name}.{column.name}",
            f"ALTER TABLE {quote(table.name)} ADD COLUMN {quote(column.name)} {kind}{null}{default}",
        )


def _constant_default(column: sa.Column[object], dialect: sa.Dialect) -> str:
    """The column's default for rows that are already there; a clock is none, for it would date them now."""
    default = column.server_default
    if not isinstance(default, sa.DefaultClause):
        return ""
    if isinstance(default.arg, str):
        return f" DEFAULT '{default.arg}'"
    if isinstance(default.arg, sa.TextClause):
        return f" DEFAULT {default.arg.text}"
    return ""


def _keys(table: sa.Table, inspector: sa.Inspector, dialect: sa.Dialect) -> Iterable[Lack]:
    quote = dialect.identifier_preparer.quote
    unique = {_folded(item["column_names"]) for item in inspector.get_unique_constraints(table.name)}
    indexes = inspector.get_indexes(table.name)
    unique |= {_folded(item["column_names"]) for item in indexes if item["unique"]}
    indexed = {_folded(item["column_names"]) for item in indexes} | unique
    constraints = [c for c in table.constraints if isinstance(c, sa.UniqueConstraint)]
    for constraint in sorted(constraints, key=lambda c: str(c.name)):
        names = [column.name for column in constraint.columns]
        if _folded(names) not in unique:
            listed = ", ".join(quote(name) for name in names)
            yield Lack(
                f"unique key {constraint.name} on {table.name}",
                f"CREATE UNIQUE INDEX {quote(str(constraint.name))} ON {quote(table.name)} ({listed})",
            )
    for index in _indexes(table):
        if _folded([column.name for column in index.columns]) not in indexed:
            yield Lack(f"index {index.name} on {table.name}", _sql(CreateIndex(index), dialect))


def _folded(names: Iterable[str | None]) -> tuple[str, ...]:
    return tuple((name or "").lower() for name in names)
