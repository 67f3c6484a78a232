"""How much of the demo batch was understood: what the database says beside the truth. Pure, no database here.

:func:`score` takes the truth as :mod:`cofi_dagster.demo.batch` writes it and a :class:`Found` that the caller
fills from the tables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Trade = tuple[str | None, str | None, float | None]
"""``(symbol, side, quantity)`` of a trade that was heard; None where a part was not heard."""


@dataclass(frozen=True, slots=True)
class Found:
    """What COFI made of a batch.

    Attributes:
        calls: ``audioName`` to ``(call.status, call.lang)``.
        evidence: ``orderId`` to ``tradeMetadata.audioName``.
        verdicts: ``orderId`` to ``confirmed``, ``wrong_quantity``, ``wrong_side``, ``price_outside``, ``not_discussed``
            or None.
        trades: ``audioName`` to the trades in ``callConversation``.
    """

    calls: Mapping[str, tuple[str | None, str | None]]
    evidence: Mapping[str, str | None]
    verdicts: Mapping[str, str | None]
    trades: Mapping[str, Sequence[Trade]]


@dataclass(slots=True)
class ScoreRow:
    """One question about the batch: how often the answer was right, of how many, and every miss in words."""

    question: str
    right: int = 0
    of: int = 0
    misses: list[str] = field(default_factory=list)

    def count(self, right: bool, miss: str) -> None:
        """Take one answer into account."""
        self.of += 1
        self.right += right
        if not right:
            self.misses.append(miss)


def score(truth: Mapping[str, Any], found: Found) -> list[ScoreRow]:
    """The questions in the order in which a person asks them."""
    return [
        _ends(truth, found),
        _languages(truth, found),
        _heard(truth, found),
        _invented(truth, found),
        _evidence(truth, found),
        _verdicts(truth, found),
    ]


def _ends(truth: Mapping[str, Any], found: Found) -> ScoreRow:
    row = ScoreRow("calls in the right final status")
    for name, call in truth["calls"].items():
        status, _ = found.calls.get(name, (None, None))
        row.count(status in call["status"], f"{call['story']}: {status}, not {' or '.join(call['status'])}")
    return row


def _languages(truth: Mapping[str, Any], found: Found) -> ScoreRow:
    """Of the calls with talk in them."""
    row = ScoreRow("languages named")
    for name, call in truth["calls"].items():
        if call["language"] is not None:
            _, language = found.calls.get(name, (None, None))
            row.count(language == call["language"], f"{call['story']}: {language}, not {call['language']}")
    return row


def _heard(truth: Mapping[str, Any], found: Found) -> ScoreRow:
    """Of the orders in English: symbol, side and quantity all as they were said."""
    row = ScoreRow("orders heard word for word (symbol, side, quantity)")
    for name, call in truth["calls"].items():
        heard = [_plain(trade) for trade in found.trades.get(name, ())]
        for said in call["said"] if call["language"] == "en" else ():
            wanted = _plain((said["symbol"], said["side"], said["quantity"]))
            row.count(wanted in heard, f"{call['story']}: heard {_words(heard)}, said was {_words([wanted])}")
    return row


def _invented(truth: Mapping[str, Any], found: Found) -> ScoreRow:
    """Of the calls in which no order was given, whatever their end."""
    row = ScoreRow("calls without an order in which none was heard")
    for name, call in truth["calls"].items():
        if not call["said"]:
            heard = [_plain(trade) for trade in found.trades.get(name, ())]
            row.count(not heard, f"{call['story']}: heard {_words(heard)}")
    return row


def _evidence(truth: Mapping[str, Any], found: Found) -> ScoreRow:
    row = ScoreRow("orders with the right call as evidence, or rightly none")
    for order_id, trade in truth["trades"].items():
        name, wanted = found.evidence.get(order_id), trade["evidence"]
        row.count(name == wanted, f"{trade['order']}: {name or 'no call'}, not {wanted or 'none'}")
    return row


def _verdicts(truth: Mapping[str, Any], found: Found) -> ScoreRow:
    row = ScoreRow("orders with the right verdict")
    for order_id, trade in truth["trades"].items():
        verdict, wanted = found.verdicts.get(order_id), trade["verdict"]
        row.count(verdict == wanted, f"{trade['order']}: {verdict or 'none'}, not {wanted or 'none'}")
    return row


def _plain(trade: Trade) -> Trade:
    symbol, side, quantity = trade
    return symbol and symbol.upper(), side and side.lower(), None if quantity is None else float(quantity)


def _words(trades: Sequence[Trade]) -> str:
    texts = (
        f"{side or '?'} {'?' if quantity is None else f'{quantity:g}'} {symbol or '?'}"
        for symbol, side, quantity in trades
    )
    return ", ".join(texts) or "nothing"
