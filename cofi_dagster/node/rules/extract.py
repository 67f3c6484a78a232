"""The orders that a call's talk adds up to: who said what, what was read back, assented to, changed and cancelled.

An order counts when the client gives it or assents to the dealer's proposal; an enquiry, an opinion, an earlier trade
or a refused proposal is none. Of what was corrected the last word that was assented to holds. What was not said stays
unknown. Answering questions about the orders is ``answers``' part.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cofi_dagster.node.rules.dialogue import Role, Turn, turns
from cofi_dagster.node.rules.frames import Frame, frames

_ASKS = {"asks_quantity": "quantity", "asks_price": "price", "asks_side": "side", "asks_symbol": "symbol"}


@dataclass(frozen=True, slots=True)
class Place:
    """Where something was said: the segment, the words, and by whom."""

    segment: int
    quote: str
    role: Role


@dataclass(slots=True)
class Order:
    """An order as it grows through the call. ``said`` has the place at which each value was first said."""

    symbol: str | None = None
    side: str | None = None
    quantity: float | None = None
    price: float | None = None
    market: bool = False
    proposed: bool = False
    said: dict[str, Place] = field(default_factory=dict)
    places: list[Place] = field(default_factory=list)
    read_back: Place | None = None
    assented: Place | None = None
    changed: Place | None = None
    cancelled: Place | None = None

    @property
    def price_type(self) -> str | None:
        """``market``, ``limit`` or None where neither was said."""
        if self.market:
            return "market"
        return "limit" if self.price is not None else None

    @property
    def given(self) -> bool:
        """Whether it is an order at the end of the call."""
        if self.cancelled or self.proposed:
            return False
        if self.side is None:
            return self.symbol is not None and self.quantity is not None and self.assented is not None
        return self.symbol is not None or self.quantity is not None

    def take(self, frame: Frame, place: Place, *, loose_is: str | None = None) -> None:
        """Take over what a frame says; a value that differs from an earlier one replaces it and marks a change."""
        values = {
            "symbol": None if frame.rejected else frame.symbol,
            "side": frame.side,
            "quantity": frame.quantity,
            "price": frame.price,
        }
        if loose_is in values and frame.loose and values[loose_is] is None:
            values[loose_is] = frame.loose[0]
        for name, value in values.items():
            if value is None:
                continue
            old = getattr(self, name)
            if old is not None and old != value:
                self.changed = place
            setattr(self, name, value)
            self.said.setdefault(name, place)
        if frame.market:
            if self.price is not None and values["price"] is None:
                self.price, self.changed = None, place
            self.market = True
            self.said.setdefault("price", place)
        elif values["price"] is not None:
            self.market = False
        self.note(place)

    def note(self, place: Place) -> None:
        """Keep a place as evidence, once."""
        if place not in self.places:
            self.places.append(place)

    def agrees(self, frame: Frame) -> bool:
        """Whether nothing that a frame says differs from the order."""
        pairs = ((frame.side, self.side), (frame.quantity, self.quantity), (frame.price, self.price))
        return all(said is None or known is None or said == known for said, known in pairs)


class _Call:
    """Follows a call frame by frame."""

    def __init__(self) -> None:
        self.orders: list[Order] = []
        self.placed: list[Place] = []
        self._current: Order | None = None
        self._pending: list[tuple[Order, Frame | None]] = []
        self._expected: str | None = None
        self._topic: str | None = None
        self._replacing: Order | None = None

    def hear(self, frame: Frame) -> None:
        """Take in the next frame."""
        if self._role(frame) is Role.DEALER:
            self._dealer(frame)
            if frame.role is Role.UNKNOWN and "ends_with_assent" in frame.cues:
                self._assent(_place(frame, Role.UNKNOWN))
        else:
            self._client(frame)

    def _role(self, frame: Frame) -> Role:
        """Who speaks; where the recording does not tell, by what is said at this point of the talk."""
        if frame.role is not Role.UNKNOWN:
            return frame.role
        known = self._find(frame.symbol) if frame.symbol else self._current
        if self._pending and frame.cues & {"assent", "dissent"} and not frame.side:
            return Role.CLIENT
        if frame.cues & {"asks_quantity", "asks_price", "asks_side", "asks_symbol", "placed"}:
            return Role.DEALER
        repeats = known is not None and (frame.side or frame.symbol) and "negated" not in frame.cues
        if repeats and known is not None and ("read_back" in frame.cues or (frame.amounts and known.agrees(frame))):
            return Role.DEALER
        return Role.UNKNOWN

    def _find(self, symbol: str | None) -> Order | None:
        """The last order for a scrip that is not cancelled."""
        return next((o for o in reversed(self.orders) if o.symbol == symbol and not o.cancelled), None)

    def _open(self, frame: Frame, place: Place, *, proposed: bool = False, symbol: str | None = None) -> Order:
        order = Order(symbol=symbol, proposed=proposed)
        order.take(frame, place)
        self.orders.append(order)
        self._current = order
        return order

    # -- the dealer --------------------------------------------------------------------------------------------
    def _dealer(self, frame: Frame) -> None:
        place = _place(frame, Role.DEALER)
        asked = next((wanted for cue, wanted in _ASKS.items() if cue in frame.cues), None)
        if asked:
            self._expected = asked
        if "placed" in frame.cues:
            self.placed.append(place)
        target = self._find(frame.symbol) if frame.symbol else self._current
        if "negated" in frame.cues:
            if target is not None and not target.cancelled:
                self._pending.append((target, None))
            return
        if "past" in frame.cues and not frame.side:
            return
        if target is not None and not target.cancelled:
            if frame.symbol or frame.side or frame.amounts:
                self._read_back(target, frame, place, asked)
            elif frame.cues & {"read_back", "proposal"} and not asked and "placed" not in frame.cues:
                self._pending.append((target, None if target.proposed else frame))
        elif frame.side and (frame.symbol or self._topic):
            symbol = frame.symbol or self._topic
            self._pending = [(self._open(frame, place, proposed=True, symbol=symbol), frame)]
        elif frame.symbol:
            self._topic = frame.symbol

    def _read_back(self, target: Order, frame: Frame, place: Place, asked: str | None) -> None:
        """The dealer repeats an order, as a whole or the value that is in question."""
        if "enquiry" in frame.cues or "placed" in frame.cues:
            return
        self._current = target
        if not asked and not (target.proposed and target.read_back is None and not frame.side):
            target.read_back = target.read_back or place
        self._pending = [
            (order, earlier)
            for order, earlier in self._pending
            if order is not target and earlier is not None and earlier.turn.segment == frame.turn.segment
        ]
        self._pending.append((target, frame))

    # -- the client --------------------------------------------------------------------------------------------
    def _client(self, frame: Frame) -> None:
        place = _place(frame, frame.role)
        if "negated" in frame.cues and not frame.side:
            self._cancel(frame, place)
            return
        if self._asks_only(frame) or ("past" in frame.cues and not frame.side):
            self._topic = frame.symbol or self._topic
            return
        if self._pending and "dissent" in frame.cues:
            self._refuse(frame, place)
        elif self._pending and "assent" in frame.cues:
            self._assent(place)
        if frame.rejected:
            self._replacing = self._find(frame.symbol)
            return
        if frame.symbol or frame.side or frame.amounts:
            self._order(frame, place)
            self._expected = None

    def _asks_only(self, frame: Frame) -> bool:
        """Whether it is a question or a supposition; an enquiry with a whole order after it is none."""
        if "no_order" in frame.cues:
            return True
        return "enquiry" in frame.cues and not (frame.side and frame.quantity)

    def _cancel(self, frame: Frame, place: Place) -> None:
        target = self._find(frame.symbol) if frame.symbol else self._current
        if target is not None:
            target.cancelled = place
            target.note(place)
            self._current = next((o for o in reversed(self.orders) if not o.cancelled), None)
        self._topic = frame.symbol or self._topic
        self._pending = []

    def _assent(self, place: Place) -> None:
        for target, frame in self._pending:
            if frame is None and not target.proposed:
                target.cancelled = place
                continue
            if frame is not None:
                target.take(frame, _place(frame, Role.DEALER))
            target.proposed = False
            target.assented = place
            target.note(place)
        self._pending = []

    def _refuse(self, frame: Frame, place: Place) -> None:
        """A no to a read-back: what it said is not taken over; a proposal that is refused is gone."""
        for target, _ in self._pending:
            about_it = frame.symbol in (None, target.symbol) and (frame.amounts or frame.symbol or frame.side)
            if target.proposed and not about_it:
                target.cancelled = place
            elif target.proposed:
                target.proposed = False
        self._pending = []

    def _order(self, frame: Frame, place: Place) -> None:
        """What the client says about an order goes to the one that is meant, or opens a new one."""
        target = self._meant(frame)
        if target is None:
            if frame.side or (frame.symbol and frame.amounts):
                self._pending = []
                self._open(frame, place, symbol=frame.symbol or self._topic)
            elif frame.symbol:
                self._topic = frame.symbol
            return
        if frame.symbol and not (frame.side or frame.amounts) and target.symbol == frame.symbol:
            self._current = target
            return
        before = (target.symbol, target.side, target.quantity, target.price, target.market)
        target.take(frame, place, loose_is=self._loose_is(frame, target))
        if target.proposed and frame.role is Role.CLIENT:
            target.proposed = False
        if before != (target.symbol, target.side, target.quantity, target.price, target.market):
            self._pending = []
        self._current = target

    def _meant(self, frame: Frame) -> Order | None:
        current = self._current if self._current is not None and not self._current.cancelled else None
        if frame.symbol is None:
            return self._meant_without_scrip(frame, current)
        replaced, self._replacing = self._replacing, None
        if replaced is not None:
            return replaced
        known = self._find(frame.symbol)
        if known is not None:
            opposite = frame.side and known.side and frame.side != known.side and "correction" not in frame.cues
            return None if opposite or ("another" in frame.cues and frame.side) else known
        if current is not None and current.symbol is None:
            return current
        if current is not None and "change" in frame.cues and frame.side in (None, current.side):
            return current
        return None

    def _meant_without_scrip(self, frame: Frame, current: Order | None) -> Order | None:
        if current is None or not frame.side:
            return current
        if self._topic not in (None, current.symbol) and current.symbol is not None and self._find(self._topic) is None:
            return None
        if frame.side == current.side or current.side is None or "correction" in frame.cues:
            return current
        return None

    def _loose_is(self, frame: Frame, target: Order) -> str | None:
        """What an amount is that no word explains: what was asked for, what is nearest, or what is missing."""
        if not frame.loose:
            return None
        if self._expected in ("quantity", "price"):
            return self._expected
        if target.quantity is None:
            return "quantity"
        if target.price is not None:
            value = frame.loose[0] or 1.0
            known = (target.quantity or 1.0, target.price or 1.0)
            to_quantity, to_price = (abs(math.log(value / amount)) for amount in known)
            return "quantity" if to_quantity <= to_price else "price"
        if frame.cues & {"change", "correction"}:
            return "quantity"
        return None if target.market else "price"


def _place(frame: Frame, role: Role) -> Place:
    return Place(frame.turn.segment, frame.quote, role)


@dataclass(frozen=True, slots=True)
class Talk:
    """A call, read: its turns, every order that was begun, and where one was said to be placed."""

    turns: Sequence[Turn]
    orders: Sequence[Order]
    placed: Sequence[Place]

    @property
    def given(self) -> list[Order]:
        """The orders that stand at the end of the call."""
        return [order for order in self.orders if order.given]


def read_talk(segments: Sequence[Mapping[str, Any]]) -> Talk:
    """Read a transcript of ``{"segment": int, "speaker": str | None, "text": str}``."""
    call, heard = _Call(), turns(segments)
    for turn in heard:
        for frame in frames(turn):
            call.hear(frame)
    return Talk(heard, call.orders, call.placed)
