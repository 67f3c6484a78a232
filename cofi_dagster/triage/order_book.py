"""The day as triaging sees it: orders (their fills together), calls, and who is who. No tiers, no scores.

Client codes are compared trimmed and ignoring case; phones by their last 10 digits (see :func:`phone_key`).
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import pandas as pd

Key = Literal["client", "phone"]

_SCIENTIFIC = re.compile(r"\d(?:[.,]\d+)?[eE]\+?\d+")
_PHONE_DIGITS = 10
_SHORTEST_PHONE = 6
_SIDES = {"B": "BUY", "BUY": "BUY", "S": "SELL", "SELL": "SELL"}


@dataclass(frozen=True, slots=True)
class Order:
    """One order with all its fills. ``time`` is the earliest that any fill gives; ``quantity`` is their sum."""

    trade_ids: tuple[int, ...]
    time: datetime | None
    client: str
    phone: str
    symbol: str
    side: str
    quantity: float | None
    prices: tuple[float, ...]

    def key(self, kind: Key) -> str:
        """What calls of this order's client are found by."""
        return self.client if kind == "client" else self.phone


@dataclass(frozen=True, slots=True)
class Call:
    """A call whose beginning is known."""

    id: int
    audio_name: str
    start: datetime
    client: str
    phone: str
    status: str

    def key(self, kind: Key) -> str:
        """What this call is found by."""
        return self.client if kind == "client" else self.phone


def client_key(value: Any) -> str:
    """A client code for comparison; empty where there is none."""
    return "" if _is_missing(value) else str(value).strip().upper()


def phone_key(value: Any) -> str:
    """A phone for comparison: the last 10 digits; of a number with 6 to 9 digits (a landline without its area), all.

    Empty, and so never equal to anything: fewer digits (an extension), one digit repeated (a placeholder such as
    9999999999), a number that a spreadsheet turned into ``9.19877E+11``.
    """
    text = "" if _is_missing(value) else str(value).strip()
    if _SCIENTIFIC.fullmatch(text):
        return ""
    digits = "".join(str(int(sign)) for sign in text if sign.isdecimal())[-_PHONE_DIGITS:]
    return digits if len(digits) >= _SHORTEST_PHONE and len(set(digits)) > 1 else ""


Row = dict[Hashable, Any]


def orders_of(trades: pd.DataFrame) -> list[Order]:
    """The orders behind the rows of ``tradeMetadata``, by their first trade's id.

    Rows are fills of one order where ``orderId`` and the client (code, or phone where there is no code) are the same;
    a row without ``orderId`` is an order of its own.
    """
    fills: dict[tuple[str, str], list[Row]] = {}
    for row in sorted(trades.to_dict("records"), key=lambda row: int(row["id"])):
        order_id = client_key(row.get("orderId"))
        client = client_key(row.get("clientCode")) or phone_key(row.get("clientPhone"))
        fills.setdefault((order_id, client) if order_id else ("", f"trade {row['id']}"), []).append(row)
    return [_order(rows) for rows in fills.values()]


def _order(rows: list[Row]) -> Order:
    times = [time for row in rows if (time := _moment(row.get("orderTime"))) is not None]
    quantities = [quantity for row in rows if (quantity := number(row.get("quantity"))) is not None]
    return Order(
        trade_ids=tuple(int(row["id"]) for row in rows),
        time=min(times, default=None),
        client=_first(client_key(row.get("clientCode")) for row in rows),
        phone=_first(phone_key(row.get("clientPhone")) for row in rows),
        symbol=_first(text(row.get("symbol")) for row in rows),
        side=_first(side(row.get("side")) for row in rows),
        quantity=sum(quantities) if quantities else None,
        prices=tuple(price for row in rows if (price := number(row.get("price"))) is not None),
    )


def calls_of(calls: pd.DataFrame) -> list[Call]:
    """The calls that can be evidence, by time and id: one whose beginning is unknown never is."""
    found = [
        Call(
            id=int(row["callId"]),
            audio_name=str(row["audioName"]),
            start=start,
            client=client_key(row.get("clientCode")),
            phone=phone_key(row.get("clientPhone")),
            status=text(row.get("status")),
        )
        for row in calls.to_dict("records")
        if (start := _moment(row.get("callStart"))) is not None
    ]
    return sorted(found, key=lambda call: (call.start, call.id))


class CallIndex:
    """The calls of each client and of each phone, in time order; a span of them is found by bisection."""

    def __init__(self, calls: list[Call]) -> None:
        self.positions: dict[tuple[Key, str], list[int]] = {}
        self._starts: dict[tuple[Key, str], list[datetime]] = {}
        self.calls = calls
        for position, call in enumerate(calls):
            for kind in _KEYS:
                if key := call.key(kind):
                    self.positions.setdefault((kind, key), []).append(position)
                    self._starts.setdefault((kind, key), []).append(call.start)

    def span(self, kind: Key, key: str, since: datetime, before: datetime) -> list[int]:
        """Positions in ``calls`` of those that began at ``since`` or later, and strictly before ``before``."""
        starts = self._starts.get((kind, key)) if key else None
        if not starts:
            return []
        return self.positions[kind, key][bisect_left(starts, since) : bisect_left(starts, before)]


_KEYS: tuple[Key, ...] = ("client", "phone")


def side(value: Any) -> str:
    """``BUY`` or ``SELL``; empty where neither was given."""
    return _SIDES.get(text(value).upper(), "")


def number(value: Any) -> float | None:
    """A float, or None where nothing was given."""
    return None if _is_missing(value) else float(value)


def _first(values: Iterable[str]) -> str:
    return next((value for value in values if value), "")


def text(value: Any) -> str:
    """Text without spaces around it; empty where nothing was given."""
    return "" if _is_missing(value) else str(value).strip()


def _is_missing(value: Any) -> bool:
    return value is None or bool(pd.isna(value))


def _moment(value: Any) -> datetime | None:
    if _is_missing(value):
        return None
    moment = pd.Timestamp(value).to_pydatetime(warn=False)
    if moment.tzinfo is not None:
        raise ValueError(f"{moment.isoformat()} has a zone: triaging compares naive times of one clock")
    return moment
