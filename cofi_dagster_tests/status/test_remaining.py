"""Time remaining: by the running stage's own requests, and by similar batches; nothing where nothing is known."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from cofi_dagster.database import tables as t
from cofi_dagster.database.engine import reading
from cofi_dagster.pipeline.pace import Pace
from cofi_dagster.pipeline.remaining import Estimate, estimate
from cofi_dagster.stages import STAGES
from cofi_dagster_tests.pipeline.site import Site

Opening = Callable[..., Site]
MACHINES_AT_ONCE = 16
START = datetime(2026, 1, 15, 20)


def replay(seconds_of: Callable[[float], float], files: int = 2000) -> list[float]:
    """A stage as the dispatch does it, longest first: the estimate's relative error at 25, 50 and 75 % of the files."""
    lots = random.Random(7)
    lengths = sorted((lots.lognormvariate(4, 0.8) for _ in range(files)), reverse=True)
    took = [seconds_of(length) * lots.lognormvariate(0, 0.3) for length in lengths]
    pace, queue, now = Pace(lengths), list(range(files)), 0.0
    busy: list[tuple[float, float, int]] = []
    said: dict[int, tuple[float, float]] = {}
    while queue or busy:
        while queue and len(busy) < MACHINES_AT_ONCE:
            number = queue.pop(0)
            pace.begun("m", now)
            busy.append((now + took[number], now, number))
        busy.sort()
        now, started, number = busy.pop(0)
        pace.ended("m", started, now)
        pace.answered(lengths[number], now - started)
        pace.finished(lengths[number])
        if pace.files_done in (files // 4, files // 2, 3 * files // 4):
            while queue and len(busy) < MACHINES_AT_ONCE:
                following = queue.pop(0)
                pace.begun("m", now)
                busy.append((now + took[following], now, following))
            remaining = pace.remaining(now)
            assert remaining is not None
            assert remaining.low <= remaining.seconds <= remaining.high
            said[pace.files_done] = (now, remaining.seconds)
    return [abs(seconds - (now - at)) / (now - at) for at, seconds in said.values()]


@pytest.mark.parametrize(
    "seconds_of",
    [lambda _length: 2.0, lambda length: length / 10, lambda length: 1 + length / 20],
    ids=["any file takes the same", "as long as the audio", "both"],
)
def test_a_stage_knows_its_end_whatever_its_requests_depend_on(seconds_of: Callable[[float], float]) -> None:
    assert max(replay(seconds_of)) < 0.1


def test_a_stage_claims_nothing_before_it_knows_its_pace() -> None:
    pace = Pace([10.0] * 100)
    pace.begun("m", 0.0)
    assert pace.remaining(1.0) is None


def finished(here: Site, number: int, files: int, seconds: float) -> None:
    """A completed batch each of whose stages took so long."""
    times = {s.start_column: START for s in STAGES} | {s.end_column: START + timedelta(seconds=seconds) for s in STAGES}
    statuses = {s.status_column: 1 if s.status_is_flag else "Complete" for s in STAGES}
    row = {"batchDate": START.date(), "batchNumber": 100 + number, "status": "Completed", "totalFiles": files}
    here.execute(t.batch_status.insert().values({**row, **times, **statuses}))


def claim(here: Site, batch: int) -> Estimate:
    with reading(here.engine) as connection:
        return estimate(connection, here.settings, here.tracker.standing(batch))


def begun(here: Site, files: int) -> int:
    batch = here.make(1)
    here.execute(t.batch_status.update().where(t.batch_status.c.id == batch).values(totalFiles=files))
    here.tracker.start_stage(batch, "file_distribution")
    here.tracker.complete_stage(batch, "file_distribution")
    return batch


def test_nothing_is_claimed_without_history(each_site: Opening) -> None:
    here = each_site()
    batch = begun(here, 1000)
    assert claim(here, batch).batch is None
    finished(here, 1, 50_000, 100.0)
    assert claim(here, batch).batch is None


def test_the_stages_to_come_are_scaled_from_batches_of_similar_size(each_site: Opening) -> None:
    here = each_site(COFI_STAGES_DISABLED="denoise,ivr")
    for number, seconds in enumerate((90.0, 100.0, 110.0)):
        finished(here, number, 1000, seconds)
    batch = begun(here, 2000)
    said = claim(here, batch)
    assert said.batch is not None
    assert set(said.stages) == {s.name for s in STAGES} - {"file_distribution", "denoise", "ivr"}
    assert said.batch.seconds == pytest.approx(8 * 200, rel=0.02)
    assert said.batch.low < said.batch.seconds < said.batch.high


def test_a_batch_that_stands_still_has_no_end(site: Opening) -> None:
    here = site()
    finished(here, 1, 10, 5.0)
    batch = here.make(10)
    assert claim(here, batch).batch is None
