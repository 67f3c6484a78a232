"""Exceptions read from the database: how many of each kind, a page of them, all of them one by one, those of a call.

What is an exception is said in :mod:`cofi_dagster.audit.exception_kinds`; nothing is changed here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import sqlalchemy as sa

from cofi_dagster.audit.exception_kinds import (
    ACCEPTED,
    CHANGED,
    EXCEPTIONS,
    NAMES,
    OF_TRADES,
    OPEN_STATES,
    OVERRIDDEN,
    SOURCES,
    Kind,
    Source,
)
from cofi_dagster.audit.findings import Finding, Review, Subject, finding
from cofi_dagster.database import tables as t
from cofi_dagster.database.engine import reading
from cofi_dagster.pipeline.status import CallStatus

STATES: Mapping[str, tuple[str, ...]] = {
    "open": OPEN_STATES,
    "reviewed": (ACCEPTED, OVERRIDDEN),
    CHANGED: (CHANGED,),
    ACCEPTED: (ACCEPTED,),
    OVERRIDDEN: (OVERRIDDEN,),
}
"""What can be asked for: not yet reviewed (or the machine says something else now), reviewed, or one state alone."""
SORTS: Mapping[str, str] = {
    "kind": "place", "at": "at", "client": "client", "symbol": "symbol", "score": "score", "state": "state",
}  # fmt: skip
"""What exceptions can be sorted by."""

_CHUNK = 500
_ESCAPE = "!"
_ENDED_BY_ITSELF = (CallStatus.NO_SPEECH, CallStatus.SHORT_CALL, CallStatus.UNSUPPORTED_LANGUAGE)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which exceptions: of these batches; of a kind, in a state (one of :data:`STATES`), whose client or symbol begins
    so, where that is asked for; sorted by one of :data:`SORTS`.
    """

    batch_ids: tuple[int, ...]
    kind: Kind | None = None
    state: str = ""
    client: str = ""
    symbol: str = ""
    sort: str = "kind"
    descending: bool = False


# -- many ------------------------------------------------------------------------------------------------------------


def counts(connection: sa.Connection, wanted: Wanted) -> dict[Kind, int]:
    """How many there are of each kind, whatever kind is wanted; together they are all."""
    rows = _rows(wanted, EXCEPTIONS)
    query = sa.select(rows.c.place, sa.func.count()).where(*_conditions(wanted, rows)).group_by(rows.c.place)
    found = {EXCEPTIONS[int(place)]: int(count) for place, count in connection.execute(query)}
    return {kind: found.get(kind, 0) for kind in EXCEPTIONS}


def page(connection: sa.Connection, wanted: Wanted, limit: int, offset: int) -> list[Finding]:
    """A page of them."""
    return details(connection, connection.execute(_sorted(wanted).limit(limit).offset(offset)).all())


def stream(engine: sa.Engine, wanted: Wanted) -> Iterator[Finding]:
    """All of them, read a few hundred at a time."""
    with reading(engine) as connection, reading(engine) as beside:
        rows = connection.execution_options(yield_per=_CHUNK).execute(_sorted(wanted))
        for chunk in rows.partitions():
            yield from details(beside, chunk)


def _rows(wanted: Wanted, kinds: Collection[Kind]) -> sa.Subquery:
    chosen = [source for source in SOURCES if source.kind in kinds]
    return sa.union_all(
        *(source.select(NAMES, source.columns["batchId"].in_(wanted.batch_ids)) for source in chosen)
    ).subquery()


def _conditions(wanted: Wanted, rows: sa.Subquery) -> Iterator[sa.ColumnElement[bool]]:
    if wanted.state:
        yield rows.c.state.in_(STATES[wanted.state])
    for name in ("client", "symbol"):
        if begins := getattr(wanted, name):
            yield rows.c[name].startswith(begins, autoescape=True, escape=_ESCAPE)


def _sorted(wanted: Wanted) -> sa.Select[Any]:
    """Their ids, in order: what is unknown comes last, what is equal by ids."""
    rows = _rows(wanted, EXCEPTIONS if wanted.kind is None else (wanted.kind,))
    by = rows.c[SORTS[wanted.sort]]
    ids = (rows.c.batchId, rows.c.place, rows.c.tradeMetadataId, rows.c.callId, rows.c.questionId)
    order = (by.is_(None), by.desc() if wanted.descending else by, *ids)
    return sa.select(*ids).where(*_conditions(wanted, rows)).order_by(*order)


# -- each ------------------------------------------------------------------------------------------------------------


def details(connection: sa.Connection, ids: Iterable[Any]) -> list[Finding]:
    """The findings with these ids (``place``, ``tradeMetadataId``, ``callId``, ``questionId``), in their order."""
    subjects = [_subject(row) for row in ids]
    found = find(connection, subjects)
    return [found[subject] for subject in subjects if subject in found]


def find(connection: sa.Connection, subjects: Collection[Subject]) -> dict[Subject, Finding]:
    """The findings about these subjects, as far as they are findings now."""
    found: dict[Subject, Finding] = {}
    for source in SOURCES:
        its_ids = {subject.id for subject in subjects if subject.kind is source.kind}
        if its_ids:
            named = source.columns["tradeMetadataId" if source.kind in OF_TRADES else "callId"]
            for one in _read(connection, source, named.in_(its_ids)):
                found[one.subject] = one
    return {subject: found[subject] for subject in subjects if subject in found}


def of_call(connection: sa.Connection, call_id: int) -> tuple[list[Finding], dict[int, Finding]]:
    """What is there to review about a call: its exceptions, those of trades for which it is the call that counts among
    them; and each of its answers by its question's id, the unverified ones too.
    """
    found: list[Finding] = []
    answers: dict[int, Finding] = {}
    mapped = sa.select(t.trade_audio_mapping.c.tradeMetadataId).where(t.trade_audio_mapping.c.callId == call_id)
    trades = list(connection.execute(mapped.distinct()).scalars())
    for source in SOURCES:
        conditions = [source.columns["callId"] == call_id]
        if source.kind in OF_TRADES:
            conditions.append(source.columns["tradeMetadataId"].in_(trades))
        rows = _read(connection, source, *conditions)
        if source.kind is Kind.ANSWER:
            answers = {one.subject.question_id or 0: one for one in rows}
        else:
            found += rows
    return found, answers


def reviews_of_call(connection: sa.Connection, call_id: int) -> list[Review]:
    """Every review that was made of a call, its answers and its trades, newest first."""
    table = t.human_review.c
    rows = connection.execute(sa.select(t.human_review).where(table.callId == call_id).order_by(table.id.desc()))
    return [
        Review(
            id=row.id,
            kind=Kind(row.kind),
            call_id=row.callId,
            trade_id=row.tradeMetadataId,
            question_id=row.questionId,
            decision=row.decision,
            value=row.value,
            reason=row.reason,
            machine_value=row.machineValue,
            by=row.reviewedBy,
            at=row.reviewedAt,
        )
        for row in rows
    ]


def _subject(row: Any) -> Subject:
    kind = EXCEPTIONS[int(row.place)]
    return Subject(kind, row.tradeMetadataId if kind in OF_TRADES else row.callId, row.questionId)


def _read(connection: sa.Connection, source: Source, *conditions: sa.ColumnElement[bool]) -> list[Finding]:
    names = [*NAMES, *(name for name in source.columns if name not in NAMES)]
    rows = connection.execute(source.select(names, *conditions)).mappings().all()
    failures = _failures(connection, rows) if source.kind is Kind.CALL_NOT_AUDITED else {}
    return [finding(source.kind, row, failures.get(row["callId"])) for row in rows]


def _failures(connection: sa.Connection, rows: Sequence[Mapping[Any, Any]]) -> dict[int, str]:
    """The newest failure of each call that did not end by itself: the stage and why."""
    calls = {row["callId"]: row["audioName"] for row in rows if row["reason"] not in _ENDED_BY_ITSELF}
    if not calls:
        return {}
    log = t.processing_logs.c
    query = sa.select(log.call_id, log.stage_name, log.error_message).where(log.call_id.in_(calls))
    failed = connection.execute(query.where(log.status == "failed").order_by(log.id))
    return {
        row.call_id: f"{row.stage_name} failed: {(row.error_message or '').removeprefix(calls[row.call_id] + ': ')}"
        for row in failed
    }


# -- batches ---------------------------------------------------------------------------------------------------------


def newest_batch(connection: sa.Connection) -> int | None:
    """The newest batch that has trades or answers."""
    batch, call = t.batch_status.c, t.call.c
    has_trades = sa.exists().where(t.trade_metadata.c.batchId == batch.id)
    has_answers = sa.exists().where(call.batchId == batch.id, t.audit_answer.c.callId == call.id)
    query = sa.select(batch.id).where(has_trades | has_answers).order_by(batch.id.desc()).limit(1)
    return connection.execute(query).scalar_one_or_none()


def batches_between(
    connection: sa.Connection, first: date | None, last: date | None, most_files: int
) -> tuple[tuple[int, ...], int]:
    """The newest batches of these days that have together at most so many files (one at least), and of how many."""
    batch = t.batch_status.c
    query = sa.select(batch.id, batch.totalFiles).order_by(batch.batchDate.desc(), batch.id.desc())
    if first is not None:
        query = query.where(batch.batchDate >= first)
    if last is not None:
        query = query.where(batch.batchDate <= last)
    rows = connection.execute(query).all()
    chosen: list[int] = []
    files = 0
    for row in rows:
        files += row.totalFiles
        if chosen and files > most_files:
            break
        chosen.append(row.id)
    return tuple(chosen), len(rows)
