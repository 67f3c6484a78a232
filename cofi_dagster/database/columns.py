"""What an older column must become for COFI to read and write it, in MySQL's words. Rules only: no connection, no row.

A type of the same meaning stays (``INT`` for ``BIGINT``, ``DATETIME`` without fraction, ``TINYINT(1)`` or ``BIT`` for a
flag). What is changed keeps every value: a number becomes text, a text longer, a set of characters larger.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from cofi_dagster.database.actual import ActualColumn

_DIALECT = mysql.dialect()
_QUOTE = _DIALECT.identifier_preparer.quote
_INTEGERS = ("tinyint", "smallint", "mediumint", "int", "bigint")
_TEXTS = ("tinytext", "text", "mediumtext", "longtext")
_CHARACTERS = ("char", "varchar", *_TEXTS)
_SETS = ("enum", "set")
UTF8 = "utf8mb4"


class Unfit(ValueError):
    """A column that COFI can neither use nor change without changing rows; the message says what to do."""


def type_of(column: sa.Column[Any]) -> str:
    """The declared type as DDL has it, text always with its set of characters."""
    compiled = column.type.compile(dialect=_DIALECT)
    head, collate, collation = compiled.partition(" COLLATE ")
    if isinstance(_generic(column), sa.String):
        return f"{head} CHARACTER SET {UTF8}{collate}{collation}"
    return compiled


def default_of(column: sa.Column[Any]) -> str | None:
    """The declared default as DDL has it; None where there is none."""
    default = column.server_default
    if not isinstance(default, sa.DefaultClause):
        return None
    return f"'{default.arg}'" if isinstance(default.arg, str) else str(default.arg.compile(dialect=_DIALECT))


def is_constant(column: sa.Column[Any]) -> bool:
    """Whether the default is the same for every row: a clock's would date the rows that are already there."""
    default = column.server_default
    return isinstance(default, sa.DefaultClause) and isinstance(default.arg, str | sa.TextClause)


def modification(column: sa.Column[Any], actual: ActualColumn, *, in_key: bool) -> str | None:
    """The ``MODIFY COLUMN`` that makes an older column one that COFI can use, or None where it is one.

    Raises:
        Unfit: it cannot be made one without changing rows.
    """
    is_id = column.autoincrement is True
    if actual.fills_itself and not is_id:
        return None
    new_type = _wider(column, actual, in_key=in_key)
    default = default_of(column) or (None if _means_absent(column) else actual.default)
    nullable = actual.nullable or (bool(column.nullable) and default_of(column) is None)
    numbered = is_id and "auto_increment" not in actual.extra
    same = (
        new_type is None
        and nullable == actual.nullable
        and (default is None) == (actual.default is None)
        and "on update" not in actual.extra
        and not numbered
    )
    if same:
        return None
    increment = " AUTO_INCREMENT" if is_id else ""
    return _modify(actual, new_type or actual.full_type, nullable, None if increment else default, increment)


def relaxation(actual: ActualColumn) -> str | None:
    """The ``MODIFY COLUMN`` that lets a foreign column be left out of an INSERT, or None where it can be."""
    if actual.nullable or actual.default is not None or actual.fills_itself:
        return None
    return _modify(actual, actual.full_type, True, None, "")


def _modify(actual: ActualColumn, new_type: str, nullable: bool, default: str | None, more: str) -> str:
    null = "NULL" if nullable else "NOT NULL"
    said = f" DEFAULT {_fitted(default, new_type)}" if default is not None else ""
    comment = " COMMENT '" + actual.comment.replace("\\", "\\\\").replace("'", "''") + "'" if actual.comment else ""
    return f"MODIFY COLUMN {_QUOTE(actual.name)} {new_type} {null}{said}{more}{comment}"


def _fitted(default: str, new_type: str) -> str:
    """A clock has as many digits of a second as its column, or the server refuses it."""
    if not default.upper().startswith(("NOW(", "CURRENT_TIMESTAMP")):
        return default
    kind, _, digits = new_type.partition("(")
    return (
        f"CURRENT_TIMESTAMP({digits.rstrip(')')})"
        if kind.lower() in ("datetime", "timestamp") and digits
        else ("CURRENT_TIMESTAMP")
    )


def _generic(column: sa.Column[Any]) -> sa.types.TypeEngine[Any]:
    kind = column.type
    return kind.impl_instance if isinstance(kind, sa.types.TypeDecorator) else kind


def _means_absent(column: sa.Column[Any]) -> bool:
    """Whether NULL says something of its own here: no machine yet, not yet begun. Such a column has no default."""
    return column.nullable is True and (column.name == "ip" or isinstance(_generic(column), sa.DateTime))


def _is_flag(column: sa.Column[Any]) -> bool:
    return isinstance(_generic(column), sa.SmallInteger)


def _wider(column: sa.Column[Any], actual: ActualColumn, *, in_key: bool) -> str | None:
    generic = _generic(column)
    if column.autoincrement is True and actual.kind not in _INTEGERS:
        raise Unfit(f"is {actual.full_type}, and must be a number that the server gives (BIGINT AUTO_INCREMENT)")
    if _is_flag(column):
        return f"VARCHAR(32) CHARACTER SET {UTF8}" if actual.kind in _SETS else None
    if isinstance(generic, sa.Integer):
        return type_of(column) if actual.kind in _INTEGERS[:3] else None
    if isinstance(generic, sa.Float):
        whole = actual.kind in _INTEGERS[:4] or (actual.kind == "decimal" and actual.scale == 0)
        return type_of(column) if whole else None
    if isinstance(generic, sa.DateTime):
        return _time(column, actual)
    if isinstance(generic, sa.JSON):
        narrow = actual.kind in ("char", "varchar", "tinytext", "text")
        return f"MEDIUMTEXT CHARACTER SET {UTF8}" if narrow or _is_foreign(actual) else None
    if isinstance(generic, sa.Text):
        return _long(column, actual)
    return _word(column, actual, in_key=in_key) if isinstance(generic, sa.String) else None


def _is_foreign(actual: ActualColumn) -> bool:
    """Whether the column holds text, but not every text: Hindi and emoji need four bytes a character."""
    return actual.charset not in (None, UTF8)


def _time(column: sa.Column[Any], actual: ActualColumn) -> str | None:
    if actual.kind in ("datetime", "timestamp"):
        return None
    if actual.kind == "date":
        return type_of(column)
    raise Unfit(f"is {actual.full_type}, and must be a time: convert it to DATETIME(6)")


def _long(column: sa.Column[Any], actual: ActualColumn) -> str | None:
    wanted = type_of(column)
    capacity = _TEXTS.index(wanted.split()[0].lower())
    if actual.kind not in _TEXTS:
        return wanted
    narrow = _TEXTS.index(actual.kind) < capacity
    return (
        _TEXTS[max(_TEXTS.index(actual.kind), capacity)] + f" CHARACTER SET {UTF8}"
        if (narrow or _is_foreign(actual))
        else None
    )


def _word(column: sa.Column[Any], actual: ActualColumn, *, in_key: bool) -> str | None:
    generic = _generic(column)
    length = getattr(generic, "length", None) or 255
    if actual.kind in ("float", "double"):
        raise Unfit(
            f"is {actual.full_type}, which keeps but 15 digits of an identifier: convert it to {type_of(column)}"
        )
    wanted = type_of(column).replace(f"({length})", f"({max(length, _length(actual, in_key=in_key))})", 1)
    if actual.kind not in _CHARACTERS:
        return wanted
    is_text = actual.kind in _TEXTS
    narrow = is_text if in_key else (not is_text and (actual.length or 0) < length)
    collation = wanted.partition(" COLLATE ")[2]
    folded = bool(collation) and actual.collation != collation
    if is_text and not in_key and (folded or _is_foreign(actual)):
        return f"{actual.kind.upper()} CHARACTER SET {UTF8}" + (f" COLLATE {collation}" if collation else "")
    return wanted if narrow or folded or _is_foreign(actual) else None


def _length(actual: ActualColumn, *, in_key: bool) -> int:
    """How many characters its values may have, as far as that must be kept: a text in a key is cut to our length."""
    return 0 if actual.kind in _TEXTS and in_key else (actual.length or 0)
