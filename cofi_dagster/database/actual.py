"""What tables a database really has: names, columns, keys, as the server itself describes them. Nothing is changed.

MySQL 8 and MariaDB describe the same table in different words: MariaDB quotes text defaults and says ``NULL`` where
MySQL says nothing. Here they read alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa


@dataclass(frozen=True, slots=True)
class ActualColumn:
    """A column. ``length`` is in characters; ``full_type`` is the type as DDL has it, with set and collation, and
    ``default`` the default as DDL has it.

    For SQLite, whose types bind nothing, only ``name`` is set.
    """

    name: str
    kind: str = ""
    full_type: str = ""
    length: int | None = None
    scale: int | None = None
    nullable: bool = True
    default: str | None = None
    extra: str = ""
    charset: str | None = None
    collation: str | None = None
    comment: str = ""

    @property
    def fills_itself(self) -> bool:
        """Whether an INSERT may leave it out although it has no default: it is numbered or computed."""
        return "auto_increment" in self.extra or "generated" in self.extra.replace("default_generated", "")


@dataclass(frozen=True, slots=True)
class ActualIndex:
    """An index: its columns in lower case, in order; ``whole`` is False where it has but a prefix of a column."""

    name: str
    columns: tuple[str, ...]
    unique: bool
    whole: bool = True


@dataclass(slots=True)
class ActualTable:
    """A table; ``columns`` by their names in lower case, for the names of columns have no case."""

    name: str
    engine: str = "InnoDB"
    row_format: str = "Dynamic"
    columns: dict[str, ActualColumn] = field(default_factory=dict)
    indexes: list[ActualIndex] = field(default_factory=list)

    @property
    def has_primary_key(self) -> bool:
        """Whether it has a primary key."""
        return any(index.name == "PRIMARY" for index in self.indexes)


_TABLES = """
SELECT TABLE_NAME, ENGINE, ROW_FORMAT FROM information_schema.TABLES
WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE = 'BASE TABLE'
"""
_COLUMNS = """
SELECT TABLE_NAME, COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, CHARACTER_MAXIMUM_LENGTH, NUMERIC_SCALE, IS_NULLABLE,
       COLUMN_DEFAULT, EXTRA, CHARACTER_SET_NAME, COLLATION_NAME, COLUMN_COMMENT
FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() ORDER BY TABLE_NAME, ORDINAL_POSITION
"""
_INDEXES = """
SELECT TABLE_NAME, INDEX_NAME, NON_UNIQUE, COLUMN_NAME, SUB_PART
FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = DATABASE() ORDER BY TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX
"""


def tables(connection: sa.Connection) -> dict[str, ActualTable]:
    """All tables of the database by their names as they are written there."""
    return _of_sqlite(connection) if connection.dialect.name == "sqlite" else _of_server(connection)


def names_have_case(connection: sa.Connection) -> bool:
    """Whether ``batchStatus`` and ``batchstatus`` are two tables here (``lower_case_table_names`` 0)."""
    if connection.dialect.name == "sqlite":
        return False
    return int(connection.exec_driver_sql("SELECT @@lower_case_table_names").scalar_one()) == 0


def _of_server(connection: sa.Connection) -> dict[str, ActualTable]:
    found: dict[str, ActualTable] = {}
    for name, engine, row_format in connection.exec_driver_sql(_TABLES):
        found[name] = ActualTable(name, engine or "", row_format or "")
    is_mariadb = bool(getattr(connection.dialect, "is_mariadb", False))
    for row in connection.exec_driver_sql(_COLUMNS):
        if row[0] in found:
            column = _column(row, is_mariadb=is_mariadb)
            found[row[0]].columns[column.name.lower()] = column
    parts: dict[tuple[str, str], list[tuple[bool, str, bool]]] = {}
    for table, index, non_unique, column_name, sub_part in connection.exec_driver_sql(_INDEXES):
        parts.setdefault((table, index), []).append((not non_unique, (column_name or "").lower(), sub_part is None))
    for (table, index), columns in parts.items():
        if table in found:
            names = tuple(name for _, name, _ in columns)
            whole = all(is_whole for _, _, is_whole in columns)
            found[table].indexes.append(ActualIndex(index, names, columns[0][0], whole))
    return found


def _column(row: Sequence[Any], *, is_mariadb: bool) -> ActualColumn:
    _, name, kind, full_type, length, scale, nullable, default, extra, charset, collation, comment = row
    suffix = f" CHARACTER SET {charset} COLLATE {collation}" if charset else ""
    return ActualColumn(
        name=name,
        kind=kind.lower(),
        full_type=full_type + suffix,
        length=length,
        scale=scale,
        nullable=nullable == "YES",
        default=_mariadb_default(default) if is_mariadb else _mysql_default(default, extra),
        extra=extra.lower(),
        charset=charset,
        collation=collation,
        comment=comment,
    )


def _mariadb_default(default: str | None) -> str | None:
    return None if default == "NULL" else default


def _mysql_default(default: str | None, extra: str) -> str | None:
    if default is None or default.startswith("b'"):
        return default
    if "DEFAULT_GENERATED" not in extra.upper():
        return "'" + default.replace("'", "''") + "'"
    return default if default.upper().startswith("CURRENT_TIMESTAMP") else f"({default})"


def _of_sqlite(connection: sa.Connection) -> dict[str, ActualTable]:
    inspector = sa.inspect(connection)
    found: dict[str, ActualTable] = {}
    for name in inspector.get_table_names():
        table = found[name] = ActualTable(name)
        for column in inspector.get_columns(name):
            table.columns[column["name"].lower()] = ActualColumn(column["name"])
        if keys := inspector.get_pk_constraint(name)["constrained_columns"]:
            table.indexes.append(ActualIndex("PRIMARY", tuple(key.lower() for key in keys), unique=True))
        for constraint in inspector.get_unique_constraints(name):
            columns = tuple(key.lower() for key in constraint["column_names"])
            table.indexes.append(ActualIndex(str(constraint["name"]), columns, unique=True))
        for index in inspector.get_indexes(name):
            columns = tuple((key or "").lower() for key in index["column_names"])
            table.indexes.append(ActualIndex(str(index["name"]), columns, unique=bool(index["unique"])))
    return found
