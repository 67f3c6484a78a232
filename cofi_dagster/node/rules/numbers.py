"""Numbers as they are spoken on a dealing desk: English, Hindi and Hinglish, in Indian grouping. Values only.

What a number means (a quantity, a price, a client code) is for ``extract`` to say. The words are data, in
``number_words.csv``: one row per value, with the common spellings in both scripts.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources

_DEVANAGARI_DIGITS = str.maketrans("०१२३४५६७८९", "0123456789")
_LITERAL = re.compile(r"(?:rs\.?|inr|₹|@)?(\d[\d,]*(?:\.\d+)?)(k)?(?:/-)?")
_PUNCTUATION = ".,;:?!।\"'()“”…"
_ENDS_NUMBER = frozenset(".,;:?!।")
_REPEAT = {"double": 2, "triple": 3, "डबल": 2}
_POINT = frozenset({"point", "dashamlav", "दशमलव", "पॉइंट"})
_JOIN = frozenset({"and", "aur", "और"})
_MERGE_LIMIT = 100


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_AMBIGUOUS = _words(
    "do teen tera saath sath saw sou oh nil half aadha sat us das char six pone bara one saat ek एक दो साथ आधा छ"
)
"""Words that mean something else as often: alone they are a number only where the words beside them say so."""

_ONLY_WITH_NUMBERS = _words("do दो tera saath sath saw sou oh nil half aadha sat us pone bara ek एक साथ आधा छ")
"""Of these, the ones that alone are a number only before something that is counted."""

_COUNTED = _words("share shares lot lots quantity qty stock stocks rupees rupaye rupay point शेयर शेयरों रुपये लॉट")

_NOT_AFTER = {
    "do": _words(
        "kar bech de le lele kharid khareed daal dal bana likh rakh laga bata hata nikal rehne hone jane jaane i we "
        "you can could to please must ok okay karwa dekh chhod"
    ),
    "दो": _words("कर बेच दे ले खरीद डाल बना लिख रख लगा बता हटा निकाल रहने होने जाने करवा देख छोड़"),
    "one": _words("this that the which next last another other any no each every only first second new same good"),
    "saath": _words("ke mere aapke uske"),
    "sath": _words("ke mere aapke uske"),
    "half": _words("the other"),
    "teen": _words("a"),
    "sat": _words("i he she"),
    "saw": _words("i we you he she they"),
}
"""Words that are no number after these: ``bech do`` is "sell it", not two of anything."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number in a list of words: its value, and the words ``start`` to ``end`` (exclusive) that say it."""

    value: float
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Token:
    """What a word can do in a number. ``kind`` is a kind of ``number_words.csv``, ``literal``, or one of the joints."""

    kind: str
    value: float = 0.0
    stops: bool = False


_SPELLINGS = (
    *(("aa", "a"), ("ee", "i"), ("ii", "i"), ("oo", "u")),
    *(("w", "v"), ("z", "j"), ("chh", "ch"), ("chch", "ch")),
)


def _romanised(word: str) -> str:
    """One spelling for the many of a romanised Hindi word: long vowels, doubled consonants, w/v, z/j, a silent h."""
    for old, new in (
        ("aa", "a"),
        ("ee", "i"),
        ("ii", "i"),
        ("oo", "u"),
        ("w", "v"),
        ("z", "j"),
        ("chh", "ch"),
        ("chch", "ch"),
    ):
        word = word.replace(old, new)
    word = re.sub(r"(.)\1", r"\1", word)
    return word[:-1] if word.endswith("h") and len(word) > 4 else word


def _devanagari(word: str) -> str:
    """One spelling for the many of a Devanagari word: without nukta, and with one nasal sign."""
    return word.replace("\u093c", "").replace("\u0901", "\u0902")


def _key(word: str) -> str:
    return _romanised(word) if word.isascii() else _devanagari(word)


@cache
def _vocabulary() -> tuple[dict[str, _Token], dict[str, _Token]]:
    """The words as they are written in the table, and by the key under which their variants meet."""
    exact: dict[str, _Token] = {}
    by_key: dict[str, _Token] = {}
    table = resources.files("cofi_dagster.node.rules") / "number_words.csv"
    for row in csv.DictReader(table.read_text(encoding="utf-8").splitlines()):
        token = _Token(row["kind"], float(row["value"]))
        for word in row["words"].split():
            normal = unicodedata.normalize("NFC", word)
            exact.setdefault(normal, token)
            by_key.setdefault(_key(normal), token)
    return exact, by_key


def _literal(word: str) -> _Token | None:
    match = _LITERAL.fullmatch(word)
    if match is None:
        return None
    value = float(match[1].replace(",", "")) * (1000 if match[2] else 1)
    return _Token("digit" if len(word) == 1 else "literal", value)


@lru_cache(maxsize=8192)
def _token(raw: str) -> _Token | None:
    """What a word can do in a number, or None."""
    folded = unicodedata.normalize("NFC", raw).casefold().translate(_DEVANAGARI_DIGITS)
    word = folded.strip(_PUNCTUATION)
    if not word:
        return None
    found: _Token | None
    if word in _REPEAT:
        found = _Token("repeat", _REPEAT[word])
    elif word in _POINT:
        found = _Token("point")
    elif word in _JOIN:
        found = _Token("join")
    elif word[0].isdigit() or word[-1].isdigit():
        found = _literal(word)
    else:
        exact, by_key = _vocabulary()
        found = exact.get(word) or (by_key.get(_key(word)) if len(word) > 3 else None)
    if found is None:
        return None
    return _Token(found.kind, found.value, folded[-1] in _ENDS_NUMBER)


class _Reader:
    """Reads one number at a time from a list of tokens."""

    def __init__(self, tokens: Sequence[_Token | None]) -> None:
        self._tokens = tokens

    def _at(self, place: int, *kinds: str) -> _Token | None:
        """The token at a place, if it is of one of the kinds."""
        token = self._tokens[place] if 0 <= place < len(self._tokens) else None
        return token if token is not None and token.kind in kinds else None

    def _stopped(self, place: int) -> bool:
        """Whether the word before ``place`` carries a mark that ends a number."""
        token = self._tokens[place - 1] if place > 0 else None
        return token is not None and token.stops

    def _two_digits(self, place: int) -> tuple[int, int] | None:
        """A value from 10 to 99 in words: ``forty eight``, ``fourteen``, ``adtalis``."""
        token = self._at(place, "tens", "number")
        if token is None:
            return None
        unit = self._at(place + 1, "digit")
        if token.kind == "tens" and unit is not None and 1 <= unit.value <= 9 and not token.stops:
            return int(token.value + unit.value), place + 2
        return int(token.value), place + 1

    def _digits(self, place: int) -> tuple[str, int]:
        """Digits said one after the other: ``one zero zero``, ``double five``."""
        text = ""
        while True:
            repeat, times = self._at(place, "repeat"), 1
            if repeat is not None and self._at(place + 1, "digit"):
                place, times = place + 1, int(repeat.value)
            digit = self._at(place, "digit")
            if digit is None:
                return text, place
            text += str(int(digit.value)) * times
            place += 1
            if digit.stops:
                return text, place

    def _coefficient(self, place: int) -> tuple[float, int] | None:
        """What can stand before a scale, or alone: ``7``, ``forty eight``, ``two fifty``, ``saadhe teen``, ``dedh``."""
        plus = self._at(place, "plus")
        if plus is not None:
            inner = self._coefficient(place + 1)
            if inner is not None and not self._at(place + 1, "plus"):
                return inner[0] + plus.value, inner[1]
            base = 1.0 if self._at(place + 1, "scale") else 0.0
            return (base + plus.value, place + 1) if base else None
        token = self._at(place, "literal", "fraction")
        if token is not None:
            return token.value, place + 1
        half = self._at(place, "half")
        if half is not None:
            return (half.value, place + 1) if self._at(place + 1, "scale") else None
        digits, after = self._digits(place)
        if len(digits) > 1:
            return float(digits), after
        first = (int(digits), after) if digits else self._two_digits(place)
        return None if first is None else self._pair(*first)

    def _pair(self, value: int, place: int) -> tuple[float, int]:
        """Add the second half of ``fourteen fifty`` or ``two fifty`` or ``fourteen oh five`` to the first."""
        if self._stopped(place) or value == 0:
            return float(value), place
        second = self._two_digits(place)
        if second is not None and not self._hundred(second[1]):
            return float(value * 100 + second[0]), second[1]
        zero = self._at(place, "digit")
        if value >= 10 and zero is not None and zero.value == 0:
            digits, after = self._digits(place)
            if len(digits) == 2:
                return float(value * 100 + int(digits)), after
        return float(value), place

    def _hundred(self, place: int) -> bool:
        token = self._at(place, "scale")
        return token is not None and token.value == 100

    def _after_hundred(self, place: int) -> tuple[float, int] | None:
        """The tens and units after a hundred; ``two hundred | fourteen fifty`` is two numbers."""
        if self._stopped(place):
            return None
        start = place + 1 if self._at(place, "join") else place
        digit = self._at(start, "digit")
        found = (int(digit.value), start + 1) if digit else self._two_digits(start)
        if found is None:
            literal = self._at(start, "literal")
            if literal is None or literal.value >= _MERGE_LIMIT:
                return None
            return literal.value, start + 1
        if self._hundred(found[1]) or (not digit and self._two_digits(found[1]) and not self._stopped(found[1])):
            return None
        if digit and self._at(found[1], "digit") and not self._stopped(found[1]):
            return None
        return found

    def _group(self, place: int) -> tuple[float, int] | None:
        """A coefficient with its hundreds: ``two hundred and fifty``, ``hundred``, ``fourteen fifty``."""
        coefficient = self._coefficient(place)
        if coefficient is None:
            if not self._hundred(place):
                return None
            coefficient = (1.0, place)
        value, after = coefficient
        if not self._hundred(after) or (after > place and self._stopped(after)):
            return value, after
        value, after = value * 100, after + 1
        rest = self._after_hundred(after)
        return (value + rest[0], rest[1]) if rest else (value, after)

    def _point(self, value: float, place: int) -> tuple[float, int]:
        """The decimals after ``point``: ``point five``, ``point two five``, ``point seventy five``."""
        if not self._at(place, "point"):
            return value, place
        digits, after = self._digits(place + 1)
        if not digits:
            tens = self._two_digits(place + 1)
            literal = self._at(place + 1, "literal")
            if tens is not None:
                digits, after = str(tens[0]), tens[1]
            elif literal is not None and literal.value.is_integer():
                digits, after = str(int(literal.value)), place + 2
        return (float(f"{int(value)}.{digits}"), after) if digits and value.is_integer() else (value, place)

    def read(self, place: int) -> tuple[float, int] | None:
        """The number that begins at a place, and where it ends; None if none does."""
        total, limit, end = 0.0, float("inf"), place
        while True:
            start = end + 1 if limit < float("inf") and self._at(end, "join") else end
            group = self._group(start)
            bare = self._at(start, "scale") if group is None and end == place else None
            if group is None and bare is None:
                break
            value, after = group or (1.0, start)
            scale = self._at(after, "scale")
            if scale is None or scale.value == 100 or (after > start and self._stopped(after)):
                value, after = self._point(value, after)
                if value < limit:
                    total, end = total + value, after
                break
            if scale.value >= limit:
                break
            total, end, limit = total + value * scale.value, after + 1, scale.value
            while (more := self._at(end, "scale")) is not None and more.value > 100 and more.value > limit:
                total, end, limit = total * more.value, end + 1, more.value
            if self._tokens[end - 1] is not None and self._stops_hard(end - 1):
                break
        return (total, end) if end > place else None

    def _stops_hard(self, place: int) -> bool:
        """A scale's comma goes on (``seven lakh, forty thousand``) only where a smaller scale follows."""
        token = self._tokens[place]
        if token is None or not token.stops:
            return False
        group = self._group(place + 1)
        scale = self._at(group[1], "scale") if group else None
        return scale is None and not (group and token.value > group[0] >= 100)


def _plausible(words: Sequence[str], number: Number) -> bool:
    """Whether a lone ambiguous word is a number here: ``kar do`` and ``this one`` are not, ``do sau`` is."""
    if number.end - number.start > 1:
        return True
    word = words[number.start].casefold().strip(_PUNCTUATION)
    if word not in _AMBIGUOUS:
        return True
    before = words[number.start - 1].casefold().strip(_PUNCTUATION) if number.start else ""
    if before in _NOT_AFTER.get(word, frozenset()):
        return False
    after = words[number.end].casefold().strip(_PUNCTUATION) if number.end < len(words) else ""
    return word not in _ONLY_WITH_NUMBERS or after in _COUNTED


def find_numbers(words: Sequence[str]) -> list[Number]:
    """The numbers that a list of words says, from left to right, without overlap.

    A word may carry its punctuation, which ends a number. ``two fifty`` is 250 and ``fourteen fifty`` 1450, as
    prices and quantities are spoken; ``saat lakh adtalis hazaar aath sau`` is 748800.
    """
    tokens: list[_Token | None] = [_token(word) for word in words]
    for place, word in enumerate(words):
        if _is_auxiliary(words, place, word):
            tokens[place] = None
    reader = _Reader(tokens)
    numbers: list[Number] = []
    place = 0
    while place < len(words):
        found = reader.read(place) if tokens[place] is not None else None
        if found is None:
            place += 1
            continue
        number = Number(found[0], place, found[1])
        if _plausible(words, number):
            numbers.append(number)
        place = number.end
    return numbers


def _is_auxiliary(words: Sequence[str], place: int, word: str) -> bool:
    """``bech do`` and ``this one``: the word belongs to the one before it, whatever follows."""
    if place == 0:
        return False
    blocked = _NOT_AFTER.get(word.casefold().strip(_PUNCTUATION))
    return blocked is not None and words[place - 1].casefold().strip(_PUNCTUATION) in blocked
