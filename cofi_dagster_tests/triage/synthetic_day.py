"""A labelled day at a broker's dealing desk: trades, calls, what LLM1 made of them, and which call is whose evidence.

The rates below are assumptions, not measurements of a real desk; they are meant to be harsher than a good day.
"""

from __future__ import annotations

import csv
import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from importlib import resources
from typing import Any

import pandas as pd

OPENING = datetime(2026, 1, 15, 9, 15)

RATES = {
    "phone shared with another client": 0.15,
    "call without client code": 0.10,
    "call without client code and phone": 0.005,
    "order entered late, outside the window": 0.03,
    "order in several fills": 0.25,
    "order filled in part": 0.06,
    "never discussed": 0.03,
    "wrong quantity": 0.015,
    "wrong side": 0.01,
    "price outside": 0.01,
    "same order repeated in a later call": 0.04,
    "enquiry between call and order": 0.30,
    "call back after the order": 0.20,
    "dropped call just before": 0.04,
    "LLM1 failed": 0.01,
    "LLM1 missed an order": 0.005,
    "LLM1 heard another quantity": 0.03,
    "LLM1 heard no quantity": 0.02,
    "LLM1 heard no side": 0.02,
    "LLM1 misspelt the scrip": 0.06,
    "LLM1 made an order of an enquiry": 0.01,
}


@dataclass(frozen=True)
class Day:
    """Frames as triaging takes them; ``evidence`` and ``verdicts`` are the truth by trade id."""

    trades: pd.DataFrame
    calls: pd.DataFrame
    conversations: pd.DataFrame
    asked: set[int]
    evidence: dict[int, str | None]
    verdicts: dict[int, str | None]


@dataclass
class _Client:
    code: str
    phone: str


@dataclass
class _Desk:
    random: random.Random
    trades: list[dict[str, Any]] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)
    said: list[dict[str, Any]] = field(default_factory=list)
    asked: set[int] = field(default_factory=set)
    evidence: dict[int, str | None] = field(default_factory=dict)
    verdicts: dict[int, str | None] = field(default_factory=dict)

    def happens(self, what: str) -> bool:
        return self.random.random() < RATES[what]

    def call(self, client: _Client, start: datetime, *, status: str = "AuditDone") -> dict[str, Any]:
        nobody = self.happens("call without client code and phone")
        code = None if nobody or self.happens("call without client code") else client.code
        number = self.random.choice(("{}", "+91{}", "0{}", "+91 {}", "91-{}")).format(client.phone)
        call_id = len(self.calls) + 1
        call = {
            "callId": call_id, "audioName": f"rec_{call_id:05}.wav", "callStart": start, "status": status,
            "clientCode": code, "clientPhone": None if nobody else number,
        }  # fmt: skip
        self.calls.append(call)
        if status == "AuditDone" and not self.happens("LLM1 failed"):
            self.asked.add(call_id)
        return call

    def hear(self, call: dict[str, Any], order: dict[str, Any]) -> None:
        """What LLM1 makes of an order that is given in a call."""
        if call["callId"] not in self.asked or self.happens("LLM1 missed an order"):
            return
        quantity = order["quantity"]
        if self.happens("LLM1 heard another quantity"):
            quantity = self.random.choice((quantity * 10, max(quantity // 10, 1), quantity + 50, quantity * 3))
        if self.happens("LLM1 heard no quantity"):
            quantity = None
        self.said.append(
            {
                "id": len(self.said) + 1,
                "callId": call["callId"],
                "symbol": self.speak(order["symbol"]),
                "side": None if self.happens("LLM1 heard no side") else order["side"],
                "quantity": quantity,
                "price": None if order["limit"] is None else round(order["limit"]),
                "priceType": "market" if order["limit"] is None else "limit",
            }
        )

    def speak(self, symbol: str) -> str:
        name = self.random.choice(NAMES[symbol])
        if self.happens("LLM1 misspelt the scrip") and len(name) > 5:
            at = self.random.randrange(1, len(name))
            name = name[:at] + self.random.choice("aeiours") + name[at + 1 :]
        return name

    def execute(
        self, client: _Client, order: dict[str, Any], at: datetime, call: dict[str, Any] | None, verdict: str
    ) -> None:
        quantity, price = order["quantity"], order["limit"] or order["last"]
        side = order["side"]
        if verdict == "wrong_quantity":
            quantity *= self.random.choice((2, 10))
        if verdict == "wrong_side":
            side = "SELL" if side == "BUY" else "BUY"
        if verdict == "price_outside":
            price = round(price * (1.03 if side == "BUY" else 0.97), 2)
        if verdict == "confirmed" and self.happens("order filled in part") and quantity > 1:
            quantity = self.random.randrange(1, quantity)
        order_id = str(1_200_000_012_345_678 + len(self.trades))
        for number, fill in enumerate(self.fills(quantity)):
            trade_id = len(self.trades) + 1
            self.trades.append(
                {
                    "id": trade_id, "orderId": order_id, "tradeId": str(number), "clientCode": client.code,
                    "clientPhone": client.phone, "symbol": order["symbol"] + self.random.choice(("", "-EQ", ".NS")),
                    "side": side, "quantity": float(fill), "price": price, "orderTime": at,
                }
            )  # fmt: skip
            self.evidence[trade_id] = call["audioName"] if call else None
            self.verdicts[trade_id] = verdict

    def fills(self, quantity: int) -> list[int]:
        if quantity < 4 or not self.happens("order in several fills"):
            return [quantity]
        cuts = sorted(self.random.sample(range(1, quantity), self.random.randint(1, 3)))
        return [after - before for before, after in zip([0, *cuts], [*cuts, quantity], strict=True)]

    def order(self) -> dict[str, Any]:
        last = round(self.random.uniform(90, 4000), 2)
        return {
            "symbol": self.random.choice(POPULAR if self.random.random() < 0.5 else SYMBOLS),
            "side": self.random.choice(("BUY", "SELL")),
            "quantity": self.random.choice((1, 5, 10, 25, 50, 75, 100, 100, 150, 200, 500, 1000, 2500, 7_48_800)),
            "limit": last if self.random.random() < 0.5 else None,
            "last": last,
        }

    def enquire(self, client: _Client, at: datetime, symbol: str) -> None:
        call = self.call(client, at)
        if call["callId"] in self.asked:
            said = {"symbol": self.speak(symbol), "side": None, "quantity": None, "price": None, "priceType": None}
            if self.happens("LLM1 made an order of an enquiry"):
                said |= {"side": "BUY", "quantity": 100, "priceType": "market"}
            self.said.append({"id": len(self.said) + 1, "callId": call["callId"], **said})

    def session(self, client: _Client) -> None:
        """A call with one or more orders, what lies around it, and the orders that are entered from it."""
        start = OPENING + timedelta(seconds=self.random.randrange(6 * 3600))
        call = self.call(client, start)
        orders = [self.order() for _ in range(self.random.choice((1, 1, 1, 1, 2, 2, 3, 5)))]
        latest = start
        for order in orders:
            late = self.happens("order entered late, outside the window")
            delay = self.random.uniform(2400, 9000) if late else min(self.random.lognormvariate(5.0, 1.0), 1750) + 8
            at = start + timedelta(seconds=round(delay))
            latest = max(latest, at)
            if self.happens("never discussed"):
                self.execute(client, order, at, None, "not_discussed")
                continue
            wrong = next((name for name in _WRONG if self.happens(name.replace("_", " "))), "confirmed")
            if wrong == "price_outside":
                order["limit"] = order["last"]
            self.hear(call, order)
            self.execute(client, order, at, call, "not_discussed" if late and wrong != "confirmed" else wrong)
        if self.happens("enquiry between call and order"):
            share = self.random.random()
            self.enquire(client, start + (latest - start) * share, self.random.choice(SYMBOLS))
        if self.happens("dropped call just before"):
            self.call(client, start + timedelta(seconds=self.random.randrange(-40, 40)), status="ShortCall")
        if self.happens("call back after the order"):
            again = self.call(client, latest + timedelta(seconds=self.random.randrange(5, 1200)))
            self.hear(again, orders[0])
        if self.happens("same order repeated in a later call"):
            later = latest + timedelta(seconds=self.random.randrange(300, 5400))
            again = self.call(client, later)
            self.hear(again, orders[0])
            self.execute(
                client, orders[0], later + timedelta(seconds=self.random.randrange(20, 600)), again, "confirmed"
            )


_WRONG = ("wrong_quantity", "wrong_side", "price_outside")


def _names() -> dict[str, list[str]]:
    text = (resources.files("cofi_dagster.triage") / "symbols.csv").read_text(encoding="utf-8-sig")
    names: dict[str, list[str]] = {}
    for row in csv.DictReader(text.splitlines()):
        names.setdefault(row["symbol"], [row["symbol"]]).append(row["spoken"])
    names |= {symbol: [spoken] for symbol, spoken in _UNLISTED.items()}
    return names


_UNLISTED = {"BANDHANBNK": "bandhan bank", "IDFCFIRSTB": "idfc first bank", "GRANULES": "granules", "BIOCON": "biocon"}
NAMES = _names()
SYMBOLS = sorted(NAMES)
POPULAR = ("RELIANCE", "HDFCBANK", "TATAMOTORS", "TATASTEEL", "SBIN", "INFY")


def synthetic_day(trades: int = 1000, seed: int = 20260115) -> Day:
    """At least so many trades (an order's fills are never cut off), from about one call a trade."""
    desk = _Desk(random.Random(seed))
    clients: list[_Client] = []
    for number in range(max(trades // 5, 2)):
        shared = clients and desk.happens("phone shared with another client")
        phone = desk.random.choice(clients).phone if shared else f"98{number:05}{desk.random.randrange(1000):03}"
        clients.append(_Client(f"C{number:04}", phone))
    while len(desk.trades) < trades:
        desk.session(desk.random.choice(clients))
    return Day(
        trades=pd.DataFrame(desk.trades),
        calls=pd.DataFrame(desk.calls),
        conversations=pd.DataFrame(desk.said),
        asked=desk.asked,
        evidence=desk.evidence,
        verdicts=desk.verdicts,
    )


@dataclass(frozen=True)
class Score:
    """Precision: of the trades given a call, how many the right one. Recall: of those that have one, how many."""

    precision: float
    recall: float


def score(found: dict[int, str | None], truth: dict[int, str | None]) -> Score:
    right = sum(1 for trade, name in found.items() if name is not None and name == truth[trade])
    given = sum(1 for name in found.values() if name is not None)
    existing = sum(1 for name in truth.values() if name is not None)
    return Score(right / given, right / existing)
