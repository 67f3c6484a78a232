"""A call's transcript as its page shows it: segments in pieces, those pieces marked that answers and trades rest on.

A quote that stands verbatim in its segment is marked there; where it was found only after normalising, the segment
is marked whole; what was not found is marked nowhere, and said to be so beside the answer.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import sqlalchemy as sa

from cofi_dagster.audit.evidence import REPAIRED, UNVERIFIED, VERIFIED, places
from cofi_dagster.database import tables as t

_DEVANAGARI = range(0x0900, 0x0980)


@dataclass(frozen=True, slots=True)
class Quote:
    """Words that an answer or a trade rests on. ``is_found``: they are in the transcript as it is now.

    ``segment`` is the segment's index; ``start`` is in seconds into the call.
    """

    text: str
    segment: int | None
    start: float | None
    status: str
    is_found: bool


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a segment's text, and what rests on it (``q3``: question 3, ``t7``: LLM1's trade 7)."""

    text: str
    keys: tuple[str, ...]


@dataclass(slots=True)
class Segment:
    """One segment; ``text`` is composed (NFC). Times are seconds into the call."""

    index: int
    speaker: str | None
    start: float | None
    end: float | None
    text: str
    script: str | None
    marks: list[tuple[int, int, str]] = field(default_factory=list)

    @property
    def pieces(self) -> list[Piece]:
        """The text, cut where a mark begins or ends."""
        cuts = sorted({0, len(self.text), *(cut for start, end, _ in self.marks for cut in (start, end))})
        return [
            Piece(self.text[start:end], tuple(dict.fromkeys(k for s, e, k in self.marks if s <= start and end <= e)))
            for start, end in pairwise(cuts)
        ]


class Transcript:
    """A call's segments, to look quotes up in: what is found is marked."""

    def __init__(self, segments: Iterable[Segment]) -> None:
        self.segments = list(segments)
        self._by_index = {segment.index: segment for segment in self.segments}

    def quotes(self, evidence: Any, key: str) -> list[Quote]:
        """The quotes of an answer's or a trade's evidence, as the database has it; those found are marked."""
        items = evidence if isinstance(evidence, list) else []
        return [self._quote(item, key) for item in items if isinstance(item, Mapping) and item.get("quote")]

    def _quote(self, item: Mapping[str, Any], key: str) -> Quote:
        text, status = str(item["quote"]), str(item.get("status") or UNVERIFIED)
        index = item.get("segment")
        segment = self._by_index.get(index) if isinstance(index, int) else None
        stretches = _stretches(segment, text, status) if segment else []
        if segment is None or not stretches:
            return Quote(text, None, item.get("start"), status, is_found=False)
        segment.marks += [(start, end, key) for start, end in stretches]
        return Quote(text, segment.index, segment.start, status, is_found=True)


def _stretches(segment: Segment, quote: str, status: str) -> list[tuple[int, int]]:
    if status == VERIFIED:
        return list(places(unicodedata.normalize("NFC", quote).strip(), segment.text))
    return [(0, len(segment.text))] if status == REPAIRED and segment.text else []


def transcript(connection: sa.Connection, call_id: int, script: str | None) -> Transcript:
    """A call's transcript; ``script``: the language of all its segments, where the call has one."""
    return Transcript(segments(connection, t.transcript, call_id, script))


def segments(connection: sa.Connection, table: sa.Table, call_id: int, script: str | None) -> Sequence[Segment]:
    """The segments of a call in order."""
    query = sa.select(table).where(table.c.callId == call_id).order_by(table.c.segmentIndex, table.c.id)
    return [segment_of(row, script) for row in connection.execute(query)]


def segment_of(row: Any, script: str | None) -> Segment:
    """A row of a table of segments."""
    text = unicodedata.normalize("NFC", row.text or "")
    own = script or ("hi" if any(ord(char) in _DEVANAGARI for char in text) else None)
    return Segment(row.segmentIndex, row.speaker, row.startTime, row.endTime, text, own)
