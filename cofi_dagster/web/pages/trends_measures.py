"""What trends are: medians over batches, shares of stages, classes of size, two periods compared, what was late.

Pure functions over batches; nothing is read or drawn here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

from cofi_dagster.alerts.rules import due_at
from cofi_dagster.pipeline.status import CANCELLED
from cofi_dagster.stages import STAGES, Stage
from cofi_dagster.web.pages.trends_history import Batch, Took

ENOUGH = 5
"""Batches that a period must have before its figures are compared: of fewer no order is beyond chance."""
CHANCE_Z = 2.576
"""What a difference of ranks goes beyond once in a hundred times by chance (two-sided)."""
LEAST_CHANGE = 0.05
"""A smaller change is not worth a mark, however certain it is."""
_DRAWN_SINGLY = 60
_DRAWN_BY_DAY = 120
SIZES = ((1, 100), (101, 1000), (1001, 5000), (5001, None))
"""The classes of a batch's files (seed 000, step 6, query 5)."""


class Measure(StrEnum):
    """What of a stage is followed."""

    FILE = "file"
    AUDIO = "audio"
    WHOLE = "whole"


UNITS: Mapping[Measure, str] = {
    Measure.FILE: "seconds per file",
    Measure.AUDIO: "seconds per hour of audio",
    Measure.WHOLE: "seconds for the batch",
}


def value(took: Took | None, measure: Measure) -> float | None:
    """A stage's figure, or None where it has none: no file, or no audio known."""
    if took is None:
        return None
    if measure is Measure.WHOLE:
        return took.seconds
    amount = took.files if measure is Measure.FILE else (took.audio or 0.0) / 3600
    return took.seconds / amount if amount else None


def quantile(ordered: Sequence[float], share: float) -> float:
    """Of values in order, between the two next to it."""
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


# -- over time -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Point:
    """A batch, or the batches of a day or week: the median of a stage's figures, and the middle half of them."""

    at: datetime
    label: str
    middle: float
    low: float
    high: float
    batches: int


@dataclass(frozen=True, slots=True)
class Slot:
    """What is drawn as one point: where, how it is called, and its batches."""

    at: datetime
    label: str
    batches: Sequence[Batch]


def slots(batches: Sequence[Batch]) -> tuple[str, list[Slot]]:
    """Batches one by one while they are few, else by day, else by week; the word for it."""
    days: dict[date, list[Batch]] = {}
    for batch in batches:
        days.setdefault(batch.day, []).append(batch)
    if len(batches) <= _DRAWN_SINGLY:
        return "batch", [slot for day, its in sorted(days.items()) for slot in _single(day, its)]
    if len(days) <= _DRAWN_BY_DAY:
        return "day", [Slot(_midnight(day), day.isoformat(), its) for day, its in sorted(days.items())]
    weeks: dict[date, list[Batch]] = {}
    for day, its in sorted(days.items()):
        weeks.setdefault(day - timedelta(days=day.weekday()), []).extend(its)
    return "week", [Slot(_midnight(day), f"week of {day.isoformat()}", its) for day, its in weeks.items()]


def _single(day: date, batches: Sequence[Batch]) -> list[Slot]:
    """The batches of a day, one after the other over the day."""
    step = timedelta(days=1) / len(batches)
    return [Slot(_midnight(day) + step * place, one.key, [one]) for place, one in enumerate(batches)]


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day)


def series(found: Iterable[Slot], stage: str, measure: Measure) -> list[Point]:
    """A stage's points; a slot none of whose batches has a figure is left out."""
    points = []
    for slot in found:
        values = values_of(slot.batches, stage, measure)
        if values:
            low, middle, high = (quantile(values, share) for share in (0.25, 0.5, 0.75))
            points.append(Point(slot.at, slot.label, middle, low, high, len(values)))
    return points


def values_of(batches: Iterable[Batch], stage: str, measure: Measure) -> list[float]:
    """A stage's figures in order of size."""
    found = (value(batch.stages.get(stage), measure) for batch in batches)
    return sorted(one for one in found if one is not None)


# -- where the time goes ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Part:
    """A stage's part of the time: mean seconds of a batch, share of all stages' in percent, batches that ran it."""

    stage: Stage
    mean: float
    share: float
    batches: int


def parts(batches: Sequence[Batch]) -> list[Part]:
    """The stages that ran, the slowest first (seed 000, step 6, query 3)."""
    seconds = {stage.name: values_of(batches, stage.name, Measure.WHOLE) for stage in STAGES}
    whole = math.fsum(math.fsum(values) for values in seconds.values()) or 1.0
    found = [
        Part(stage, math.fsum(its) / len(its), 100 * math.fsum(its) / whole, len(its))
        for stage in STAGES
        if (its := seconds[stage.name])
    ]
    return sorted(found, key=lambda part: -part.mean)


@dataclass(frozen=True, slots=True)
class SizeClass:
    """Batches of a class of size: mean, shortest and longest minutes from the first start to the last end."""

    label: str
    batches: int
    mean: float
    least: float
    most: float


def by_size(batches: Sequence[Batch]) -> list[SizeClass]:
    """The classes that have batches, the smallest first (seed 000, step 6, query 5)."""
    found = []
    for first, last in SIZES:
        minutes = [
            one.seconds / 60
            for one in batches
            if one.seconds is not None and max(one.files, 1) >= first and (last is None or one.files <= last)
        ]
        if minutes:
            label = f"{first:,}–{last:,}" if last else f"{first:,} or more"
            mean = math.fsum(minutes) / len(minutes)
            found.append(SizeClass(label, len(minutes), mean, min(minutes), max(minutes)))
    return found


# -- before and after ------------------------------------------------------------------------------------------------


class Change(StrEnum):
    """What two periods say of a stage."""

    FASTER = "faster"
    SLOWER = "slower"
    SAME = "no clear change"
    TOO_FEW = "too few batches"


@dataclass(frozen=True, slots=True)
class Comparison:
    """A stage in two periods: medians, how many batches each, the change in percent of the first's median."""

    stage: Stage
    before: float | None
    after: float | None
    batches: tuple[int, int]
    percent: float | None
    change: Change


def compare(before: Sequence[Batch], after: Sequence[Batch], measure: Measure) -> list[Comparison]:
    """The stages that ran in one of two periods."""
    found = []
    for stage in STAGES:
        a, b = (values_of(batches, stage.name, measure) for batches in (before, after))
        if a or b:
            found.append(_compared(stage, a, b))
    return found


def _compared(stage: Stage, a: Sequence[float], b: Sequence[float]) -> Comparison:
    middle_a, middle_b = (quantile(values, 0.5) if values else None for values in (a, b))
    percent = 100 * (middle_b / middle_a - 1) if middle_a and middle_b is not None else None
    return Comparison(stage, middle_a, middle_b, (len(a), len(b)), percent, _change(a, b, percent))


def _change(a: Sequence[float], b: Sequence[float], percent: float | None) -> Change:
    if min(len(a), len(b)) < ENOUGH or percent is None:
        return Change.TOO_FEW
    if abs(percent) < 100 * LEAST_CHANGE or abs(rank_difference(a, b)) < CHANCE_Z:
        return Change.SAME
    return Change.SLOWER if percent > 0 else Change.FASTER


def rank_difference(a: Sequence[float], b: Sequence[float]) -> float:
    """The test of Mann and Whitney (1947): how far the ranks of ``b`` are above those of ``a``, as a normal deviate.

    With the correction for ties; 0 where all values are the same.
    """
    together = sorted((value, place) for place, values in enumerate((a, b)) for value in values)
    ranks_of_b, ties, at = 0.0, 0.0, 0
    while at < len(together):
        end = at
        while end < len(together) and together[end][0] == together[at][0]:
            end += 1
        count = end - at
        ranks_of_b += (at + end + 1) / 2 * sum(place for _, place in together[at:end])
        ties += count**3 - count
        at = end
    n, m, size = len(a), len(b), len(together)
    variance = n * m / 12 * (size + 1 - ties / (size * (size - 1)))
    if variance <= 0:
        return 0.0
    return (ranks_of_b - m * (m + 1) / 2 - n * m / 2) / math.sqrt(variance)


# -- the time that was agreed ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Due:
    """A batch that was due: by when (UTC), when it was completed or None, and whether that was in time."""

    batch: Batch
    due: datetime
    completed: datetime | None
    late_seconds: float

    @property
    def is_late(self) -> bool:
        """Whether it was completed too late, or is not completed though it is due."""
        return self.late_seconds > 0


def due_batches(batches: Iterable[Batch], done_by: str, zone: str, now: datetime) -> list[Due]:
    """The batches whose time has come, or that are completed; ``now`` and all times are UTC without zone."""
    found = []
    for batch in batches:
        if batch.created is None or batch.status == CANCELLED:
            continue
        due = due_at(batch.created, done_by, zone)
        completed = batch.ended if batch.is_completed else None
        if completed is not None or now > due:
            found.append(Due(batch, due, completed, ((completed or now) - due).total_seconds()))
    return found


def shown(number: float | None) -> str:
    """A figure with three digits that count."""
    if number is None:
        return "–"
    if number == 0 or abs(number) >= 100:
        return f"{number:,.0f}"
    digits = max(0, 2 - math.floor(math.log10(abs(number))))
    return f"{number:.{min(digits, 6)}f}"
