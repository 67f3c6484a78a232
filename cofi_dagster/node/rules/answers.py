"""The questionnaire answered by rules: each question is known by its words, and answered with the words that show it.

A Yes or a No stands on a quote, or on the times in the broker's books. Where there are no such words the answer is
``Not discussed`` or ``Cannot be determined``; a question that the rules do not know gets :data:`UNKNOWN_QUESTION`.
Confidences are three steps (explicit words, inferred, open), not probabilities.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cofi_dagster.audit.questionnaire import CANNOT_BE_DETERMINED, NO, NOT_DISCUSSED, YES
from cofi_dagster.node.rules import conduct
from cofi_dagster.node.rules.dialogue import Role, Turn
from cofi_dagster.node.rules.extract import Order, Place, Talk
from cofi_dagster.triage.symbols import load_symbols

UNKNOWN_QUESTION = "Cannot be determined by rules"
_EXPLICIT, _INFERRED, _OPEN = 0.9, 0.6, 0.3
_MAX_PLACES = 6


@dataclass(frozen=True, slots=True)
class Finding:
    """An answer, how firmly the words carry it, and the words."""

    answer: str
    confidence: float
    places: tuple[Place, ...] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """What a question is asked about: the talk, and the executed trades that are mapped to the call."""

    talk: Talk
    trades: Sequence[Mapping[str, Any]]


_NOTHING = Finding(NOT_DISCUSSED, _OPEN)
_UNDECIDED = Finding(CANNOT_BE_DETERMINED, _OPEN)
_NO_TRADES = Finding(CANNOT_BE_DETERMINED, 0.0)


def _unique(places: Iterable[Place | None]) -> tuple[Place, ...]:
    return tuple(dict.fromkeys(place for place in places if place is not None))[:_MAX_PLACES]


def _places(turns: Iterable[Turn], pattern: re.Pattern[str], *, but: re.Pattern[str] | None = None) -> list[Place]:
    """Where a cue was said: the turn's words around it, up to a dozen."""
    found = []
    for turn in turns:
        match = pattern.search(turn.plain)
        if match and not (but and but.search(turn.plain)):
            first = turn.plain[: match.start()].count(" ") - 1
            last = first + match[0].count(" ") + 1
            found.append(Place(turn.segment, turn.quote(max(first - 4, 0), min(last + 4, len(turn.words))), turn.role))
    return found


def _spoken_by(case: Case, *roles: Role) -> list[Turn]:
    return [turn for turn in case.talk.turns if turn.role in roles]


def _dealer_turns(case: Case) -> list[Turn]:
    return _spoken_by(case, Role.DEALER, Role.UNKNOWN)


def _client_turns(case: Case) -> list[Turn]:
    return _spoken_by(case, Role.CLIENT, Role.UNKNOWN)


def _found(places: Sequence[Place]) -> Finding:
    """Yes where the words were said; less sure where it is not known by whom."""
    if not places:
        return _NOTHING
    known = all(place.role is not Role.UNKNOWN for place in places)
    return Finding(YES, _EXPLICIT if known else _INFERRED, _unique(places))


# -- the trade -------------------------------------------------------------------------------------------------
def _executed(trades: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], list[Mapping[str, Any]]]:
    """The trades by scrip and side; an order may be executed in many fills."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for trade in trades:
        name, side = str(trade.get("symbol") or ""), str(trade.get("side") or "").strip().casefold()
        side = {"b": "buy", "s": "sell"}.get(side, side)
        groups[load_symbols().resolve(name) or name.upper(), side].append(trade)
    return groups


def _amount(value: object) -> float | None:
    try:
        return float(str(value).replace(",", ""))
    except ValueError:
        return None


def _trade_agrees(case: Case) -> Finding:
    if not case.trades:
        return _NO_TRADES
    orders = case.talk.given
    if not orders:
        return _NOTHING
    places = _unique(place for order in orders for place in order.places)
    undecided = False
    for (symbol, side), fills in _executed(case.trades).items():
        quantities = [_amount(fill.get("quantity")) for fill in fills]
        candidates = [order for order in orders if order.symbol in (symbol, None)]
        if not candidates or all(order.side not in (side, None) for order in candidates):
            return Finding(NO, _EXPLICIT, places)
        meant = [order for order in candidates if order.side in (side, None)]
        known = [order for order in meant if order.symbol and order.side and order.quantity is not None]
        if len(known) < len(meant) or None in quantities:
            undecided = True
        elif sum(order.quantity or 0 for order in known) != sum(quantity or 0 for quantity in quantities):
            return Finding(NO, _EXPLICIT, places)
    return Finding(CANNOT_BE_DETERMINED, _OPEN, places) if undecided else Finding(YES, _EXPLICIT, places)


def _price_agrees(case: Case) -> Finding:
    if not case.trades:
        return _NO_TRADES
    verdicts: list[tuple[str, Order]] = []
    for (symbol, side), fills in _executed(case.trades).items():
        order = next((o for o in case.talk.given if o.symbol == symbol and o.side == side), None)
        if order is None or "price" not in order.said:
            continue
        prices = [_amount(fill.get("price")) for fill in fills]
        limit = order.price
        if limit is None or None in prices:
            verdicts.append((YES if order.market else CANNOT_BE_DETERMINED, order))
            continue
        worse = any((price or 0) > limit if side == "buy" else (price or 0) < limit for price in prices)
        verdicts.append((NO if worse and not order.market else YES, order))
    if not verdicts:
        return _NOTHING
    answers = {answer for answer, _ in verdicts}
    answer = next(word for word in (NO, CANNOT_BE_DETERMINED, YES) if word in answers)
    places = _unique(order.said["price"] for verdict, order in verdicts if verdict == answer)
    return Finding(answer, _OPEN if answer == CANNOT_BE_DETERMINED else _EXPLICIT, places)


def _time(value: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(value)).replace(tzinfo=None)
    except ValueError:
        return None


def _call_before_order(case: Case) -> Finding:
    if not case.trades:
        return _NO_TRADES
    times = [(_time(trade.get("callStart")), _time(trade.get("orderTime"))) for trade in case.trades]
    if any(call is None or order is None for call, order in times):
        return Finding(CANNOT_BE_DETERMINED, 0.0)
    return Finding(YES if all(call < order for call, order in times if call and order) else NO, 1.0)


# -- the order -------------------------------------------------------------------------------------------------
def _client_said(value: str) -> Callable[[Case], Finding]:
    """Whether the client was the first to say a value of each order."""

    def answer(case: Case) -> Finding:
        said = [order.said[value] for order in case.talk.given if value in order.said]
        if not said:
            return _NOTHING
        dealers = [place for place in said if place.role is Role.DEALER]
        if dealers:
            return Finding(NO, _EXPLICIT, _unique(dealers))
        unknown = [place for place in said if place.role is Role.UNKNOWN]
        if unknown:
            return Finding(CANNOT_BE_DETERMINED, _OPEN, _unique(unknown))
        return Finding(YES, _EXPLICIT, _unique(said))

    return answer


def describe(order: Order) -> str:
    """An order in words: ``buy 100 RELIANCE at market``."""
    parts = [order.side or "(side not said)"]
    parts.append(f"{order.quantity:,.10g}" if order.quantity is not None else "(quantity not said)")
    parts.append(order.symbol or "(scrip not recognised)")
    if order.price is not None:
        parts.append(f"at {order.price:,.10g}")
    elif order.market:
        parts.append("at market")
    return " ".join(parts)


def _which_orders(case: Case) -> Finding:
    orders = case.talk.given
    if not orders:
        return _NOTHING
    text = "; ".join(describe(order) for order in orders)
    return Finding(text[0].upper() + text[1:], _EXPLICIT, _unique(p for order in orders for p in order.places))


def _each_order(value: Callable[[Order], Place | None]) -> Callable[[Case], Finding]:
    """Whether something happened to every order that was given; else No, on the words of the order that it missed."""

    def answer(case: Case) -> Finding:
        orders = case.talk.given
        if not orders:
            return _NOTHING
        missed = [order for order in orders if value(order) is None]
        if missed:
            return Finding(NO, _INFERRED, _unique(order.places[0] for order in missed))
        return Finding(YES, _EXPLICIT, _unique(value(order) for order in orders))

    return answer


def _changed(case: Case) -> Finding:
    orders = [order for order in case.talk.orders if not order.proposed]
    changes = _unique(place for order in orders for place in (order.changed, order.cancelled))
    if changes:
        return Finding(YES, _EXPLICIT, changes)
    return Finding(NO, _INFERRED, _unique(o.places[0] for o in orders)) if orders else _NOTHING


def _placed(case: Case) -> Finding:
    return _found(case.talk.placed)


# -- conduct ---------------------------------------------------------------------------------------------------
def _identified(case: Case) -> Finding:
    told = _places(case.talk.turns, conduct.IDENTIFIED)
    if told:
        return Finding(YES, _EXPLICIT, _unique(told))
    asked = _places(_dealer_turns(case), conduct.ASKS_IDENTITY)
    return Finding(CANNOT_BE_DETERMINED, _OPEN, _unique(asked)) if asked else _NOTHING


def _unasked_advice(case: Case) -> Finding:
    advice = _places(_dealer_turns(case), conduct.ADVICE, but=conduct.ASKS_ADVICE)
    asked = _places(_client_turns(case), conduct.ASKS_ADVICE)
    if advice and asked and asked[0].segment <= advice[0].segment:
        return Finding(NO, _INFERRED, _unique([asked[0], *advice]))
    return _found(advice)


def _assurance(case: Case) -> Finding:
    given = _places(_dealer_turns(case), conduct.ASSURANCE, but=conduct.NO_ASSURANCE)
    if given:
        return _found(given)
    denied = _places(_dealer_turns(case), conduct.NO_ASSURANCE)
    return Finding(NO, _EXPLICIT, _unique(denied)) if denied else _NOTHING


def _said_by(turns: Callable[[Case], list[Turn]], pattern: re.Pattern[str]) -> Callable[[Case], Finding]:
    return lambda case: _found(_places(turns(case), pattern))


def _complete(case: Case) -> Finding:
    turns = case.talk.turns
    opening, ending = _places(turns[:2], conduct.GREETING), _places(turns[-2:], conduct.CLOSING)
    if opening and ending:
        return Finding(YES, _INFERRED, _unique([opening[0], ending[-1]]))
    return _UNDECIDED


_QUESTIONS: tuple[tuple[str, Callable[[Case], Finding]], ...] = (
    (r"price.*\bexecuted|executed.*\bprice", _price_agrees),
    (r"\bagree.*\bexecuted|\bmatch.*\bexecuted", _trade_agrees),
    (r"\bcall (?:begin|began|start|precede)", _call_before_order),
    (r"\bclient\b.*\bidentified|\bidentity\b.*\bclient", _identified),
    (r"\b(?:which|what) orders? (?:did|was|were)", _which_orders),
    (r"\bread\b.*\bback\b.*\bto the client|\bdealer read\b.*\bback", _each_order(lambda order: order.read_back)),
    (r"\bassent|\bconfirm(?:ed)? the order as", _each_order(lambda order: order.assented)),
    (r"\border\b.*\b(?:changed|modified|cancelled)", _changed),
    (r"\bconfirm\b.*\b(?:placed|executed)", _placed),
    (r"\bdiscretion\b", _said_by(_client_turns, conduct.DISCRETION)),
    (r"\bclient\b.*\bdealer\b.*\b(?:name|state)\b.*\bscrip", _client_said("symbol")),
    (r"\bclient\b.*\bdealer\b.*\b(?:buy or|side)\b", _client_said("side")),
    (r"\bclient\b.*\bdealer\b.*\bquantity", _client_said("quantity")),
    (r"\bclient\b.*\bdealer\b.*\bprice", _client_said("price")),
    (r"\badvice\b|\brecommendation\b|\bunsolicited\b", _unasked_advice),
    (r"\bassure|\bguarantee", _assurance),
    (r"\bpressure\b", _said_by(_dealer_turns, conduct.PRESSURE)),
    (r"\bthird party\b", _said_by(_client_turns, conduct.THIRD_PARTY)),
    (r"\bcomplain|\bdispute", _said_by(_client_turns, conduct.COMPLAINT)),
    (r"\brecording\b.*\bcomplete", _complete),
)
_KNOWN = tuple((re.compile(pattern), answer) for pattern, answer in _QUESTIONS)


def answer(question: str, case: Case) -> Finding:
    """Answer one question, known by its words and not by its number."""
    plain = " ".join(question.casefold().split())
    for pattern, find in _KNOWN:
        if pattern.search(plain):
            return find(case)
    return Finding(UNKNOWN_QUESTION, 0.0)
