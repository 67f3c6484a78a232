"""What a database lacks against the declared tables, and the statements that add it. Nothing is changed here.

The plan is made whole before its first statement runs, so that whatever forbids it is known while nothing has changed.
It is made anew for each upgrade: what is there is not planned again. One ``ALTER TABLE`` adds all missing columns of a
table, and nothing else, so that a server which can do that instantly does (MySQL 8.0.12+, MariaDB 10.3+).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.schema import CreateIndex, CreateTable

from cofi_dagster.database import columns, doubles, views
from cofi_dagster.database.actual import ActualIndex, ActualTable, names_have_case, tables
from cofi_dagster.database.columns import Unfit
from cofi_dagster.database.tables import audit_answer, metadata


@dataclass(frozen=True, slots=True)
class Change:
    """One or more statements that belong together; ``whats`` says for a person what they do, a line each."""

    whats: tuple[str, ...]
    statements: tuple[str, ...]
    verb: str = "added"


@dataclass(slots=True)
class Plan:
    """What an upgrade would do, what forbids it, and what it leaves for a person to look at."""

    changes: list[Change] = field(default_factory=list)
    obstacles: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def plan(connection: sa.Connection, *, views_anew: bool = False) -> Plan:
    """Compare the database with the declared tables and views; ``views_anew``: make all views again."""
    there = tables(connection)
    by_folded = {name.lower(): table for name, table in there.items()}
    has_case = names_have_case(connection)
    found = [(t, there.get(t.name) or by_folded.get(t.name.lower())) for t in metadata.sorted_tables]
    made = Plan([_create(table, connection.dialect) for table, actual in found if actual is None])
    for table, actual in found:
        if actual is not None:
            _Comparison(connection, made, table, actual).run(renamed=has_case and actual.name != table.name)
    for name, statements in views.lacking(connection, anew=views_anew):
        made.changes.append(Change((f"view {name}",), statements))
    return made


def create_statements(dialect: sa.Dialect) -> Iterator[str]:
    """The statements that make all tables and indexes in an empty database."""
    for table in metadata.sorted_tables:
        yield from _create(table, dialect).statements


def fingerprint() -> str:
    """A text that differs whenever the declared tables or views do."""
    parts = [f"{table.name} {index.name}" for table in metadata.sorted_tables for index in _indexes(table)]
    for table in metadata.sorted_tables:
        parts += [f"{table.name}.{c.name} {columns.type_of(c)} {c.nullable} {columns.default_of(c)}" for c in table.c]
        parts += [f"{table.name} unique {names}" for _, names in _uniques(table)]
    parts += [statement for _, statement in views.declared()]
    return views.digest("\n".join(parts))


def _create(table: sa.Table, dialect: sa.Dialect) -> Change:
    statements: list[sa.schema.ExecutableDDLElement] = [CreateTable(table)]
    statements += [CreateIndex(index) for index in _indexes(table)]
    return Change((f"table {table.name}",), tuple(_sql(statement, dialect) for statement in statements))


def _sql(element: sa.schema.ExecutableDDLElement, dialect: sa.Dialect) -> str:
    return "\n".join(line.rstrip() for line in str(element.compile(dialect=dialect)).strip().splitlines())


def _indexes(table: sa.Table) -> list[sa.Index]:
    return sorted(table.indexes, key=lambda index: str(index.name))


def _uniques(table: sa.Table) -> list[tuple[str, list[str]]]:
    found = [c for c in table.constraints if isinstance(c, sa.UniqueConstraint)]
    return sorted((str(c.name), [column.name for column in c.columns]) for c in found)


class _Comparison:
    """One table against its declaration; what it finds goes into the plan."""

    def __init__(self, connection: sa.Connection, made: Plan, table: sa.Table, actual: ActualTable) -> None:
        self._connection = connection
        self._plan = made
        self._table = table
        self._actual = actual
        self._quote = connection.dialect.identifier_preparer.quote
        self._is_sqlite = connection.dialect.name == "sqlite"
        self._keys = {name for index in table.indexes for name in index.columns.keys()}  # noqa: SIM118
        self._keys |= {name for _, names in _uniques(table) for name in names}

    def run(self, *, renamed: bool) -> None:
        """Plan this table; ``renamed``: its name differs from the declared one by case, where case matters."""
        name = self._table.name
        if renamed:
            statement = f"RENAME TABLE {self._quote(self._actual.name)} TO {self._quote(name)}"
            self._plan.changes.append(Change((f"{self._actual.name} to {name}",), (statement,), "renamed"))
        if not self._is_sqlite:
            self._engine()
        self._missing_columns()
        if not self._is_sqlite:
            self._other_columns()
        self._missing_keys()
        self._narrow_keys()

    def _alter(self, whats: Iterable[str], clauses: Iterable[str], verb: str = "added") -> None:
        listed = tuple(whats)
        if listed:
            head = f"ALTER TABLE {self._quote(self._table.name)} "
            self._plan.changes.append(Change(listed, (head + ", ".join(clauses),), verb))

    def _engine(self) -> None:
        """Without InnoDB there are no transactions; in its older row formats a key has at most 767 bytes."""
        actual, name = self._actual, self._table.name
        if actual.engine.lower() != "innodb":
            what = f"engine of {name} to InnoDB (it was {actual.engine})"
            self._alter((what,), ("ENGINE=InnoDB ROW_FORMAT=DYNAMIC",), "changed")
        elif actual.row_format.lower() in ("compact", "redundant"):
            what = f"row format of {name} to DYNAMIC (it was {actual.row_format})"
            self._alter((what,), ("ROW_FORMAT=DYNAMIC",), "changed")

    # -- columns -----------------------------------------------------------------------------------------------

    def _missing_columns(self) -> None:
        missing = [column for column in self._table.c if column.name.lower() not in self._actual.columns]
        added = [(f"column {self._table.name}.{column.name}", self._added(column)) for column in missing]
        if self._is_sqlite:
            for what, clause in added:
                self._alter((what,), (clause,))
            return
        self._alter(*_split(added))
        clocks = [c for c in missing if columns.default_of(c) and not columns.is_constant(c)]
        self._alter(
            (f"default of {self._table.name}.{c.name} for new rows" for c in clocks),
            (f"MODIFY COLUMN {self._declared(c)} NULL DEFAULT {columns.default_of(c)}" for c in clocks),
        )

    def _declared(self, column: sa.Column[Any]) -> str:
        if self._is_sqlite:
            return f"{self._quote(column.name)} {column.type.compile(dialect=self._connection.dialect)}"
        return f"{self._quote(column.name)} {columns.type_of(column)}"

    def _added(self, column: sa.Column[Any]) -> str:
        default = columns.default_of(column) if columns.is_constant(column) else None
        said = f" DEFAULT {default}" if default is not None else ""
        if column.autoincrement is True and not self._is_sqlite:
            key = "UNIQUE" if self._actual.has_primary_key else "PRIMARY KEY"
            return f"ADD COLUMN {self._declared(column)} NOT NULL AUTO_INCREMENT {key}"
        null = " NOT NULL" if not column.nullable and default is not None else ""
        return f"ADD COLUMN {self._declared(column)}{null}{said}"

    def _other_columns(self) -> None:
        name, changed = self._table.name, []
        declared = {column.name.lower(): column for column in self._table.c}
        for folded, actual in self._actual.columns.items():
            column = declared.get(folded)
            try:
                if column is None:
                    clause = columns.relaxation(actual)
                    if clause and self._is_in_primary_key(folded):
                        raise Unfit("is in the primary key and has no default: COFI could add no row; give it one")
                else:
                    clause = columns.modification(column, actual, in_key=column.name in self._keys)
                    self._check_fits(column, actual.name, actual.kind, clause)
            except Unfit as unfit:
                self._plan.obstacles.append(f"{self._actual.name}.{actual.name} {unfit}")
                continue
            if clause:
                shown = clause.partition(" COLUMN ")[2].partition(" ")[2]
                changed.append((f"column {name}.{actual.name} to {shown} (it was {_described(actual)})", clause))
        if not self._actual.has_primary_key and "id" in self._actual.columns:
            self._check_doubles(["id"])
            changed.append((f"primary key of {name} to (id)", f"ADD PRIMARY KEY ({self._quote('id')})"))
        self._alter(*_split(changed), "changed")

    def _is_in_primary_key(self, folded: str) -> bool:
        return any(index.name == "PRIMARY" and folded in index.columns for index in self._actual.indexes)

    def _check_fits(self, column: sa.Column[Any], name: str, kind: str, clause: str | None) -> None:
        """A text that is to be in a key is made a VARCHAR: no value may be longer than that."""
        if clause is None or not kind.endswith("text") or "VARCHAR(" not in clause:
            return
        length = int(clause.partition("VARCHAR(")[2].partition(")")[0])
        where = f"FROM {self._quote(self._actual.name)} WHERE CHAR_LENGTH({self._quote(name)}) > {length}"
        count = self._connection.exec_driver_sql(f"SELECT COUNT(*) {where}").scalar_one()
        if count:
            raise Unfit(f"has {count} values of more than {length} characters, which no key can hold: shorten them")

    # -- keys --------------------------------------------------------------------------------------------------

    def _missing_keys(self) -> None:
        for name, key in _uniques(self._table):
            if not any(_is_same_key(index, key) for index in self._actual.indexes):
                self._unique(name, key)
        missing = [index for index in _indexes(self._table) if not self._is_there(index)]
        self._add_indexes("index", [(str(index.name), list(index.columns.keys())) for index in missing])

    def _unique(self, name: str, key: list[str]) -> None:
        found = self._doubled(key)
        if found and self._table is audit_answer:
            statements = doubles.history_statements(self._connection.dialect)
            self._plan.changes.append(Change(("older answers to auditAnswerHistory",), statements, "moved"))
        elif found:
            self._plan.obstacles.append(found)
        self._add_indexes("unique key", [(name, key)])

    def _check_doubles(self, key: list[str]) -> None:
        if found := self._doubled(key):
            self._plan.obstacles.append(found)

    def _doubled(self, key: list[str]) -> str | None:
        if any(name.lower() not in self._actual.columns for name in key):
            return None
        return doubles.named(self._connection, self._table, self._actual, key)

    def _is_there(self, index: sa.Index) -> bool:
        wanted = tuple(name.lower() for name in index.columns.keys())  # noqa: SIM118
        return any(found.columns[: len(wanted)] == wanted and found.whole for found in self._actual.indexes)

    def _add_indexes(self, kind: str, named: list[tuple[str, list[str]]]) -> None:
        unique = "UNIQUE " if kind == "unique key" else ""
        taken = {index.name.lower() for index in self._actual.indexes}
        whats, clauses = [], []
        for name, key in named:
            free = name if name.lower() not in taken else f"{name}_cofi"
            listed = ", ".join(self._quote(part) for part in key)
            whats.append(f"{kind} {free} on {self._table.name} ({', '.join(key)})")
            clauses.append((free, listed))
        if not self._is_sqlite:
            self._alter(whats, (f"ADD {unique}INDEX {self._quote(name)} ({listed})" for name, listed in clauses))
            return
        for what, (name, listed) in zip(whats, clauses, strict=True):
            statement = f"CREATE {unique}INDEX {self._quote(name)} ON {self._quote(self._table.name)} ({listed})"
            self._plan.changes.append(Change((what,), (statement,)))

    def _narrow_keys(self) -> None:
        """A unique key on less than ours forbids what COFI must store, such as one file name in two batches."""
        for index in self._actual.indexes:
            if not index.unique or index.name == "PRIMARY":
                continue
            for _, key in _uniques(self._table):
                if set(index.columns) < {name.lower() for name in key}:
                    self._plan.notes.append(
                        f"the unique key {index.name} of {self._actual.name} on ({', '.join(index.columns)}) forbids "
                        f"rows that ({', '.join(key)}) tells apart, such as one name in two batches: drop it"
                    )


def _is_same_key(index: ActualIndex, key: list[str]) -> bool:
    return index.unique and index.whole and set(index.columns) == {name.lower() for name in key}


def _split(pairs: list[tuple[str, str]]) -> tuple[list[str], list[str]]:
    return [what for what, _ in pairs], [clause for _, clause in pairs]


def _described(actual: Any) -> str:
    null = "NULL" if actual.nullable else "NOT NULL"
    return f"{actual.full_type} {null}" + (f" DEFAULT {actual.default}" if actual.default is not None else "")
