"""A batch with an exception of every kind and reason, its rows written as the stages leave them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa

from cofi_dagster.database import tables as t
from cofi_dagster.database.engine import writing

EVIL = "=cmd|' /C calc'!A0"
QUOTE = "sell all of it"
_CALLS = {
    "kept.wav": "Complete", "other.wav": "Complete", "weak.wav": "Complete", "silent.wav": "NoSpeech",
    "failed.wav": "Pending", "short.wav": "ShortCall",
}  # fmt: skip
_COMPARISON = {
    "reason": "more was executed than said",
    "said": {"symbol": "INFY", "side": "BUY", "quantity": 5, "price": 99},
}


@dataclass(frozen=True, slots=True)
class Day:
    """Its batch, the ids of its calls by name, and those of its trades by what is the matter with them."""

    batch: int
    key: str
    calls: dict[str, int]
    trades: dict[str, int]


@dataclass(frozen=True, slots=True)
class _Mapped:
    """A mapping of a trade at step 2 (and at step 1, without verdict)."""

    audio: str
    tier: str
    score: float
    verdict: str | None = None
    detail: Any = None


_TRADES: dict[str, tuple[str | None, tuple[_Mapped, ...]]] = {
    "fine": ("kept.wav", (_Mapped("kept.wav", "client_window", 0.95, "confirmed"),)),
    "fine, beside another call": (
        "kept.wav",
        (
            _Mapped("other.wav", "client_window", 0.0, "not_discussed"),
            _Mapped("kept.wav", "phone_window", 0.9, "confirmed"),
        ),
    ),
    "no call": (None, ()),
    "only weak": (None, (_Mapped("weak.wav", "weak_same_day", 0.2),)),
    "withdrawn": (
        None,
        (_Mapped("short.wav", "client_window", 0.9), _Mapped("other.wav", "client_window", 0.0, "not_discussed")),
    ),
    "wrong quantity": ("kept.wav", (_Mapped("kept.wav", "client_window", 0.7, "wrong_quantity", _COMPARISON),)),
    "low score": ("kept.wav", (_Mapped("kept.wav", "content_same_day", 0.8, "confirmed"),)),
}  # fmt: skip
"""Each trade's evidence and mappings."""


def make_day(engine: sa.Engine, day: date, number: int = 1) -> Day:
    """Write a batch of this day."""
    with writing(engine) as connection:
        values = {"batchDate": day, "batchNumber": number, "status": "Completed", "totalFiles": len(_CALLS)}
        batch = _insert(connection, t.batch_status, values)
        calls = {
            name: _insert(connection, t.call, {"batchId": batch, "audioName": name, "status": status})
            for name, status in _CALLS.items()
        }
        for place, name in enumerate(calls):
            known = {"callStart": datetime(2026, 1, 15, 10, place), "clientCode": f"C{place}"}
            connection.execute(t.call_metadata.insert().values(batchId=batch, audioName=name, **known))
        trades = {
            name: _trade(connection, batch, place, evidence, [(calls[one.audio], one) for one in mapped])
            for place, (name, (evidence, mapped)) in enumerate(_TRADES.items())
        }
        for question, status in ((1, "verified"), (2, "unverified")):
            _answer(connection, calls["kept.wav"], question, status)
        failure = {"call_id": calls["failed.wav"], "batch_id": batch, "stage_name": "stt", "status": "failed"}
        connection.execute(
            t.processing_logs.insert().values(error_message="failed.wav: HTTP 422: no samples", **failure)
        )
    return Day(batch, f"{day}_{number}", calls, trades)


def _insert(connection: sa.Connection, table: sa.Table, values: dict[str, Any]) -> int:
    made = connection.execute(table.insert().values(values)).inserted_primary_key
    assert made is not None
    return int(made[0])


def _trade(
    connection: sa.Connection, batch: int, place: int, evidence: str | None, mapped: list[tuple[int, _Mapped]]
) -> int:
    order = {
        "orderId": f"{EVIL if place == 2 else 'order'} {place}", "clientCode": "A_1" if place == 5 else f"A{place}",
        "symbol": "INFY", "side": "BUY", "quantity": 10.0, "price": 100.0,
        "orderTime": datetime(2026, 1, 15, 11, place),
    }  # fmt: skip
    trade = _insert(connection, t.trade_metadata, {**order, "batchId": batch, "audioName": evidence})
    for step in (1, 2):
        for call, one in mapped:
            said = {"verdict": one.verdict, "detail": one.detail} if step == 2 else {}
            row = {"audioName": one.audio, "matchTier": one.tier, "score": one.score, "step": step, **said}
            _insert(
                connection, t.trade_audio_mapping, {**row, "batchId": batch, "tradeMetadataId": trade, "callId": call}
            )
    return trade


def _answer(connection: sa.Connection, call: int, question: int, status: str) -> None:
    evidence = [{"quote": QUOTE, "segment": 0, "start": 1.0, "end": 2.0, "status": status}]
    values = {"question": f"Question {question}?", "answer": "Yes", "evidenceStatus": status, "evidence": evidence}
    connection.execute(t.audit_answer.insert().values(callId=call, questionId=question, **values))
