"""How alike an executed symbol and a spoken scrip are. Only names: sides, quantities and prices are in ``content``."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from functools import cache, lru_cache
from importlib import resources

from rapidfuzz import fuzz

from cofi_dagster.triage.symbols import load_symbols

SAME_SCRIP = 0.8
"""From this similarity on, two names are taken for the same scrip."""

_SERIES = re.compile(r"(?:[-\s](?:EQ|BE|BZ|BL|SM|ST)|\.(?:NS|BO|NSE|BSE))$")
_COMPANY = re.compile(r"\b(?:limited|ltd|company|corporation|corp|shares?|stocks?|scrip)\b\.?", re.IGNORECASE)
_CONTRACT = re.compile(r"([A-Z][A-Z&-]*?)[\s-]*\d{2}[A-Z0-9.\s]*?(FUT|CE|PE)$")
_CONTRACT_WORDS = re.compile(
    r"\b(?:futures?|fut|options?|calls?|puts?|ce|pe|weekly|monthly|expiry|strike|\d+|jan(?:uary)?|feb(?:ruary)?"
    r"|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sep(?:tember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\b",
    re.IGNORECASE,
)
_OTHER_OPTION = {
    "CE": re.compile(r"\b(?:puts?|pe)\b", re.IGNORECASE),
    "PE": re.compile(r"\b(?:calls?|ce)\b", re.IGNORECASE),
}
_CONTRACT_SHARE = 0.9
_NOT_NAME = re.compile(r"[\W_]+")


@lru_cache(maxsize=1 << 16)
def similarity(executed: str, said: str) -> float:
    """From 0 to 1, by synonyms first and spelling then.

    Exchange suffixes (``-EQ``, ``.NS``) and words such as "limited" count for nothing. A name that is known for another
    scrip, or is spelt more like another one, is 0, however alike the letters are (HDFC Life is not HDFC Bank). Of a
    future or option (``NIFTY26JAN23500CE``) the underlying is compared, not expiry and strike; and a call is no put.
    """
    symbol = _SERIES.sub("", executed.strip().upper())
    spoken = _COMPANY.sub(" ", _SERIES.sub("", said.strip().upper())).strip()
    if not symbol or not spoken:
        return 0.0
    if _compact(symbol) == _compact(spoken):
        return 1.0
    if contract := _CONTRACT.fullmatch(symbol):
        return _of_contract(contract[1], contract[2], spoken)
    named = load_symbols().resolve(spoken)
    if named is not None:
        return 1.0 if named == (load_symbols().resolve(symbol) or symbol) else 0.0
    own = _likeness(spoken, (symbol, *_names().get(symbol, ())))
    rival = max(
        (_likeness(spoken, (other, *names)) for other, names in _names().items() if other != symbol), default=0.0
    )
    return own if own > rival else 0.0


def _of_contract(underlying: str, kind: str, spoken: str) -> float:
    if kind in _OTHER_OPTION and _OTHER_OPTION[kind].search(spoken):
        return 0.0
    return _CONTRACT_SHARE * similarity(underlying, _CONTRACT_WORDS.sub(" ", spoken))


def _likeness(spoken: str, names: tuple[str, ...]) -> float:
    return max(fuzz.ratio(_compact(spoken), _compact(name)) for name in names) / 100


@lru_cache(maxsize=1 << 16)
def _compact(name: str) -> str:
    return _NOT_NAME.sub("", name).casefold()


@cache
def _names() -> Mapping[str, tuple[str, ...]]:
    names: dict[str, tuple[str, ...]] = {}
    text = (resources.files("cofi_dagster.triage") / "symbols.csv").read_text(encoding="utf-8-sig")
    for row in csv.DictReader(text.splitlines()):
        names[row["symbol"]] = (*names.get(row["symbol"], ()), row["spoken"])
    return names
