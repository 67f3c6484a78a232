"""What LLM1 and LLM2 share: where they are asked, and transcripts as segments. No prompt and no schema here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import sqlalchemy as sa

from cofi_dagster.audit.requests import Segment
from cofi_dagster.database import tables as t
from cofi_dagster.database.engine import is_sqlite

PATH = "/chat/completions"


def transcripts(connection: sa.Connection, call_ids: Sequence[int]) -> Mapping[int, list[Segment]]:
    """The segments of each call by its id, in order; a call without any is left out.

    The database makes one JSON text per call: at 50 segments a call, PyMySQL spends a tenth of the time on it that it
    spends on rows.
    """
    table = t.transcript
    row = sa.func.json_array(
        table.c.segmentIndex, table.c.speaker, table.c.text, table.c.startTime, table.c.endTime, type_=sa.Text
    )
    gathered: sa.ColumnElement[Any] = (
        sa.func.json_group_array(sa.func.json(row), type_=sa.Text)
        if is_sqlite(connection)
        else sa.func.json_arrayagg(row, type_=sa.Text)
    )
    query = sa.select(table.c.callId, gathered).where(table.c.callId.in_(call_ids)).group_by(table.c.callId)
    return {call_id: _segments(orjson.loads(text)) for call_id, text in connection.execute(query)}


def _segments(rows: list[list[Any]]) -> list[Segment]:
    rows.sort(key=lambda row: row[0])
    return [Segment(index, speaker, words or "", start, end) for index, speaker, words, start, end in rows]
