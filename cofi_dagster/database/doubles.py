"""Rows that share a key which is to be unique: found and named, or, for answers, moved to the history.

An older COFI added an answer at each audit: the newest is current (``auditAnswer``), the others are its history.
"""

from __future__ import annotations

import sqlalchemy as sa

from cofi_dagster.database.actual import ActualTable
from cofi_dagster.database.columns import UTF8
from cofi_dagster.database.tables import audit_answer, audit_answer_history

_SHOWN = 10


def named(connection: sa.Connection, table: sa.Table, actual: ActualTable, key: list[str]) -> str | None:
    """A sentence that names the rows which share the key, or None where no two do. Rows without a part of it do not.

    ``table`` is as declared, ``actual`` as it is: the comparison is that of the declared columns.
    """
    quote = connection.dialect.identifier_preparer.quote
    expressions = [_compared(connection, table, actual, name) for name in key]
    listed = ", ".join(expressions)
    filled = " AND ".join(f"{quote(actual.columns[name.lower()].name)} IS NOT NULL" for name in key)
    ids = f"GROUP_CONCAT({quote('id')})" if "id" in actual.columns else "''"
    grouped = f"FROM {quote(actual.name)} WHERE {filled} GROUP BY {listed} HAVING COUNT(*) > 1"
    count = connection.exec_driver_sql(f"SELECT COUNT(*) FROM (SELECT 1 {grouped}) doubled").scalar_one()  # noqa: S608
    if not count:
        return None
    query = f"SELECT {listed}, COUNT(*), {ids} {grouped} ORDER BY {listed} LIMIT {_SHOWN}"
    shown = []
    for *values, rows, row_ids in connection.exec_driver_sql(query):
        what = ", ".join(f"{name} {value!s}" for name, value in zip(key, values, strict=True))
        shown.append(f"{what} ({rows} rows" + (f", id {row_ids})" if row_ids else ")"))
    more = f"; and {count - _SHOWN} more" if count > _SHOWN else ""
    return (
        f"{actual.name} has rows that share ({', '.join(key)}), which must be unique: {'; '.join(shown)}{more}. "
        "Keep one of each and remove or rename the others, then upgrade again"
    )


def _compared(connection: sa.Connection, table: sa.Table, actual: ActualTable, name: str) -> str:
    column = actual.columns[name.lower()]
    quoted = connection.dialect.identifier_preparer.quote(column.name)
    collation = getattr(table.c[name].type.dialect_impl(connection.dialect), "collation", None)
    if collation is None or column.collation == collation:
        return quoted
    return f"CONVERT({quoted} USING {UTF8}) COLLATE {collation}"


def history_statements(dialect: sa.Dialect) -> tuple[str, str]:
    """What moves older answers of a call to the history: an INSERT of them there, and their DELETE here.

    Evidence that an older table held as plain text becomes a JSON text, as the history's column wants it.
    """
    quote = dialect.identifier_preparer.quote
    columns = [column.name for column in audit_answer.c if column.name != "id"]
    listed = ", ".join(quote(name) for name in columns)
    taken = ", ".join(_as_json(name) if name == "evidence" else f"older.{quote(name)}" for name in columns)
    source = quote(audit_answer.name)
    call, question = quote("callId"), quote("questionId")
    newer = f"newer.id > older.id AND newer.{call} = older.{call} AND newer.{question} = older.{question}"
    insert = (
        f"INSERT INTO {quote(audit_answer_history.name)} ({listed}) SELECT {taken} FROM {source} older "  # noqa: S608
        f"WHERE EXISTS (SELECT 1 FROM {source} newer WHERE {newer})"
    )
    kept = f"SELECT MAX(id) FROM {source} GROUP BY {call}, {question}"  # noqa: S608
    delete = (
        f"DELETE FROM {source} WHERE {call} IS NOT NULL AND {question} IS NOT NULL "  # noqa: S608
        f"AND id NOT IN (SELECT * FROM ({kept}) kept)"
    )
    return insert, delete


def _as_json(name: str) -> str:
    text = f"older.{name}"
    return f"CASE WHEN {text} IS NULL OR JSON_VALID({text}) THEN {text} ELSE JSON_QUOTE(CAST({text} AS CHAR)) END"
