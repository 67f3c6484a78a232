"""Single values of a CSV as real systems write them: ids, numbers, sides, times. Nothing about files, rows or columns.

Sources: Indian digit grouping (``7,48,800``); ``BuySell`` codes 1 and 2 of exchange files (as FIX tag 54); day-first
dates, as Indian order books write them. Every reader takes the stripped text and gives None for an empty one.

Times: one with an offset (or ``Z``) is turned into UTC; one without stays as it is written, as its zone is not known.
The two files of a batch must therefore be written on one clock.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

_SIDES = {
    "B": "BUY", "BUY": "BUY", "BOUGHT": "BUY", "1": "BUY",
    "S": "SELL", "SELL": "SELL", "SOLD": "SELL", "2": "SELL",
}  # fmt: skip
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MARKET = frozenset({"", "MKT", "MARKET", "AT MARKET"})
_RUINED_ID = re.compile(r"\d+(?:[.,]\d+)?[eE]\+\d+")
_GUARDED = re.compile(r'="?(.*?)"?')
_NUMBER = re.compile(r"[+-]?(?:\d+|\d{1,3}(?:,\d{3})+|\d{1,2}(?:,\d{2})*,\d{3})(?:\.\d*)?|[+-]?\.\d+")
_CLOCK = re.compile(r"(?:(\d+):)?(\d{1,2}):(\d{1,2}(?:\.\d+)?)")
_LOOSE_TIME = re.compile(
    r"(?:(?P<day>\d{1,2})[-/. ](?P<month>\d{1,2}|[A-Za-z]{3,9})[-/., ]+(?P<year>\d{4})"
    r"|(?P<year_first>\d{4})[-/.](?P<month_second>\d{1,2})[-/.](?P<day_last>\d{1,2}))"
    r"(?:[ T,]+(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.:](?P<fraction>\d{1,6})\d*)?)?"
    r"(?: ?(?P<half>[AaPp])\.?[Mm]\.?)?)?",
)


class BadValue(ValueError):
    """A value cannot be read; the message goes on from the column's name."""


def text(value: str) -> str | None:
    """The text as given."""
    return value or None


def identifier(value: str) -> str | None:
    """An id as text, without the guards (``="12"``, ``'12``) that keep a spreadsheet from rounding it."""
    if value[:1] in "='":
        guarded = _GUARDED.fullmatch(value)
        value = (guarded[1] if guarded else value[1:]).strip()
    if _RUINED_ID.fullmatch(value):
        raise BadValue(f"'{value}' was rounded by a spreadsheet: the id is lost")
    return value or None


def _number(value: str) -> float:
    bare = re.sub(r"^(?:₹|INR|Rs\.?)\s*", "", value, flags=re.IGNORECASE)
    if not _NUMBER.fullmatch(bare):
        raise BadValue(f"'{value[:40]}' is not a number")
    number = float(bare.replace(",", ""))
    if number == float("inf"):
        raise BadValue("is too large")
    return number


def quantity(value: str) -> float | None:
    """A number of shares or lots, above zero."""
    if not value:
        return None
    number = _number(value)
    if number <= 0:
        raise BadValue(f"'{value[:40]}' is not above zero")
    return number


def price(value: str) -> float | None:
    """A price; None at market, which order books write as empty, as 0 or in words."""
    if value.upper() in _MARKET:
        return None
    number = _number(value)
    if number < 0:
        raise BadValue(f"'{value[:40]}' is below zero")
    return number or None


def duration(value: str) -> float | None:
    """Seconds, from seconds or ``[hh:]mm:ss``."""
    if not value:
        return None
    if clock := _CLOCK.fullmatch(value):
        hours, minutes, seconds = clock.groups()
        return int(hours or 0) * 3600 + int(minutes) * 60 + float(seconds)
    number = _number(value)
    if number < 0:
        raise BadValue(f"'{value[:40]}' is below zero")
    return number


def side(value: str) -> str | None:
    """``BUY`` or ``SELL``."""
    if not value:
        return None
    try:
        return _SIDES[value.upper()]
    except KeyError:
        raise BadValue(f"'{value[:40]}' is neither BUY nor SELL") from None


@lru_cache(maxsize=1 << 16)
def moment(value: str) -> datetime | None:
    """A naive time: UTC where the text had an offset, as written otherwise. A date alone is its midnight."""
    if not value:
        return None
    try:
        read = _iso_time(value) or _loose_time(value)
        return read.astimezone(UTC).replace(tzinfo=None) if read.tzinfo else read
    except (ValueError, OverflowError):
        raise BadValue(f"'{value[:40]}' is not a time (ISO or DD-MM-YYYY HH:MM:SS)") from None


def _iso_time(value: str) -> datetime | None:
    try:
        return datetime.fromisoformat(value) if value[4:5] == "-" else None
    except ValueError:
        return None


def _loose_time(value: str) -> datetime:
    """Day-first dates and times without leading zeros, in 12 or 24 hours; the month as a number or in English."""
    match = _LOOSE_TIME.fullmatch(value)
    if not match:
        raise ValueError(value)
    part = match.groupdict()
    month = part["month_second"] or part["month"] or ""
    number = int(month) if month.isdigit() else _MONTHS.index(month[:3].lower()) + 1
    hour = int(part["hour"] or 0)
    if part["half"]:
        if not 1 <= hour <= 12:
            raise ValueError(hour)
        hour = hour % 12 + (12 if part["half"] in "Pp" else 0)
    return datetime(
        int(part["year_first"] or part["year"] or 0),
        number,
        int(part["day_last"] or part["day"] or 0),
        hour,
        int(part["minute"] or 0),
        int(part["second"] or 0),
        int((part["fraction"] or "0").ljust(6, "0")),
    )


class Doubtful(Exception):
    """A value that says less than its column needs: the row is kept with ``value``, and the doubt is noted."""

    def __init__(self, value: Any, note: str) -> None:
        super().__init__(note)
        self.value = value


def call_start(value: str) -> datetime | None:
    """When a call began; a date alone gives nothing, or the call would be evidence for every order of its day."""
    start = moment(value)
    if value and ":" not in value:
        raise Doubtful(None, "has no time of day: left empty, as midnight would precede every order")
    return start


def order_time(value: str) -> datetime | None:
    """When the order was entered; a date alone is noted, as its midnight is not what the export meant."""
    entered = moment(value)
    if value and ":" not in value:
        raise Doubtful(entered, "has no time of day: read as midnight, which no call of that day precedes")
    return entered
