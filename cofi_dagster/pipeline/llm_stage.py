"""What LLM1 and LLM2 share: transcripts as segments, and quotes checked against them. No prompt and no schema here."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from cofi_dagster.audit.requests import Segment
from cofi_dagster.database import tables as t

PATH = "/chat/completions"


@dataclass(slots=True)
class Asked:
    """What a call's request was made of, kept until its reply is read."""

    segments: list[Segment]
    questions: Sequence[object] = ()


def transcripts(connection: sa.Connection, call_ids: Sequence[int]) -> Mapping[int, list[Segment]]:
    """The segments of each call by its id, in order."""
    table = t.transcript
    query = (
        sa.select(
            table.c.callId, table.c.segmentIndex, table.c.speaker, table.c.text, table.c.startTime, table.c.endTime
        )
        .where(table.c.callId.in_(call_ids))
        .order_by(table.c.callId, table.c.segmentIndex)
    )
    found: dict[int, list[Segment]] = defaultdict(list)
    for call_id, index, speaker, words, start, end in connection.execute(query):
        found[call_id].append(Segment(index, speaker, words or "", start, end))
    return found
