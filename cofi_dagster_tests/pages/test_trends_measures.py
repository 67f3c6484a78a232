"""What trends say: medians, and changes only where they are more than chance."""

from __future__ import annotations

import random
from datetime import date, datetime, timedelta

import pytest

from cofi_dagster.web.pages.trends_history import Batch, Took
from cofi_dagster.web.pages.trends_measures import (
    Change,
    Measure,
    compare,
    due_batches,
    quantile,
    rank_difference,
    series,
    shown,
    slots,
)

DAY = date(2026, 3, 2)
NOON = datetime(2026, 3, 2, 12)


def batch(seconds: float, *, after: int = 0, status: str = "Completed", ended: datetime | None = NOON) -> Batch:
    day = DAY + timedelta(days=after)
    stages = {"stt": Took(seconds, 100, 3600.0)}
    return Batch(1, f"{day}_1", day, "batch", status, 100, NOON - timedelta(hours=6), NOON, ended, stages)


def change(a: list[float], b: list[float]) -> Change:
    (one,) = compare([batch(s) for s in a], [batch(s) for s in b], Measure.FILE)
    return one.change


def test_the_same_stage_is_called_changed_by_chance_once_in_a_hundred_times() -> None:
    chance = random.Random(1)
    for few in (5, 12):
        pairs = [[[chance.lognormvariate(0, 0.3) for _ in range(few)] for _ in "ab"] for _ in range(1000)]
        marked = sum(change(a, b) is not Change.SAME for a, b in pairs)
        assert marked < 18, few


def test_a_change_is_marked_where_it_is_clear_and_large_enough() -> None:
    chance = random.Random(2)
    before = [10 * chance.lognormvariate(0, 0.1) for _ in range(15)]
    assert change(before, [1.3 * one for one in before]) is Change.SLOWER
    assert change(before, [0.7 * one for one in before]) is Change.FASTER
    assert change([10.0] * 15, [10.2] * 15) is Change.SAME
    assert change([10.0] * 4, [20.0] * 15) is Change.TOO_FEW
    assert change([10.0] * 5, [20.0] * 5) is Change.SLOWER
    assert change([0.0] * 5, [20.0] * 5) is Change.TOO_FEW


def test_ranks_are_compared_as_mann_and_whitney_do() -> None:
    assert rank_difference([1, 2, 3, 4, 5], [6, 7, 8, 9, 10]) == pytest.approx(2.6112, abs=1e-4)
    assert rank_difference([6, 7, 8, 9, 10], [1, 2, 3, 4, 5]) == pytest.approx(-2.6112, abs=1e-4)
    assert rank_difference([1, 2, 2, 3], [2, 3, 3, 4]) == pytest.approx(1.5174, abs=1e-4)
    assert rank_difference([7.0] * 5, [7.0] * 5) == 0.0


def test_a_few_batches_are_points_and_many_are_days() -> None:
    few = [batch(200.0 + number, after=number // 2) for number in range(4)]
    grain, found = slots(few)
    assert (grain, len(found)) == ("batch", 4)
    assert [slot.at.hour for slot in found] == [0, 12, 0, 12]
    grain, found = slots([batch(100.0 * (1 + number % 3), after=number // 3) for number in range(90)])
    points = series(found, "stt", Measure.FILE)
    assert (grain, len(points)) == ("day", 30)
    assert (points[0].low, points[0].middle, points[0].high, points[0].batches) == (1.5, 2.0, 2.5, 3)
    assert series(found, "llm1", Measure.FILE) == []


def test_a_batch_is_late_when_it_ended_too_late_or_has_not_ended() -> None:
    in_time, late = batch(1, ended=NOON), batch(1, ended=NOON + timedelta(hours=3))
    failed, cancelled = batch(1, status="Failed"), batch(1, status="Cancelled")
    found = due_batches([in_time, late, failed, cancelled], "19:00", "Asia/Kolkata", NOON + timedelta(hours=9))
    assert [(one.batch.status, one.late_seconds / 3600) for one in found if one.is_late] == [
        ("Completed", 1.5), ("Failed", 7.5),
    ]  # fmt: skip
    assert len(found) == 3
    assert len(due_batches([failed], "19:00", "Asia/Kolkata", NOON)) == 0


def test_figures_have_three_digits_that_count() -> None:
    assert [shown(one) for one in (None, 0.0, 0.00312345, 0.5, 12.345, 12345.6)] == [
        "–", "0", "0.00312", "0.500", "12.3", "12,346",
    ]  # fmt: skip
    assert quantile([1.0, 2.0, 4.0], 0.75) == 3.0
