"""Between the triaging functions, which know data frames, and the database: what they read and what they settled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import sqlalchemy as sa

from cofi_dagster.audit.questionnaire import NO_TRADE_DATA
from cofi_dagster.database import bulk
from cofi_dagster.database import tables as t
from cofi_dagster.database.column_types import as_json
from cofi_dagster.pipeline.batches import Batch
from cofi_dagster.pipeline.questions import questionnaire, trade_questions
from cofi_dagster.pipeline.status import CallStatus

_ROWS = 5000
_TRADES = ("id", "orderId", "clientCode", "clientPhone", "orderTime", "symbol", "side", "quantity", "price")


def frame(connection: sa.Connection, query: sa.Select[Any]) -> pd.DataFrame:
    """A query's rows as a data frame that has its columns also where it has no rows."""
    result = connection.execute(query)
    return pd.DataFrame(result.fetchall(), columns=list(result.keys()), dtype=object)


def trades(connection: sa.Connection, batch_id: int) -> pd.DataFrame:
    """The batch's trades."""
    table = t.trade_metadata
    return frame(connection, sa.select(*(table.c[name] for name in _TRADES)).where(table.c.batchId == batch_id))


def calls(connection: sa.Connection, batch_id: int) -> pd.DataFrame:
    """The batch's calls that have metadata: when they began, and whose they are."""
    call, known = t.call, t.call_metadata
    same = sa.and_(known.c.batchId == call.c.batchId, known.c.audioName == call.c.audioName)
    query = sa.select(
        call.c.id.label("callId"),
        call.c.audioName,
        call.c.status,
        known.c.callStart,
        known.c.clientCode,
        known.c.clientPhone,
    ).select_from(call.join(known, same))
    return frame(connection, query.where(call.c.batchId == batch_id))


def store(
    connection: sa.Connection,
    batch_id: int,
    step: int,
    mappings: pd.DataFrame,
    audio_names: Mapping[int, str | None],
) -> None:
    """Replace the step's mappings, and set which audio is each trade's evidence."""
    table = t.trade_audio_mapping
    connection.execute(table.delete().where(table.c.batchId == batch_id, table.c.step >= step))
    rows: list[dict[Any, Any]] = [{**row, "batchId": batch_id} for row in mappings.to_dict("records")]
    bulk.insert_rows(connection, table, rows)
    trade = t.trade_metadata
    connection.execute(trade.update().where(trade.c.batchId == batch_id).values(audioName=None))
    named = {trade_id: {"audioName": name} for trade_id, name in audio_names.items() if name is not None}
    bulk.update_rows(connection, trade, named, batch_id)


def settle_no_trade_answers(connection: sa.Connection, batch: Batch) -> int:
    """Bring the answers ``No trade data found`` in line with the trades: one to each of the first three questions.

    A call that is no trade's evidence gets them, where the question has no answer yet; a call that has become
    evidence loses them, to the history, and is LLM2's to answer, again where it had answered the others already.
    Returns how many calls are without trade data.
    """
    questions = trade_questions(questionnaire(connection, batch))
    call, trade, answer = t.call, t.trade_metadata, t.audit_answer
    is_evidence = sa.exists().where(trade.c.batchId == call.c.batchId, trade.c.audioName == call.c.audioName)
    mine = call.c.batchId == batch.id
    mapped = sa.select(call.c.id).where(mine, is_evidence)
    outdated = answer.c.callId.in_(mapped) & (answer.c.answer == NO_TRADE_DATA)
    _ask_again(connection, batch, sa.select(answer.c.callId).where(outdated))
    _withdraw(connection, outdated)
    without = sa.select(call.c.id).where(mine, ~is_evidence)
    for question in questions:
        answered = sa.exists().where(answer.c.callId == call.c.id, answer.c.questionId == question.id)
        values = without.where(~answered).add_columns(
            sa.literal(question.id),
            sa.literal(question.text),
            sa.literal(NO_TRADE_DATA),
            sa.literal(1.0),
            sa.literal("none"),
            sa.literal("triaging"),
        )
        columns = ["callId", "questionId", "question", "answer", "confidence", "evidenceStatus", "model"]
        connection.execute(answer.insert().from_select(columns, values))
    counted = sa.select(sa.func.count()).select_from(without.subquery())
    return int(connection.execute(counted).scalar_one())


def _ask_again(connection: sa.Connection, batch: Batch, call_ids: sa.Select[tuple[int]]) -> None:
    """Make calls whose audit is complete pending for LLM2."""
    call, files = t.call, t.file_distribution
    complete = sa.select(call.c.id, call.c.audioName).where(
        call.c.batchId == batch.id, call.c.status == CallStatus.COMPLETE, call.c.id.in_(call_ids)
    )
    found = {call_id: name for call_id, name in connection.execute(complete)}
    if not found:
        return
    connection.execute(call.update().where(call.c.id.in_(list(found))).values(status=CallStatus.AUDIT_DONE))
    named = files.c.file.in_(list(found.values()))
    connection.execute(files.update().where(files.c.batchId == batch.id, named).values(llm2Done=0))


def _withdraw(connection: sa.Connection, condition: sa.ColumnElement[bool]) -> None:
    """Move answers to the history."""
    answer, history = t.audit_answer, t.audit_answer_history
    columns = [column for column in answer.c if column.name != "id"]
    kept = [as_json(column) if isinstance(column.type, sa.JSON) else column for column in columns]
    # By their ids: a DELETE whose condition asks another table is one that MariaDB scans all answers for.
    ids = list(connection.execute(sa.select(answer.c.id).where(condition)).scalars())
    for start in range(0, len(ids), _ROWS):
        chosen = answer.c.id.in_(ids[start : start + _ROWS])
        moved = sa.select(*kept).where(chosen)
        connection.execute(history.insert().from_select([column.name for column in columns], moved))
        connection.execute(answer.delete().where(chosen))
