"""What an auditor has to look at, one query for each kind of exception: where its rows are, and what they say.

Whoever shows exceptions reads them through :mod:`cofi_dagster.audit.exceptions`; nothing is read here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from cofi_dagster.audit.evidence import NONE, UNVERIFIED
from cofi_dagster.database import tables as t
from cofi_dagster.database.column_types import MYSQL
from cofi_dagster.pipeline.status import CallStatus
from cofi_dagster.triage.grading import CONFIRMED, DISCREPANCIES, LOW_SCORE, NOT_DISCUSSED, WEAK_TIERS

Column = sa.ColumnElement[Any]
Identity = Callable[[sa.sql.base.ReadOnlyColumnCollection[str, sa.Column[Any]]], Column]
"""The condition that makes a review, by its columns, one of a row."""


class Kind(StrEnum):
    """What a finding is about. All but ``answer``, which is any answer of the machine, are exceptions."""

    TRADE_WITHOUT_EVIDENCE = "trade_without_evidence"
    DISCREPANCY = "discrepancy"
    WEAK_EVIDENCE = "weak_evidence"
    UNVERIFIED_QUOTE = "unverified_quote"
    CALL_WITHOUT_TRADE = "call_without_trade"
    CALL_NOT_AUDITED = "call_not_audited"
    ANSWER = "answer"


EXCEPTIONS: tuple[Kind, ...] = tuple(kind for kind in Kind if kind is not Kind.ANSWER)
"""The kinds of exceptions, in the order in which they are shown."""
OF_TRADES = frozenset({Kind.TRADE_WITHOUT_EVIDENCE, Kind.DISCREPANCY, Kind.WEAK_EVIDENCE})
"""Kinds that a row of ``tradeMetadata`` names; the others are named by their call, answers by the question too."""
OF_ANSWERS = frozenset({Kind.UNVERIFIED_QUOTE, Kind.ANSWER})

OPEN, CHANGED, ACCEPTED, OVERRIDDEN = "open", "changed", "accepted", "overridden"
"""The states of a finding: not reviewed; reviewed when the machine said something else; as its newest review says."""
OPEN_STATES = (OPEN, CHANGED)

NO_CALL = "no call before the order was found to be its evidence"
ONLY_WEAK = "only weak matches: the same client or phone, earlier that day"
WITHDRAWN = "not discussed in the calls that might hold it"
LOW = f"the score is below {LOW_SCORE:g}"
NO_QUOTE = "a quote was not found in the transcript"
NO_TRADE = "it is the evidence of no trade"

NAMES: Mapping[str, sa.types.TypeEngine[Any]] = {
    "place": sa.Integer(),
    "batchId": sa.BigInteger(),
    "tradeMetadataId": sa.BigInteger(),
    "callId": sa.BigInteger(),
    "questionId": sa.Integer(),
    "at": sa.DateTime(),
    "client": sa.String(),
    "symbol": sa.String(),
    "score": sa.Float(),
    "state": sa.String(),
}
"""The columns by which exceptions of all kinds are counted, chosen and sorted: ``place`` is the kind's in
:data:`EXCEPTIONS`, ``at`` the order's time or the call's start."""

_TRADE, _MAPPING, _CALL = t.trade_metadata, t.trade_audio_mapping, t.call
_ANSWER, _KNOWN, _REVIEW = t.audit_answer, t.call_metadata, t.human_review
_ITS = _REVIEW.alias("its")


@dataclass(frozen=True, slots=True)
class Source:
    """Rows that are exceptions of a kind. ``columns``: those of :data:`NAMES` that it has, and more about the row.

    ``indexes``: by which MySQL and MariaDB are to look rows up. Left alone they take for the answers and the metadata
    of a few hundred calls an index whose first column is enough, and read a whole batch for each call.
    """

    kind: Kind
    joined: sa.FromClause
    condition: Column
    columns: Mapping[str, Column]
    indexes: tuple[tuple[sa.Table, str], ...] = ()

    def select(self, names: Iterable[str], *conditions: Column) -> sa.Select[Any]:
        """Its rows under further conditions; a column of :data:`NAMES` that it has not is NULL."""
        chosen = [self._column(name).label(name) for name in names]
        query = sa.select(*chosen).select_from(self.joined).where(self.condition, *conditions)
        for table, index in self.indexes:
            for server in MYSQL:
                query = query.with_hint(table, f"USE INDEX (`{index}`)", server)
        return query

    def _column(self, name: str) -> Column:
        found = self.columns.get(name)
        return sa.literal_column("NULL", NAMES[name]) if found is None else found


REVIEW_COLUMNS = ("id", "decision", "value", "reason", "machineValue", "reviewedBy", "reviewedAt")


def _source(
    kind: Kind, joined: sa.FromClause, condition: Column, columns: Mapping[str, Column], identity: Identity
) -> Source:
    """A source with the newest review of each row; ``identity`` is what makes a review one of a row.

    ``columns`` has, with what else there is, ``machine``: what the machine says, as text; and ``reason``.
    """
    newest = sa.select(sa.func.max(_ITS.c.id)).where(identity(_ITS.c)).correlate_except(_ITS).scalar_subquery()
    review = _REVIEW.c
    state = sa.case(
        (review.id.is_(None), sa.literal(OPEN)),
        (review.machineValue == columns["machine"], review.decision),
        else_=sa.literal(CHANGED),
    )
    shared: dict[str, Column] = {
        "place": sa.literal_column(str(list(Kind).index(kind)), sa.Integer()),
        "state": state,
        **{f"review_{name}": review[name] for name in REVIEW_COLUMNS},
    }
    reviewed = joined.outerjoin(_REVIEW, sa.and_(identity(review), review.id == newest))
    return Source(kind, reviewed, condition, {**shared, **columns})


# -- trades ----------------------------------------------------------------------------------------------------------


def _client(table: sa.Table) -> Column:
    return sa.func.coalesce(sa.func.nullif(table.c.clientCode, ""), table.c.clientPhone)


_OF_TRADE: dict[str, Column] = {
    "tradeMetadataId": _TRADE.c.id,
    "callId": _MAPPING.c.callId,
    "at": _TRADE.c.orderTime,
    "client": _client(_TRADE),
    "symbol": _TRADE.c.symbol,
    "score": _MAPPING.c.score,
    **{name: _TRADE.c[name] for name in ("orderId", "tradeId", "side", "quantity", "price")},
    "audioName": _MAPPING.c.audioName,
    "tier": _MAPPING.c.matchTier,
    "comparison": _MAPPING.c.detail,
}


def _best() -> Column:
    """The mapping that says most of a trade: of the latest step, with a verdict where there is one, best first."""
    mapping = _MAPPING.alias("best").c
    found = sa.select(mapping.id).where(mapping.batchId == _TRADE.c.batchId, mapping.tradeMetadataId == _TRADE.c.id)
    ranked = found.order_by(mapping.step.desc(), mapping.verdict.is_(None), mapping.score.desc(), mapping.id)
    return ranked.limit(1).correlate(_TRADE).scalar_subquery()


def _of_trades(kind: Kind, joined: sa.Join, condition: Column, reason: Column, machine: Column) -> Source:
    """``batchId`` is that of the table which the server begins with."""
    columns = {**_OF_TRADE, "batchId": joined.left.c.batchId, "reason": reason, "machine": machine}
    return _source(
        kind, joined, condition, columns, lambda its: (its.tradeMetadataId == _TRADE.c.id) & (its.kind == kind.value)
    )


_OF_THE_TRADE = sa.and_(_MAPPING.c.batchId == _TRADE.c.batchId, _MAPPING.c.tradeMetadataId == _TRADE.c.id)
_WITH_BEST = _TRADE.outerjoin(_MAPPING, _OF_THE_TRADE & (_MAPPING.c.id == _best()))
_MAPPED = _MAPPING.join(_TRADE, _OF_THE_TRADE)
_LOST = _TRADE.c.audioName.is_(None)
_KEPT = _TRADE.c.audioName == _MAPPING.c.audioName
_IS_WEAK = _MAPPING.c.matchTier.in_(WEAK_TIERS)
_WITHDRAWN = _MAPPING.c.verdict == NOT_DISCUSSED
_WHERE_FOUND = _MAPPING.c.matchTier + " in " + _MAPPING.c.audioName
_VERDICT = sa.func.replace(_MAPPING.c.verdict, "_", " ")
_WHY_LOST = sa.case((_WITHDRAWN, sa.literal(WITHDRAWN)), (_IS_WEAK, sa.literal(ONLY_WEAK)), else_=sa.literal(NO_CALL))

_TRADES = (
    _of_trades(Kind.TRADE_WITHOUT_EVIDENCE, _WITH_BEST, _LOST, _WHY_LOST, _WHY_LOST),
    _of_trades(
        Kind.DISCREPANCY,
        _MAPPED,
        _MAPPING.c.verdict.in_(DISCREPANCIES) & (_KEPT | (_LOST & (_MAPPING.c.id == _best()))),
        _VERDICT,
        _VERDICT + " in " + _MAPPING.c.audioName,
    ),
    _of_trades(
        Kind.WEAK_EVIDENCE,
        _WITH_BEST,
        _LOST & _IS_WEAK & (_MAPPING.c.verdict.is_(None) | ~_WITHDRAWN),
        sa.literal(ONLY_WEAK),
        _WHERE_FOUND,
    ),
    _of_trades(
        Kind.WEAK_EVIDENCE,
        _MAPPED,
        sa.and_(_MAPPING.c.verdict == CONFIRMED, _MAPPING.c.score < LOW_SCORE, _KEPT),
        sa.literal(LOW),
        _WHERE_FOUND,
    ),
)

# -- calls and their answers -----------------------------------------------------------------------------------------

_OF_CALL: dict[str, Column] = {
    "batchId": _CALL.c.batchId,
    "callId": _CALL.c.id,
    "at": _KNOWN.c.callStart,
    "client": _client(_KNOWN),
    "audioName": _CALL.c.audioName,
    "status": _CALL.c.status,
}


_BY_NAME = (_KNOWN, "uq_callMetadata_audioName")


def _described(joined: sa.FromClause) -> sa.FromClause:
    """With what the files say of the call."""
    return joined.outerjoin(
        _KNOWN, sa.and_(_KNOWN.c.batchId == _CALL.c.batchId, _KNOWN.c.audioName == _CALL.c.audioName)
    )


def _of_answers(kind: Kind, status: str | None, reason: str) -> Source:
    answer = _ANSWER.c
    matches = answer.callId == _CALL.c.id
    joined = _described(_CALL.join(_ANSWER, matches if status is None else matches & (answer.evidenceStatus == status)))
    said = sa.func.coalesce(answer.answer, "") + " (" + sa.func.coalesce(answer.evidenceStatus, NONE) + ")"
    columns = {name: answer[name] for name in ("questionId", "question", "answer", "evidence", "evidenceStatus")}
    both = {**_OF_CALL, **columns, "reason": sa.literal(reason), "machine": said}
    made = _source(
        kind, joined, sa.true(), both, lambda its: (its.callId == _CALL.c.id) & (its.questionId == answer.questionId)
    )
    by_status = () if status is None else ((_ANSWER, "idx_auditAnswer_evidence"),)
    return replace(made, indexes=(*by_status, _BY_NAME))


def _of_calls(kind: Kind, condition: Column, reason: Column) -> Source:
    columns = {**_OF_CALL, "reason": reason, "machine": reason}
    made = _source(
        kind,
        _described(_CALL),
        condition,
        columns,
        lambda its: sa.and_(its.callId == _CALL.c.id, its.questionId.is_(None), its.kind == kind.value),
    )
    return replace(made, indexes=(_BY_NAME,))


_STATUS = sa.func.coalesce(_CALL.c.status, CallStatus.PENDING.value)
_OTHER = _TRADE.alias("of_batch").c
# Not EXISTS, which MariaDB makes a join with all trades of the batch.
_HAS_TRADES = (
    sa.select(_OTHER.id).where(_OTHER.batchId == _CALL.c.batchId).limit(1).correlate(_CALL).scalar_subquery()
).is_not(None)
_IS_EVIDENCE = sa.exists().where(_OTHER.batchId == _CALL.c.batchId, _OTHER.audioName == _CALL.c.audioName)

SOURCES: tuple[Source, ...] = (
    *_TRADES,
    _of_answers(Kind.UNVERIFIED_QUOTE, UNVERIFIED, NO_QUOTE),
    _of_calls(Kind.CALL_WITHOUT_TRADE, _HAS_TRADES & ~_IS_EVIDENCE, sa.literal(NO_TRADE)),
    _of_calls(Kind.CALL_NOT_AUDITED, _CALL.c.status != CallStatus.COMPLETE.value, _STATUS),
    _of_answers(Kind.ANSWER, None, ""),
)
