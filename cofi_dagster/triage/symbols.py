"""The names under which scrips are spoken, and finding them in a recogniser's words. No matching of trades here.

The names are data: ``symbols.csv`` (symbol, spoken, pronunciation) and ``symbols_devanagari.csv``. A name that is not
in them is never invented: a near miss counts only where one letter or two differ and no other scrip is as near.
"""

from __future__ import annotations

import csv
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

from rapidfuzz.distance import OSA

_TABLES = ("symbols.csv", "symbols_devanagari.csv")
_PUNCTUATION = ".,;:?!।\"'()“”…"
_FUZZY_MIN_LENGTH = 5
_TWO_EDITS_LENGTH = 9
_EVERYDAY = (
    "market price rates rupees share shares quantity total limit title entire india indian bank power steel motors "
    "state bharti mahindra bajaj hindustan clear class relation remain relief native nested listen mature matter "
    "lucky people simple single signal couple triple within without"
)
_COMMON = frozenset(_EVERYDAY.split())
"""Everyday words that lie near a name: alone they are never taken for a misheard one."""


@dataclass(frozen=True, slots=True)
class SymbolMatch:
    """A scrip in a list of words: ``start`` to ``end`` (exclusive). ``score``: 1 for an exact name, else less."""

    symbol: str
    start: int
    end: int
    score: float


def _compact(words: Iterable[str]) -> str:
    """Words as one string to compare by, so that ``t c s``, ``TCS`` and ``tcs`` are one."""
    text = unicodedata.normalize("NFC", "".join(words)).casefold().replace("\u093c", "")
    return "".join(char for char in text if unicodedata.category(char)[0] in "LMN" or char == "&")


class Symbols:
    """The scrips that are known, by the names under which they are spoken."""

    def __init__(self, names: Iterable[tuple[str, str]]) -> None:
        """Args: names: pairs of a symbol and a way to say it. The first to claim a name keeps it."""
        self._by_name: dict[str, str] = {}
        self._longest = 1
        for symbol, spoken in names:
            for name in (spoken, symbol):
                self._by_name.setdefault(_compact(name.split()), symbol)
            self._longest = max(self._longest, len(spoken.split()), min(len(_compact([symbol])), 6))
        self._by_initial: dict[str, list[str]] = {}
        for name in self._by_name:
            if len(name) >= _FUZZY_MIN_LENGTH:
                self._by_initial.setdefault(name[0], []).append(name)

    def __len__(self) -> int:
        return len(set(self._by_name.values()))

    def resolve(self, text: str) -> str | None:
        """The symbol of a name that stands alone (``Reliance Industries``, ``infy``), or None."""
        words = text.split()
        name = _compact(words)
        return self._by_name.get(name) or (self._near(name, words) or (None, 0.0))[0]

    def find(self, words: Sequence[str]) -> list[SymbolMatch]:
        """The scrips that a list of words names, from left to right: longest names first, exact before near."""
        plain = [word.strip(_PUNCTUATION) for word in words]
        taken = [False] * len(words)
        found: list[SymbolMatch] = []
        for exact in (True, False):
            longest = self._longest if exact else 3
            for length in range(min(longest, len(words)), 0, -1):
                for start in range(len(words) - length + 1):
                    window = slice(start, start + length)
                    if any(taken[window]) or not all(plain[window]):
                        continue
                    name = _compact(plain[window])
                    hit = (self._by_name.get(name), 1.0) if exact else self._near(name, plain[window])
                    if hit is None or hit[0] is None:
                        continue
                    found.append(SymbolMatch(hit[0], start, start + length, hit[1]))
                    taken[window] = [True] * length
        return sorted(found, key=lambda match: match.start)

    def _near(self, name: str, words: Sequence[str]) -> tuple[str, float] | None:
        """The one scrip whose name is a letter or two away from what was heard."""
        if len(name) < _FUZZY_MIN_LENGTH or not name.isascii() or any(word.casefold() in _COMMON for word in words):
            return None
        best: tuple[int, str, str] | None = None
        rivals = False
        for known in self._by_initial.get(name[0], ()):
            allowed = 2 if len(known) >= _TWO_EDITS_LENGTH else 1
            edits = OSA.distance(name, known, score_cutoff=allowed)
            if edits > allowed:
                continue
            symbol = self._by_name[known]
            if best is None or edits < best[0]:
                best, rivals = (edits, symbol, known), False
            elif edits == best[0] and symbol != best[1]:
                rivals = True
        if best is None or rivals:
            return None
        return best[1], 1 - best[0] / len(best[2])


@cache
def load_symbols() -> Symbols:
    """The scrips of the packaged tables. Rows without symbol or name are passed over, as are missing tables."""
    names = []
    for table in _TABLES:
        file = resources.files("cofi_dagster.triage") / table
        if file.is_file():
            for row in csv.DictReader(file.read_text(encoding="utf-8-sig").splitlines()):
                symbol, spoken = (row.get("symbol") or "").strip(), (row.get("spoken") or "").strip()
                if symbol and spoken:
                    names.append((symbol, spoken))
    return Symbols(names)
