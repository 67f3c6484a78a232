"""What the API says of one call: its transcript, its trades, its answers and what was there before. Queries only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from cofi_dagster.database import tables as t
from cofi_dagster.database.engine import reading
from cofi_dagster.web import models as m

_METADATA = (
    "callStart",
    "callEnd",
    "durationSeconds",
    "clientCode",
    "clientPhone",
    "dealerId",
    "extension",
    "direction",
)


class UnknownCall(LookupError):
    """There is no such call."""


def call_reply(engine: sa.Engine, call_id: int) -> m.CallReply:
    """The call with all that is known of it.

    Raises:
        UnknownCall: there is none.
    """
    with reading(engine) as connection:
        call = connection.execute(sa.select(t.call).where(t.call.c.id == call_id)).mappings().one_or_none()
        if call is None:
            raise UnknownCall(f"there is no call {call_id}")
        return m.CallReply(
            call_id=call_id,
            batch_id=call["batchId"],
            file=call["audioName"],
            status=call["status"],
            language=call["lang"],
            duration_seconds=call["audioDuration"] or 0.0,
            metadata=_metadata(connection, call),
            transcript=_transcript(connection, call_id),
            trades=_trades(connection, call),
            conversations=_conversations(connection, call_id),
            answers=_answers(connection, t.audit_answer, call_id),
            history=_answers(connection, t.audit_answer_history, call_id),
        )


def _metadata(connection: sa.Connection, call: Mapping[Any, Any]) -> dict[str, Any] | None:
    known = t.call_metadata.c
    query = sa.select(*(known[name] for name in _METADATA)).where(
        known.batchId == call["batchId"], known.audioName == call["audioName"]
    )
    row = connection.execute(query).mappings().first()
    return None if row is None else {str(name): value for name, value in row.items()}


def _transcript(connection: sa.Connection, call_id: int) -> list[m.Segment]:
    table = t.transcript.c
    rows = connection.execute(sa.select(t.transcript).where(table.callId == call_id).order_by(table.segmentIndex))
    return [
        m.Segment(segment=row.segmentIndex, start=row.startTime, end=row.endTime, speaker=row.speaker, text=row.text)
        for row in rows
    ]


def _trades(connection: sa.Connection, call: Mapping[Any, Any]) -> list[m.TradeShown]:
    trade, mapping = t.trade_metadata, t.trade_audio_mapping
    query = (
        sa.select(
            *(
                trade.c[name]
                for name in ("id", "orderId", "symbol", "side", "quantity", "price", "orderTime", "audioName")
            ),
            *(mapping.c[name] for name in ("matchTier", "score", "step", "verdict")),
        )
        .select_from(mapping.join(trade, trade.c.id == mapping.c.tradeMetadataId))
        .where(mapping.c.callId == call["id"])
        .order_by(mapping.c.step, mapping.c.id)
    )
    return [
        m.TradeShown(
            trade_id=row.id,
            order_id=row.orderId,
            symbol=row.symbol,
            side=row.side,
            quantity=row.quantity,
            price=row.price,
            order_time=row.orderTime,
            is_evidence=row.audioName == call["audioName"],
            match_tier=row.matchTier,
            score=row.score,
            step=row.step,
            verdict=row.verdict,
        )
        for row in connection.execute(query)
    ]


def _conversations(connection: sa.Connection, call_id: int) -> list[m.SaidTrade]:
    table = t.call_conversation.c
    rows = connection.execute(sa.select(t.call_conversation).where(table.callId == call_id).order_by(table.id))
    return [
        m.SaidTrade(
            symbol=row.symbol,
            side=row.side,
            quantity=row.quantity,
            price=row.price,
            evidence=row.evidence,
            model=row.model,
            prompt_version=row.promptVersion,
            created_at=row.createdAt,
        )
        for row in rows
    ]


def _answers(connection: sa.Connection, table: sa.Table, call_id: int) -> list[m.CallAnswer]:
    query = sa.select(table).where(table.c.callId == call_id).order_by(table.c.questionId, table.c.id)
    return [
        m.CallAnswer(**answer_fields(row), replaced_at=row.get("replacedAt"), task_id=row.get("taskId"))
        for row in connection.execute(query).mappings()
    ]


def answer_fields(row: Mapping[Any, Any]) -> dict[str, Any]:
    """A row of answers in the API's names."""
    return {
        "question_id": row["questionId"],
        "question": row["question"],
        "evidence": row["evidence"],
        "answer": row["answer"],
        "confidence": row["confidence"],
        "evidence_status": row["evidenceStatus"],
        "model": row["model"],
        "prompt_version": row["promptVersion"],
        "created_at": row["createdAt"],
    }
