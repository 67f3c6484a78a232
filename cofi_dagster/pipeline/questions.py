"""The questionnaire of a batch as the database has it. Queries only; the default one ships in ``audit``."""

from __future__ import annotations

import sqlalchemy as sa

from cofi_dagster.audit.questionnaire import TRADE_QUESTIONS, Question
from cofi_dagster.database import tables as t
from cofi_dagster.pipeline.batches import Batch, BatchError


def questionnaire(connection: sa.Connection, batch: Batch) -> list[Question]:
    """The questions of the batch's process and category, in order.

    Raises:
        BatchError: there are none beyond those that need trade data.
    """
    table = t.audit_question
    query = (
        sa.select(table.c.id, table.c.position, table.c.text, table.c.answerType)
        .where(table.c.processId == batch.process_id, table.c.categoryMappingId == batch.category_mapping_id)
        .order_by(table.c.position)
    )
    found = [Question(row.id, row.position, row.text, row.answerType) for row in connection.execute(query)]
    if len(found) <= TRADE_QUESTIONS:
        raise BatchError(
            f"the questionnaire for process {batch.process_id}, category {batch.category_mapping_id} has {len(found)} "
            f"questions: add rows to auditQuestion; it needs more than the {TRADE_QUESTIONS} on trade data"
        )
    return found


def trade_questions(questions: list[Question]) -> list[Question]:
    """The first three: those that need trade data."""
    return questions[:TRADE_QUESTIONS]
