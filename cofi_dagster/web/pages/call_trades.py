"""The orders that a call is mapped to beside the trades that LLM1 heard in it: what agrees, what differs, in words.

What differs was settled by triaging's second step, whose findings stand in the mapping's detail; nothing is compared
anew here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from cofi_dagster.database import tables as t
from cofi_dagster.triage.grading import NOT_DISCUSSED, WEAK_TIERS
from cofi_dagster.web.pages.call_transcript import Quote, Transcript
from cofi_dagster.web.pages.words import NOTHING, count, number, spaced

_SAME = 1.0
_MAPPED = ("matchTier", "score", "step", "verdict", "detail")
_TRADE = ("id", "orderId", "tradeId", "clientCode", "symbol", "side", "quantity", "price", "orderTime", "audioName")


@dataclass(frozen=True, slots=True)
class Said:
    """A trade that LLM1 heard. ``price`` is as a person reads it: a number, or that it is at market."""

    id: int
    symbol: str
    side: str
    quantity: str
    price: str
    quotes: Sequence[Quote]


@dataclass(frozen=True, slots=True)
class Compared:
    """One property of an order beside what was said of it; ``agrees`` None: it cannot be said."""

    name: str
    said: str
    executed: str
    words: str
    agrees: bool | None


@dataclass(frozen=True, slots=True)
class Order:
    """An order that the call is mapped to, by the last step that did it; ``score`` from 0 to 100.

    ``evidence``: ``this``, ``other`` (then ``other_call`` and ``other_file`` say which) or ``none``.
    """

    trade_ids: Sequence[int]
    order_id: str
    time: datetime | None
    fills: int
    tier: str
    score: float | None
    step: int
    verdict: str | None
    evidence: str
    other_call: int | None
    other_file: str | None
    why: Sequence[str]
    compared: Sequence[Compared]
    quotes: Sequence[Quote]
    is_withdrawn: bool


@dataclass(frozen=True, slots=True)
class Trades:
    """The orders, and the trades that were heard and belong to none of them."""

    orders: Sequence[Order]
    others: Sequence[Said]
    older_replies: int


def trades(connection: sa.Connection, call: Mapping[Any, Any], transcript: Transcript) -> Trades:
    """Everything about orders and trades of a call; the quotes of the trades that were heard are marked."""
    said, older = _said(connection, call, transcript)
    rows = _mapped(connection, call)
    last = _last_steps(connection, call["batchId"], [row["id"] for row in rows])
    others = _calls_of(connection, call, {row["audioName"] for row in rows} - {None, call["audioName"]})
    orders = [_order(fills, call, said, last, others) for fills in _by_order(rows)]
    used = {row["detail"].get("conversationId") for row in rows if isinstance(row["detail"], Mapping)}
    return Trades(orders, [one for number, one in said.items() if number not in used], older)


# -- what was said -------------------------------------------------------------------------------------------------


def _said(connection: sa.Connection, call: Mapping[Any, Any], transcript: Transcript) -> tuple[dict[int, Said], int]:
    """The trades of LLM1's newest reply by their id, and how many older replies there are."""
    table = t.call_conversation
    query = sa.select(table).where(table.c.callId == call["id"]).order_by(table.c.id)
    rows = connection.execute(query).all()
    newest = [row for row in rows if (row.replyId or "") == (call["llm1ReplyId"] or "")]
    older = {row.replyId for row in rows} - {row.replyId for row in newest}
    return {row.id: _said_of(row, transcript) for row in newest}, len(older)


def _said_of(row: Any, transcript: Transcript) -> Said:
    price = "at market" if row.priceType == "market" else _money(row.price)
    quotes = transcript.quotes(row.evidence, f"t{row.id}")
    return Said(row.id, row.symbol or NOTHING, (row.side or NOTHING).upper(), count(row.quantity), price, quotes)


# -- what was executed ---------------------------------------------------------------------------------------------


def _mapped(connection: sa.Connection, call: Mapping[Any, Any]) -> list[Mapping[Any, Any]]:
    """The trades that the call is mapped to, each by the last step that mapped it."""
    trade, mapping = t.trade_metadata, t.trade_audio_mapping
    query = (
        sa.select(*(trade.c[name] for name in _TRADE), *(mapping.c[name] for name in _MAPPED))
        .select_from(mapping.join(trade, trade.c.id == mapping.c.tradeMetadataId))
        .where(mapping.c.callId == call["id"])
        .order_by(trade.c.orderTime, trade.c.id, mapping.c.step, mapping.c.id)
    )
    return list({row["id"]: row for row in connection.execute(query).mappings()}.values())


def _last_steps(connection: sa.Connection, batch_id: int, trade_ids: Sequence[int]) -> dict[int, int]:
    """The last step that mapped each trade to any call."""
    mapping = t.trade_audio_mapping.c
    query = sa.select(mapping.tradeMetadataId, sa.func.max(mapping.step).label("step"))
    rows = connection.execute(
        query.where(mapping.batchId == batch_id, mapping.tradeMetadataId.in_(trade_ids)).group_by(
            mapping.tradeMetadataId
        )
    )
    return {row.tradeMetadataId: row.step for row in rows}


def _calls_of(connection: sa.Connection, call: Mapping[Any, Any], files: set[str]) -> dict[str, int]:
    """The calls of the same batch by their files."""
    table = t.call.c
    query = sa.select(table.audioName, table.id).where(table.batchId == call["batchId"], table.audioName.in_(files))
    return {row.audioName: row.id for row in connection.execute(query)}


def _by_order(rows: Sequence[Mapping[Any, Any]]) -> list[list[Mapping[Any, Any]]]:
    """Rows are fills; those of one order stand together."""
    orders: dict[tuple[str, str], list[Mapping[Any, Any]]] = {}
    for row in rows:
        orders.setdefault((row["orderId"], row["clientCode"] or ""), []).append(row)
    return list(orders.values())


def _order(
    fills: Sequence[Mapping[Any, Any]],
    call: Mapping[Any, Any],
    said: Mapping[int, Said],
    last: Mapping[int, int],
    others: Mapping[str, int],
) -> Order:
    row = fills[0]
    detail: Mapping[str, Any] = row["detail"] if isinstance(row["detail"], Mapping) else {}
    heard = said.get(detail.get("conversationId", 0))
    file = row["audioName"]
    evidence = "none" if file is None else "this" if file == call["audioName"] else "other"
    return Order(
        trade_ids=[fill["id"] for fill in fills],
        order_id=row["orderId"],
        time=row["orderTime"],
        fills=len(fills),
        tier=row["matchTier"],
        score=None if row["score"] is None else 100 * row["score"],
        step=row["step"],
        verdict=row["verdict"],
        evidence=evidence,
        other_call=others.get(file) if evidence == "other" else None,
        other_file=file if evidence == "other" else None,
        why=list(_why(row, detail, heard)),
        compared=list(_compared(fills, detail, row["verdict"])),
        quotes=heard.quotes if heard else (),
        is_withdrawn=row["step"] < last.get(row["id"], row["step"]),
    )


# -- in words ------------------------------------------------------------------------------------------------------


def _why(row: Mapping[Any, Any], detail: Mapping[str, Any], heard: Said | None) -> Iterator[str]:
    """The mapping's detail as sentences."""
    if reason := detail.get("reason"):
        yield f"{str(reason)[:1].upper()}{str(reason)[1:]}."
    if (minutes := detail.get("minutesBefore")) is not None:
        yield f"The call began {_minutes(float(minutes))} before the order."
    if components := detail.get("components"):
        parts = ", ".join(f"{_NAMES[name]} {100 * value:.0f} %" for name, value in components.items() if name in _NAMES)
        yield f"The score is three parts what was said ({parts}) and one part the {spaced(row['matchTier'])} tier."
    elif row["step"] == 1:
        yield "Only the records were compared: the score falls with the time from the call to the order."
    if row["matchTier"] in WEAK_TIERS:
        yield "A weak match is never evidence by itself."
    if "conversationId" in detail and heard is None:
        yield "LLM1 has been asked again since; its new answer has not been compared yet."


def _minutes(minutes: float) -> str:
    return f"{60 * minutes:.0f} s" if minutes < 2 else f"{minutes:.0f} min"


_NAMES = {"symbol": "scrip", "side": "side", "quantity": "quantity", "price": "price"}


def _compared(fills: Sequence[Mapping[Any, Any]], detail: Mapping[str, Any], verdict: str | None) -> Iterator[Compared]:
    """Scrip, side, quantity and price as said and as executed."""
    executed = detail.get("executed") or _executed(fills)
    said, components = detail.get("said"), detail.get("components") or {}
    prices = executed.get("prices") or []
    shown = {
        "symbol": executed.get("symbol") or NOTHING,
        "side": executed.get("side") or NOTHING,
        "quantity": count(executed.get("quantity")),
        "price": " to ".join(dict.fromkeys(_money(price) for price in (*prices[:1], *prices[-1:]))) or NOTHING,
    }
    missing = "not discussed" if verdict == NOT_DISCUSSED else "not compared"
    for name, title in _NAMES.items():
        if said is None:
            yield Compared(title, NOTHING, shown[name], missing, None)
            continue
        words, agrees = _verdict(name, components.get(name), said.get(name), executed)
        yield Compared(title, _shown(name, said.get(name)), shown[name], words, agrees)


def _executed(fills: Sequence[Mapping[Any, Any]]) -> dict[str, Any]:
    quantities = [fill["quantity"] for fill in fills if fill["quantity"] is not None]
    prices = sorted({fill["price"] for fill in fills if fill["price"] is not None})
    quantity = sum(quantities) if quantities else None
    return {"symbol": fills[0]["symbol"], "side": fills[0]["side"], "quantity": quantity, "prices": prices}


def _shown(name: str, value: Any) -> str:
    if name == "quantity":
        return count(value)
    if name == "price":
        return "at market" if value == "market" else _money(value)
    return str(value or NOTHING)


def _money(value: float | None) -> str:
    return NOTHING if value is None else number(value)


def _verdict(name: str, component: float | None, said: Any, executed: Mapping[str, Any]) -> tuple[str, bool | None]:
    """What triaging found of one property, in words, and whether it agrees."""
    if said is None or component is None:
        return "not said", None
    if name == "symbol":
        return ("the same", True) if component == _SAME else ("taken for the same", True)
    if name == "side":
        return ("the same", True) if component == _SAME else ("the other side", False)
    if name == "price":
        if said == "market":
            return "at market", True
        return ("as said or better", True) if component == _SAME else ("worse than said", False)
    if component == _SAME:
        return "the same", True
    if component:
        return "less than said: filled in part", True
    more = (executed.get("quantity") or 0) > float(said)
    return ("more than said" if more else "more than other orders leave of it"), False
