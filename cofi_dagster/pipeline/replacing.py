"""Making room for new results: which of a call's old ones go, and to which history. In the caller's transaction."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import sqlalchemy as sa

from cofi_dagster.audit.questionnaire import NO_TRADE_DATA
from cofi_dagster.database import tables as t
from cofi_dagster.database.column_types import as_json


@dataclass(frozen=True, slots=True)
class _Keeping:
    """Where a table's replaced rows are kept, and which of its rows are never replaced."""

    history: sa.Table
    stays: sa.ColumnElement[bool] | None = None


_KEPT: dict[sa.Table, _Keeping] = {
    t.transcript: _Keeping(t.transcript_history),
    t.audit_answer: _Keeping(t.audit_answer_history, stays=t.audit_answer.c.answer == NO_TRADE_DATA),
}


def replace_rows(connection: sa.Connection, table: sa.Table, call_ids: Collection[int], task_id: str | None) -> int:
    """Delete the rows of these calls, after a copy to the table's history where it has one; how many went.

    Triaging's answers ``No trade data found`` stay: LLM2 is not asked these questions.
    """
    ids = list(call_ids)
    condition: sa.ColumnElement[bool] = table.c.callId.in_(ids)
    keeping = _KEPT.get(table)
    if keeping is not None:
        if keeping.stays is not None:
            condition &= sa.or_(table.c.answer.is_(None), ~keeping.stays)
        columns = [column for column in table.c if column.name != "id"]
        kept = [as_json(column) if isinstance(column.type, sa.JSON) else column for column in columns]
        old = sa.select(*kept, sa.literal(task_id, sa.String(36))).where(condition)
        names = [*(column.name for column in columns), "taskId"]
        connection.execute(keeping.history.insert().from_select(names, old))
    return connection.execute(table.delete().where(condition)).rowcount
