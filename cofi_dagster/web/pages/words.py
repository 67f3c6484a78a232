"""How the pages write numbers, times and states: the templates' filters. No queries, no HTML beyond an element."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from markupsafe import Markup

from cofi_dagster.stages import BY_NAME

NOTHING = "–"
_TONES = {
    "good": ("complete", "completed", "verified", "client_window", "phone_window", "confirmed", "ready", "accepted"),
    "work": ("inprogress", "running", "processing", "queued"),
    "halt": ("paused", "repaired", "weak_same_day", "overridden", "skipped", "busy", "loading"),
    "bad": (
        "failed", "unverified", "cancelled", "wrong_quantity", "wrong_side", "price_outside", "not_discussed",
        "set aside", "unreachable", "unhealthy",
    ),
}  # fmt: skip
_TONE_OF = {word: tone for tone, words in _TONES.items() for word in words}


def count(value: float | None) -> str:
    """A whole number with separators: ``12,345``."""
    return NOTHING if value is None else f"{value:,.0f}"


def number(value: float | None, digits: int = 2) -> str:
    """A number without needless zeros: ``1,450.5``."""
    if value is None:
        return NOTHING
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def percent(value: float | None) -> str:
    """A share of 100 (not of 1): ``41 %``; neither 0 nor 100 unless it is."""
    if value is None:
        return NOTHING
    shown = min(max(round(value), 1 if value > 0 else 0), 99 if value < 100 else 100)
    return f"{shown} %"


def duration(seconds: float | None) -> str:
    """A length of time as a person says it: ``0.4 s``, ``45 s``, ``12 min``, ``3 h 5 min``, ``2 d 4 h``."""
    if seconds is None:
        return NOTHING
    if seconds < 10:
        return f"{max(seconds, 0.0):.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes // 1440} d {minutes % 1440 // 60} h"


def position(seconds: float | None) -> str:
    """A place in a recording: ``1:05.2``."""
    if seconds is None:
        return NOTHING
    minutes, rest = divmod(round(seconds, 1), 60)
    return f"{minutes:.0f}:{rest:04.1f}"


def when_in(zone: str) -> Callable[..., Markup]:
    """A filter that writes a time of the database's (UTC without zone) in this zone, as an HTML ``time``."""
    there = ZoneInfo(zone)

    def when(value: datetime | None, form: str = "%Y-%m-%d %H:%M:%S") -> Markup:
        if value is None:
            return Markup(NOTHING)
        aware = value.replace(tzinfo=UTC)
        exact = aware.isoformat(timespec="seconds")
        return Markup('<time datetime="{}" title="{}">{}</time>').format(
            exact, exact, aware.astimezone(there).strftime(form)
        )

    return when


def as_given(value: datetime | None, form: str = "%Y-%m-%d %H:%M:%S") -> str:
    """A time of a call or an order, as the files gave it."""
    return NOTHING if value is None else value.strftime(form)


def title_of(stage: str | None) -> str:
    """A stage's title."""
    return BY_NAME[stage].title if stage in BY_NAME else (stage or NOTHING)


def spaced(word: str | None) -> str:
    """A word of the database as a person reads it: ``wrong_quantity`` is ``wrong quantity``."""
    return (word or NOTHING).replace("_", " ")


def badge(word: str | None, shown: str | None = None) -> Markup:
    """A state as a badge; its tone comes from the word, which stands in it: colour is never the only sign."""
    tone = _TONE_OF.get((word or "").lower(), "none")
    return Markup('<span class="badge {}">{}</span>').format(tone, shown or spaced(word))


def filters(zone: str) -> dict[str, Callable[..., Any]]:
    """All filters, for times in this zone."""
    return {
        "count": count,
        "number": number,
        "percent": percent,
        "duration": duration,
        "position": position,
        "when": when_in(zone),
        "as_given": as_given,
        "title_of": title_of,
        "spaced": spaced,
        "badge": badge,
    }
