"""One executed order beside one trade that LLM1 heard: what agrees, what does not. No choosing among calls here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from cofi_dagster.triage.grading import CONFIRMED, PRICE_OUTSIDE, WRONG_QUANTITY, WRONG_SIDE
from cofi_dagster.triage.order_book import Order, number, side, text
from cofi_dagster.triage.scrip_names import SAME_SCRIP, similarity

WEIGHTS = {"symbol": 0.35, "side": 0.20, "quantity": 0.30, "price": 0.15}
"""What each component adds to the score of a comparison; together 1."""

PRICE_TOLERANCE = 0.005
"""Prices are spoken rounded: executed up to this share worse than a limit that was said is not outside it."""

_UNSTATED = 0.5
_PARTIAL_FILL = 0.5
_AT_MARKET = frozenset({"market", "mkt", "at market", "cmp", "current"})


@dataclass(frozen=True, slots=True)
class Said:
    """A trade that LLM1 found in a call (a row of ``callConversation``); None is what was not said."""

    id: int
    call_id: int
    symbol: str
    side: str | None
    quantity: float | None
    price: float | None
    at_market: bool

    def shown(self) -> dict[str, Any]:
        """For the mapping's ``detail``."""
        price = "market" if self.at_market else self.price
        return {"symbol": self.symbol, "side": self.side, "quantity": self.quantity, "price": price}


@dataclass(frozen=True, slots=True)
class Comparison:
    """An order beside something said about the same scrip.

    ``verdict`` is None where side or quantity was not said: then nothing is confirmed, and nothing contradicted.
    """

    verdict: str | None
    score: float
    components: dict[str, float]
    exact_quantity: bool
    reason: str


def said_of(conversations: pd.DataFrame) -> list[Said]:
    """The trades that LLM1 heard, by id. What has neither side nor quantity is an enquiry, and left out."""
    found = [
        Said(
            id=int(row["id"]),
            call_id=int(row["callId"]),
            symbol=text(row.get("symbol")),
            side=side(row.get("side")) or None,
            quantity=number(row.get("quantity")) or None,
            price=number(row.get("price")) or None,
            at_market=text(row.get("priceType")).lower() in _AT_MARKET,
        )
        for row in conversations.to_dict("records")
    ]
    orders = [said for said in found if said.symbol and (said.side or said.quantity)]
    return sorted(orders, key=lambda said: said.id)


def compare(order: Order, said: Said, left: float | None) -> Comparison | None:
    """How an order fits what was said, of whose quantity ``left`` is not yet taken by other orders (None: not said).

    None where it is about something else: another scrip, or side and quantity both different.
    """
    symbol = similarity(order.symbol, said.symbol)
    if symbol < SAME_SCRIP:
        return None
    components = {
        "symbol": round(symbol, 4),
        "side": float(said.side == order.side) if said.side and order.side else _UNSTATED,
        "quantity": _quantity(order.quantity, left),
        "price": _price(order, said),
    }
    verdict, reason = _verdict(components, known=order.quantity is not None and said.quantity is not None)
    if reason == "another trade":
        return None
    score = sum(WEIGHTS[name] * value for name, value in components.items())
    return Comparison(verdict, round(score, 6), components, components["quantity"] == 1.0, reason)


def _verdict(components: dict[str, float], *, known: bool) -> tuple[str | None, str]:
    """The first line that holds. A side that differs and a quantity that is not the same make it another trade."""
    of_side, quantity, price = (components[name] for name in ("side", "quantity", "price"))
    table: tuple[tuple[bool, str | None, str], ...] = (
        (of_side == 0 and known and quantity < 1, None, "another trade"),
        (of_side == 0, WRONG_SIDE, "the other side was said"),
        (known and quantity == 0, WRONG_QUANTITY, "more was executed than said"),
        (price == 0, PRICE_OUTSIDE, "executed at a worse price than said"),
        (not known, None, "the quantity is not known"),
        (of_side == _UNSTATED, None, "the side is not known"),
        (quantity < 1, CONFIRMED, "as said, filled in part"),
    )
    return next(((verdict, reason) for holds, verdict, reason in table if holds), (CONFIRMED, "as said"))


def _quantity(executed: float | None, left: float | None) -> float:
    """1 where the same; between 0.5 and 1 where less was executed (a part fill); 0 where more was."""
    if executed is None or left is None:
        return _UNSTATED
    if executed > left:
        return 0.0
    return 1.0 if executed == left else round(_PARTIAL_FILL + (1 - _PARTIAL_FILL) * executed / left, 4)


def _price(order: Order, said: Said) -> float:
    """1 at market or at the limit or better; 0 outside the limit; in between where no price was said or executed."""
    if said.at_market:
        return 1.0
    if said.price is None or not order.prices:
        return _UNSTATED
    if order.side == "SELL":
        return float(min(order.prices) >= said.price * (1 - PRICE_TOLERANCE))
    return float(max(order.prices) <= said.price * (1 + PRICE_TOLERANCE))
