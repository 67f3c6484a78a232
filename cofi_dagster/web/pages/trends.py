"""The page of trends: what stages took over the batches of a period, and whether that changed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel
from starlette.responses import Response

from cofi_dagster.stages import BY_NAME, STAGES
from cofi_dagster.web.pages import trends_figures as figures
from cofi_dagster.web.pages import trends_measures as measures
from cofi_dagster.web.pages.desk import Desk
from cofi_dagster.web.pages.trends_history import MOST_BATCHES, Batch, History
from cofi_dagster.web.pages.trends_measures import UNITS, Measure

_PERIODS = (30, 90, 365)
_MOST_LATE = 50


@dataclass(frozen=True, slots=True)
class Span:
    """Dates of batches, both included."""

    first: date
    last: date


class Chosen(BaseModel, frozen=True):
    """What is asked for, as the address's query; what makes no sense counts as not asked for."""

    days: str = ""
    first: str = ""
    last: str = ""
    kind: str = ""
    stage: str = ""
    measure: str = ""
    a_first: str = ""
    a_last: str = ""
    b_first: str = ""
    b_last: str = ""

    def span(self, today: date) -> Span:
        """The dates of the period: those given, else so many days up to today."""
        first, last = _date(self.first), _date(self.last)
        if first is None and last is None:
            days = int(self.days) if self.days in map(str, _PERIODS) else _PERIODS[1]
            return Span(today - timedelta(days=days - 1), today)
        last = last or max(today, first or today)
        return _ordered(first or last - timedelta(days=_PERIODS[1] - 1), last)

    def compared(self, whole: Span) -> tuple[Span, Span]:
        """The two periods that are compared: those given, else the halves of the whole."""
        middle = whole.first + (whole.last - whole.first) // 2
        a = _ordered(_date(self.a_first) or whole.first, _date(self.a_last) or middle)
        b = _ordered(_date(self.b_first) or middle + timedelta(days=1), _date(self.b_last) or whole.last)
        return a, b

    def known_kind(self) -> str:
        """``batch`` or ``upload``."""
        return "upload" if self.kind == "upload" else "batch"

    def known_measure(self) -> Measure:
        """What of the stages is followed."""
        return Measure(self.measure) if self.measure in set(Measure) else Measure.FILE


def routes(desk: Desk) -> APIRouter:
    """``/cofi/trends``."""
    router = APIRouter()
    history = History(desk.engine)
    zone = desk.settings.time_zone

    @router.get("/cofi/trends")
    def page(request: Request, chosen: Annotated[Chosen, Query()]) -> Response:
        """The whole page."""
        now = datetime.now(UTC)
        return desk.show(request, "trends.html", page="trends", **context(chosen, now))

    def context(chosen: Chosen, now: datetime) -> dict[str, Any]:
        kind, span = chosen.known_kind(), chosen.span(now.astimezone(ZoneInfo(zone)).date())
        found = history.batches(span.first, span.last, kind)
        over = [batch for batch in found if batch.is_completed]
        return {
            "chosen": chosen,
            "kind": kind,
            "span": span,
            "periods": _PERIODS,
            "measures": UNITS,
            "stages": STAGES,
            "shown": measures.shown,
            "batches": over,
            "newest": history.newest(kind) if not over else None,
            "is_cut": len(found) == MOST_BATCHES,
            "most": MOST_BATCHES,
            "facts": _facts(over),
            **_over_time(over, chosen),
            **_shares(over),
            **_comparison(history, chosen, span),
            **_in_time(desk, found, kind, now.replace(tzinfo=None)),
        }

    return router


def _facts(batches: Sequence[Batch]) -> dict[str, float | None]:
    seconds = sorted(batch.seconds for batch in batches if batch.seconds is not None)
    heard = [max((took.audio or 0.0 for took in batch.stages.values()), default=0.0) for batch in batches]
    return {
        "batches": len(batches),
        "files": sum(batch.files for batch in batches),
        "hours": math.fsum(heard) / 3600 or None,
        "median": measures.quantile(seconds, 0.5) if seconds else None,
    }


def _over_time(batches: Sequence[Batch], chosen: Chosen) -> dict[str, Any]:
    measure = chosen.known_measure()
    grain, slots = measures.slots(batches)
    names = [chosen.stage] if chosen.stage in BY_NAME else list(BY_NAME)
    series = {name: points for name in names if (points := measures.series(slots, name, measure))}
    drawn, is_wide = None, False
    if series and len(names) == 1:
        drawn = figures.one_line(names[0], series[names[0]], UNITS[measure])
    elif series:
        drawn, is_wide = figures.lines(series, UNITS[measure])
    by_slot = {name: {point.label: point for point in points} for name, points in series.items()}
    return {
        "measure": measure,
        "unit": UNITS[measure],
        "grain": grain,
        "drawn_lines": drawn,
        "is_wide": is_wide,
        "single": len(names) == 1,
        "series": by_slot,
        "slots": slots,
    }


def _shares(batches: Sequence[Batch]) -> dict[str, Any]:
    parts, classes = measures.parts(batches), measures.by_size(batches)
    return {
        "parts": parts,
        "drawn_parts": figures.shares(parts) if parts else None,
        "classes": classes,
        "drawn_classes": figures.sizes(classes) if classes else None,
    }


def _comparison(history: History, chosen: Chosen, whole: Span) -> dict[str, Any]:
    a, b = chosen.compared(whole)
    kind = chosen.known_kind()
    before, after = (
        [batch for batch in history.batches(span.first, span.last, kind) if batch.is_completed] for span in (a, b)
    )
    return {
        "a": a,
        "b": b,
        "compared": measures.compare(before, after, chosen.known_measure()),
        "in_a": len(before),
        "in_b": len(after),
        "enough": measures.ENOUGH,
        "least_change": 100 * measures.LEAST_CHANGE,
    }


def _in_time(desk: Desk, batches: Sequence[Batch], kind: str, now: datetime) -> dict[str, Any]:
    """What of the batches was completed by the time of day that the settings name; uploads have none."""
    done_by = desk.settings.alert_done_by
    due = measures.due_batches(batches, done_by, desk.settings.time_zone, now) if done_by and kind == "batch" else []
    late = [one for one in due if one.is_late]
    return {
        "done_by": done_by,
        "due": due,
        "late": sorted(late, key=lambda one: (one.due, one.batch.id), reverse=True)[:_MOST_LATE],
        "late_count": len(late),
        "in_time_share": 100 * (len(due) - len(late)) / len(due) if due else None,
    }


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _ordered(first: date, last: date) -> Span:
    return Span(min(first, last), max(first, last))
