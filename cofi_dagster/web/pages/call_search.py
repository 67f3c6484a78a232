"""Finding calls among millions within a time that a person waits: the conditions, and the walk through the batches.

Newest first: the batches by their date, in a batch the calls by their start. What few calls have in common (a client, a
rare symbol) is found by its index and counted exactly; anything else is looked for batch by batch, only in batches that
have such calls at all, until a page is full or the time is up. Nothing is ever counted beyond :data:`COUNTED`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

import sqlalchemy as sa

from cofi_dagster.audit.questionnaire import NO, NO_TRADE_DATA
from cofi_dagster.database import tables as t

COUNTED = 1000
"""How many calls are counted, at most, where they are not found by an index."""
_FEW = 2000
_CHUNK_FILES = 5000
_COUNT_SECONDS = 0.15
_SECONDS = 0.4
_BATCH, _CALL, _KNOWN = t.batch_status, t.call, t.call_metadata
_SAME_FILE = sa.and_(_KNOWN.c.batchId == _CALL.c.batchId, _KNOWN.c.audioName == _CALL.c.audioName)
_JOINED = _CALL.join(_BATCH, _BATCH.c.id == _CALL.c.batchId).outerjoin(_KNOWN, _SAME_FILE)
_NEWEST = (_BATCH.c.batchDate.desc(), _BATCH.c.id.desc(), _KNOWN.c.callStart.desc(), _CALL.c.id.desc())
_MARKS = ",.;:!?()\"'"

Condition = sa.ColumnElement[bool]
Ids = sa.Select[int]


@dataclass(frozen=True, slots=True)
class Wish:
    """One thing that is asked of calls.

    ``calls``: the condition on a call. ``ids``: queries by an index that together give all such calls, of which there
    may be few. ``batches``: the condition on a batch to have such calls.
    """

    calls: Condition
    ids: tuple[Ids, ...] = ()
    batches: Condition | None = None


@dataclass(frozen=True, slots=True)
class Hits:
    """What a search found. ``total`` None: not counted; ``at_least``: there may be more than ``total``.

    ``last_batch``: the time was up after this batch, and older ones have not been looked through.
    """

    call_ids: list[int]
    has_more: bool = False
    total: int | None = None
    at_least: bool = False
    last_batch: int | None = None


# -- wishes --------------------------------------------------------------------------------------------------------


def by_metadata(column: str, values: Sequence[str]) -> Wish:
    """Calls whose metadata has one of the values in an indexed column."""
    one_of = _KNOWN.c[column].in_(values)
    ids = sa.select(_CALL.c.id).select_from(_KNOWN.join(_CALL, _SAME_FILE)).where(one_of)
    return Wish(one_of, (ids,), _has(_KNOWN, one_of) if column == "dealerId" else None)


def by_symbol(names: Sequence[str]) -> Wish:
    """Calls that a trade of one of these symbols is mapped to, or that speak of one."""
    trade, mapping, said = t.trade_metadata, t.trade_audio_mapping, t.call_conversation
    joined = mapping.join(trade, trade.c.id == mapping.c.tradeMetadataId)
    by_trade = sa.and_(mapping.c.batchId == trade.c.batchId, trade.c.symbol.in_(names))
    mapped = sa.exists().select_from(joined).where(mapping.c.callId == _CALL.c.id, trade.c.symbol.in_(names))
    spoken = sa.exists().where(said.c.callId == _CALL.c.id, said.c.symbol.in_(names))
    ids = (
        sa.select(mapping.c.callId).select_from(joined).where(by_trade).distinct(),
        sa.select(said.c.callId).where(said.c.symbol.in_(names)).distinct(),
    )
    return Wish(sa.or_(mapped.correlate(_CALL), spoken.correlate(_CALL)), ids)


def by_dates(first: date | None, last: date | None) -> Wish:
    """Calls that began on these days; of calls whose start is unknown those of batches of these days."""
    its_start = [_KNOWN.c.callStart >= _midnight(first)] if first else []
    its_batch = [_BATCH.c.batchDate >= first] if first else []
    if last:
        its_start.append(_KNOWN.c.callStart < _midnight(last) + timedelta(days=1))
        its_batch.append(_BATCH.c.batchDate <= last)
    unknown = sa.and_(_KNOWN.c.callStart.is_(None), *its_batch)
    # First and last start of each batch: the one form for which a server reads two entries of the index for a batch.
    reaches = sa.select(_KNOWN.c.batchId).group_by(_KNOWN.c.batchId)
    if first:
        reaches = reaches.having(sa.func.max(_KNOWN.c.callStart) >= _midnight(first))
    if last:
        reaches = reaches.having(sa.func.min(_KNOWN.c.callStart) < _midnight(last) + timedelta(days=1))
    return Wish(sa.or_(sa.and_(*its_start), unknown), batches=sa.or_(sa.and_(*its_batch), _BATCH.c.id.in_(reaches)))


def by_batch(batch_id: int) -> Wish:
    """Calls of a batch."""
    return Wish(_CALL.c.batchId == batch_id, batches=_BATCH.c.id == batch_id)


def by_word(column: str, word: str) -> Wish:
    """Calls with a word in ``status`` or ``lang``."""
    is_so = _CALL.c[column] == word
    return Wish(is_so, batches=_has(_CALL, is_so))


def by_answer(question: int | None, words: str) -> Wish:
    """Calls with an answer to the question (or to any) that has these words as whole words.

    "No" alone is an answer: it does not find the calls of which it was not asked because there is no trade data.
    """
    answer = t.audit_answer
    asked = [answer.c.callId == _CALL.c.id]
    if question is not None:
        asked.append(answer.c.questionId == question)
    if words.casefold() == NO.casefold():
        asked.append(answer.c.answer != NO_TRADE_DATA)
    if words:
        text: sa.ColumnElement[str] = sa.literal(" ").concat(answer.c.answer).concat(" ")
        for mark in _MARKS:
            text = sa.func.replace(text, mark, " ")
        asked.append(sa.func.lower(text).contains(f" {_without_marks(words)} ", autoescape=True))
    return Wish(sa.exists().where(*asked).correlate(_CALL))


def _without_marks(words: str) -> str:
    return " ".join(words.translate(dict.fromkeys(map(ord, _MARKS), " ")).lower().split())


def _has(table: sa.Table, condition: Condition) -> Condition:
    """Whether a batch has a row like that: one look into an index for a batch.

    A plain EXISTS is what MariaDB turns into a join with all rows of all batches.
    """
    found = sa.select(table.c.id).where(table.c.batchId == _BATCH.c.id, condition).limit(1)
    return found.correlate(_BATCH).scalar_subquery().is_not(None)


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day)


# -- the search ----------------------------------------------------------------------------------------------------


def search(connection: sa.Connection, wishes: Sequence[Wish], limit: int, *, after: int = 0, past: int = 0) -> Hits:
    """A page of the calls that all wishes hold of, newest first: those after a call, or past a batch."""
    began = time.monotonic()
    few = _few(connection, wishes)
    if few is not None:
        return _among(connection, wishes, few, limit, after)
    return _Walk(connection, wishes, limit, began).run(after, past)


def _few(connection: sa.Connection, wishes: Sequence[Wish]) -> set[int] | None:
    """The ids of the smallest set that an index gives, if one is small enough."""
    smallest: set[int] | None = None
    for wish in wishes:
        found: set[int] = set()
        for query in wish.ids:
            if len(found) <= _FEW:
                found |= set(connection.execute(query.limit(_FEW + 1)).scalars())
        if wish.ids and len(found) <= _FEW and (smallest is None or len(found) < len(smallest)):
            smallest = found
    return smallest


def _among(connection: sa.Connection, wishes: Sequence[Wish], ids: set[int], limit: int, after: int) -> Hits:
    query = sa.select(_CALL.c.id).select_from(_JOINED).where(*(wish.calls for wish in wishes))
    found = list(connection.execute(query.where(_CALL.c.id.in_(sorted(ids))).order_by(*_NEWEST)).scalars())
    start = found.index(after) + 1 if after in found else 0
    page = found[start : start + limit]
    return Hits(page, start + limit < len(found), len(found))


@dataclass(slots=True)
class _Walk:
    """Looks through batches, newest first, some thousand files at a time."""

    connection: sa.Connection
    wishes: Sequence[Wish]
    limit: int
    began: float
    found: list[int] = field(default_factory=list)

    def run(self, after: int, past: int) -> Hits:
        at, start = self._place(after) if after else (past, None)
        most = self.limit + 1 if at else max(self.limit, COUNTED) + 1
        chunks = self._chunks(at, with_it=bool(after and at))
        for chunk in chunks:
            self._look(chunk, self._after(at, start, after) if at in chunk and after else None, most)
            took = time.monotonic() - self.began
            is_full = len(self.found) > self.limit
            if len(self.found) >= most or took > (_COUNT_SECONDS if is_full else _SECONDS):
                return self._hits(counts=not at, ended=next(chunks, None) is None, last_batch=chunk[-1], most=most)
        return self._hits(counts=not at, ended=True, last_batch=None, most=most)

    def _hits(self, *, counts: bool, ended: bool, last_batch: int | None, most: int) -> Hits:
        page, has_more = self.found[: self.limit], len(self.found) > self.limit
        goes_on = last_batch if not (has_more or ended) else None
        total = min(len(self.found), most - 1)
        return Hits(page, has_more, total if counts else None, len(self.found) >= most or not ended, goes_on)

    def _place(self, after: int) -> tuple[int, datetime | None]:
        """The batch and the start of the call that the page before ended with."""
        query = sa.select(_CALL.c.batchId, _KNOWN.c.callStart).select_from(_JOINED).where(_CALL.c.id == after)
        row = self.connection.execute(query).first()
        return (row.batchId, row.callStart) if row else (0, None)

    def _chunks(self, at: int, *, with_it: bool) -> Iterator[list[int]]:
        """The batches that may have such calls, newest first, in lots; from a batch on, with or without it."""
        conditions = [wish.batches for wish in self.wishes if wish.batches is not None]
        query = sa.select(_BATCH.c.id, _BATCH.c.totalFiles).where(*conditions)
        if at:
            day = sa.select(_BATCH.c.batchDate).where(_BATCH.c.id == at).scalar_subquery()
            same_day = _BATCH.c.id <= at if with_it else _BATCH.c.id < at
            query = query.where(sa.or_(_BATCH.c.batchDate < day, sa.and_(_BATCH.c.batchDate == day, same_day)))
        chunk: list[int] = []
        files = 0
        for row in self.connection.execute(query.order_by(_BATCH.c.batchDate.desc(), _BATCH.c.id.desc())).all():
            size = max(row.totalFiles or 0, 1)
            if chunk and files + size > _CHUNK_FILES:
                yield chunk
                chunk, files = [], 0
            chunk.append(row.id)
            files += size
        if chunk:
            yield chunk

    def _after(self, batch_id: int, start: datetime | None, call_id: int) -> Condition:
        """After the call in its batch; all of other batches."""
        begin, own = _KNOWN.c.callStart, _CALL.c.id
        later = sa.and_(begin.is_(None), own < call_id)
        if start is not None:
            later = sa.or_(begin < start, begin.is_(None), sa.and_(begin == start, own < call_id))
        return sa.or_(_CALL.c.batchId != batch_id, later)

    def _look(self, batch_ids: list[int], after: Condition | None, most: int) -> None:
        conditions = [wish.calls for wish in self.wishes] + ([] if after is None else [after])
        query = sa.select(_CALL.c.id).select_from(_JOINED).where(_CALL.c.batchId.in_(batch_ids), *conditions)
        self.found += self.connection.execute(query.order_by(*_NEWEST).limit(most - len(self.found))).scalars()
