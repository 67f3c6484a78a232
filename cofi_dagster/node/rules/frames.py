"""What one stretch of talk says: a scrip, a side, amounts, and whether it orders, asks, refuses or confirms.

A frame is a turn or the part of a turn that is about one scrip. How frames add up to orders is ``extract``'s part.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from cofi_dagster.node.rules import lexicon
from cofi_dagster.node.rules.dialogue import Role, Turn, role_by_content
from cofi_dagster.node.rules.numbers import Number, find_numbers
from cofi_dagster.triage.symbols import SymbolMatch, load_symbols

_SENTENCE_END = (".", "?", "!", "।")
_CONJUNCTIONS = frozenset({"and", "aur", "then", "phir", "also", "plus", "और", "फिर", "तथा"})
_NOT = frozenset({"not", "nahi", "nahin", "nai", "नहीं"})
_LEAD_INS = frozenset(
    {"so", "sorry", "no", "not", "now", "ok", "okay", "toh", "actually", "instead", "nahi", "तो", "नहीं"}
)
_SHORT_TURN = 8
Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Frame:
    """One stretch of talk, read.

    Attributes:
        turn: where it was said; ``role``: by whom; ``start`` to ``end``: the words that carry what it says.
        side: ``buy`` or ``sell``.
        quantity: shares; ``price``: rupees a share; ``loose``: amounts of which the words do not say which they are.
        market: whether it says to trade at the market rate.
        rejected: whether its scrip is named to say that it is the wrong one ("not tcs").
        cues: names of the cues of the lexicon that it holds.
    """

    turn: Turn
    role: Role
    start: int
    end: int
    symbol: str | None
    rejected: bool
    side: str | None
    quantity: float | None
    price: float | None
    market: bool
    loose: tuple[float, ...]
    cues: frozenset[str]

    @property
    def quote(self) -> str:
        """The words that carry what it says, letter for letter."""
        return self.turn.quote(self.start, self.end)

    @property
    def amounts(self) -> bool:
        """Whether it says any amount, or that the price is the market's."""
        return self.quantity is not None or self.price is not None or self.market or bool(self.loose)


class _Reading:
    """A turn with everything that was found in it, by the places of its words."""

    def __init__(self, turn: Turn) -> None:
        self.turn = turn
        self._place: dict[int, int] = {}
        offset = 1
        for place, word in enumerate(turn.words):
            self._place[offset] = place
            offset += len(word.plain) + 1
        self._place[offset] = len(turn.words)
        self.symbols = load_symbols().find([word.plain for word in turn.words])
        named = {place for match in self.symbols for place in range(match.start, match.end)}
        numbers = find_numbers([word.raw for word in turn.words])
        self.numbers = [n for n in numbers if not named.intersection(range(n.start, n.end))]
        self.negated = self.spans(lexicon.NEGATED)
        self.enquiries = self.spans(lexicon.ENQUIRY)
        past = self.spans(lexicon.PAST)
        self.sides = sorted(
            (span, side)
            for side, pattern in (("buy", lexicon.BUY), ("sell", lexicon.SELL))
            for span in self.spans(pattern)
            if not _touches(span, [*self.negated, *past])
        )

    def spans(self, pattern: re.Pattern[str]) -> list[Span]:
        """Where a cue stands, as places of words."""
        found = []
        for match in pattern.finditer(self.turn.plain):
            end = match.end() + 1
            if match.start() in self._place and end in self._place:
                found.append((self._place[match.start()], self._place[end]))
        return found

    def ends_sentence(self, place: int) -> bool:
        return self.turn.words[place].raw.endswith(_SENTENCE_END)

    def boundaries(self) -> list[int]:
        """The places at which a new frame begins, the turn's first word included."""
        cuts = {0}
        for before, after in pairwise(self.symbols):
            cut = self._between(before, after)
            while cut - 1 >= before.end and self.turn.words[cut - 1].plain in _LEAD_INS:
                cut -= 1
            cuts.add(cut)
        for span in self.negated:
            order = self._after_refusal(span)
            if order is not None:
                cuts.add(order)
        return sorted(cuts)

    def _between(self, before: SymbolMatch, after: SymbolMatch) -> int:
        """Where the talk passes from one scrip to the next: at a full stop, an "and", a side, or the next amount."""
        gap = range(before.end, after.start)
        in_number = {place for number in self.numbers for place in range(number.start, number.end)}
        for place in gap:
            if self.ends_sentence(place):
                return place + 1
        for place in reversed(gap):
            if self.turn.words[place].plain in _CONJUNCTIONS and place not in in_number:
                return place
        for (start, _), _ in self.sides:
            if start in gap and any(span[0] < before.start for span, _ in self.sides):
                return start
        side_last = any(before.end <= span[0] < after.start for span, _ in self.sides)
        amount_first = any(number.end <= before.start for number in self.numbers)
        for number in reversed(self.numbers):
            if number.start in gap and number.end >= after.start - 2 and amount_first and not side_last:
                return number.start
        return after.start

    def _after_refusal(self, refusal: Span) -> int | None:
        """Where an order begins that follows a refusal: "don't buy tcs, *sell* it"; None where none does."""
        for span, _ in self.sides:
            if span[0] < refusal[1]:
                continue
            for place in range(refusal[1], span[0]):
                if self.ends_sentence(place) or self.turn.words[place].plain in _CONJUNCTIONS:
                    return place + 1
            between = any(refusal[1] <= match.start < span[0] for match in self.symbols)
            return refusal[1] if between else span[0]
        return None


def _touches(span: Span, others: Sequence[Span]) -> bool:
    return any(span[0] < end and start < span[1] for start, end in others)


_CUES: dict[str, re.Pattern[str]] = {
    "enquiry": lexicon.ENQUIRY,
    "no_order": lexicon.NO_ORDER,
    "negated": lexicon.NEGATED,
    "past": lexicon.PAST,
    "correction": lexicon.CORRECTION,
    "change": lexicon.CHANGE,
    "another": lexicon.ANOTHER,
    "read_back": lexicon.READ_BACK,
    "proposal": lexicon.PROPOSAL,
    "placed": lexicon.PLACED,
    "asks_quantity": lexicon.ASKS_QUANTITY,
    "asks_price": lexicon.ASKS_PRICE,
    "asks_side": lexicon.ASKS_SIDE,
    "asks_symbol": lexicon.ASKS_SYMBOL,
    "market": lexicon.MARKET,
    "lots": lexicon.LOTS_AFTER,
}
_SPOKEN_ANSWER = frozenset({"yes", "yeah", "yep", "haan", "han", "haanji", "ji", "हाँ", "हां", "जी", "correct"})


class _Amounts:
    """Sorts the numbers of a stretch into quantity and price by the words beside them."""

    def __init__(self, reading: _Reading) -> None:
        spans = reading.spans
        self._before = {
            role: {end for pattern in patterns for _, end in spans(pattern)}
            for role, patterns in (
                ("none", (lexicon.NO_AMOUNT_BEFORE,)),
                ("quantity", (lexicon.COUNTED_BEFORE,)),
                ("price", (lexicon.PRICED_BEFORE,)),
            )
        }
        self._after = {
            role: {start for pattern in patterns for start, _ in spans(pattern)}
            for role, patterns in (
                ("none", (lexicon.NO_AMOUNT_AFTER, lexicon.LOTS_AFTER)),
                ("quantity", (lexicon.COUNTED_AFTER,)),
                ("price", (lexicon.PRICED_AFTER,)),
            )
        }
        self._words = reading.turn.words
        self._named = {match.start for match in reading.symbols}

    def role(self, number: Number) -> str:
        """``quantity``, ``price``, ``paise``, ``none`` (not an amount of an order) or ``loose``."""
        before = self._words[number.start - 1].plain if number.start else ""
        after = self._words[number.end].plain if number.end < len(self._words) else ""
        if number.start in self._before["none"] or number.end in self._after["none"]:
            return "none"
        if before == "not" or (after in _NOT and number.end + 1 < len(self._words)):
            return "none"
        if after in ("paise", "paisa", "पैसे"):
            return "paise"
        of = after in ("of", "ke", "के")
        if number.end in self._after["quantity"] or (of and number.end + 1 in self._after["quantity"]):
            return "quantity"
        if number.start in self._before["quantity"]:
            return "quantity"
        if self._words[number.start].plain.startswith(("₹", "rs")):
            return "price"
        if number.start in self._before["price"] or number.end in self._after["price"]:
            return "price"
        if number.end in self._named or (of and number.end + 1 in self._named):
            return "quantity"
        return "loose"


def _settle(values: list[tuple[int, float]], corrected_at: list[int]) -> float | None:
    """Of several amounts of a kind the first, unless the speaker corrects it: then the last."""
    if not values:
        return None
    corrected = any(values[0][0] < place < values[-1][0] for place in corrected_at)
    return values[-1][1] if corrected else values[0][1]


def _read(reading: _Reading, amounts: _Amounts, cues: dict[str, list[Span]], start: int, end: int) -> Frame:
    """The frame of the words ``start`` to ``end``."""
    inside = {name: [span for span in spans if start <= span[0] < end] for name, spans in cues.items()}
    symbols = [match for match in reading.symbols if start <= match.start < end]
    sides = [(span, side) for span, side in reading.sides if start <= span[0] < end]
    numbers = [number for number in reading.numbers if start <= number.start < end]
    by_role: dict[str, list[tuple[int, float]]] = {}
    used: list[Span] = [(match.start, match.end) for match in symbols] + [span for span, _ in sides]
    for number in numbers:
        role = amounts.role(number)
        by_role.setdefault(role, []).append((number.start, number.value))
        if role != "none":
            used.append((number.start, number.end))
    corrected_at = [span[0] for span in inside["correction"]]
    quantity = _settle(by_role.get("quantity", []), corrected_at)
    price = _settle(by_role.get("price", []), corrected_at)
    if price is not None and "paise" in by_role:
        price += by_role["paise"][0][1] / 100
    loose = [value for _, value in by_role.get("loose", [])]
    side = _one_side(sides, inside, corrected_at)
    if (symbols or side) and loose and quantity is None and not inside["lots"]:
        quantity = loose.pop(-1 if corrected_at and len(loose) > 1 else 0)
    if (symbols or side) and loose and price is None:
        price = loose.pop(0)
    market = [span for span in inside["market"] if not _touches(span, inside["enquiry"])]
    if inside["asks_price"]:
        market = []
    used += market + [span for name in ("negated", "enquiry", "placed") for span in inside[name]]
    first, last = min((s for s, _ in used), default=start), max((e for _, e in used), default=end)
    return Frame(
        turn=reading.turn,
        role=_role(reading.turn, start, end),
        start=first,
        end=min(max(last, first + 1), len(reading.turn.words)),
        symbol=symbols[0].symbol if symbols else None,
        rejected=bool(symbols) and _rejected(reading.turn, symbols[0]),
        side=side,
        quantity=quantity,
        price=price,
        market=bool(market),
        loose=tuple(loose),
        cues=frozenset(name for name, spans in inside.items() if spans)
        | _stance(reading, start, end)
        | ({"ends_with_assent"} if symbols and _answered(reading.turn, last, end) else set()),
    )


def _one_side(sides: list[tuple[Span, str]], inside: dict[str, list[Span]], corrected_at: list[int]) -> str | None:
    """The side that is said; None where both are, as in "buy or sell?", unless one corrects the other."""
    if inside["asks_side"] or not sides:
        return None
    if len({side for _, side in sides}) == 1:
        return sides[0][1]
    if any(sides[0][0][0] < place < sides[-1][0][0] for place in corrected_at):
        return sides[-1][1]
    return sides[0][1]


def _rejected(turn: Turn, match: SymbolMatch) -> bool:
    before = turn.words[match.start - 1].plain if match.start else ""
    after = turn.words[match.end].plain if match.end < len(turn.words) else ""
    return before == "not" or after in ("nahi", "nahin", "नहीं")


def _role(turn: Turn, start: int, end: int) -> Role:
    """Who speaks a stretch: where the recording does not tell, both may speak in one turn."""
    if turn.told or end - start == len(turn.words):
        return turn.role
    return role_by_content(f" {' '.join(word.plain for word in turn.words[start:end])} ")


def _answered(turn: Turn, said: int, end: int) -> bool:
    """Whether a yes follows what was said, in the same stretch: a recogniser that joined two speakers."""
    return any(word.plain in _SPOKEN_ANSWER and word.plain != "correct" for word in turn.words[said:end])


def _stance(reading: _Reading, start: int, end: int) -> set[str]:
    """Whether a stretch begins with a yes or a no, or is short and holds one."""
    words = reading.turn.words
    short = end - start <= _SHORT_TURN
    stance = set()
    for name, pattern in (("assent", lexicon.ASSENT), ("dissent", lexicon.DISSENT)):
        for span in reading.spans(pattern):
            if start <= span[0] < end and (span[0] <= start + 1 or (short and name == "assent")):
                stance.add(name)
    if "dissent" in stance and words[start].plain in _SPOKEN_ANSWER:
        stance.discard("dissent")
    return stance


def _share_side(found: list[Frame]) -> list[Frame]:
    """One verb for several scrips: "buy 100 tcs and 50 itc"; in Hindi it comes last, for those before it."""
    for place, frame in enumerate(found):
        if frame.symbol and frame.quantity is not None and frame.side is None and "negated" not in frame.cues:
            before = found[place - 1] if place else None
            after = found[place + 1] if place + 1 < len(found) else None
            if before is not None and before.side and before.symbol:
                found[place] = replace(frame, side=before.side)
            elif after is not None and after.side and after.symbol:
                found[place] = replace(frame, side=after.side, market=frame.price is None and after.market)
    return found


def frames(turn: Turn) -> Iterator[Frame]:
    """The frames of a turn, in the order in which they were said."""
    reading = _Reading(turn)
    amounts = _Amounts(reading)
    cues = {name: reading.spans(pattern) for name, pattern in _CUES.items()}
    cuts = [*reading.boundaries(), len(turn.words)]
    yield from _share_side([_read(reading, amounts, cues, start, end) for start, end in pairwise(cuts) if end > start])
