"""The measures in the order in which they run and are shown. A new one is a module and a line here."""

from __future__ import annotations

from benchmarks import (
    alternatives,
    bulk,
    growth,
    overhead,
    pages,
    plans,
    remaining,
    restart,
    tracking,
    utilisation,
    viewers,
    wire,
)
from benchmarks.measure import Measure

MEASURES: tuple[Measure, ...] = (
    wire.MEASURE,
    overhead.MEASURE,
    utilisation.MEASURE,
    growth.MEASURE,
    restart.MEASURE,
    bulk.MEASURE,
    tracking.MEASURE,
    alternatives.MEASURE,
    pages.MEASURE,
    viewers.MEASURE,
    plans.MEASURE,
    remaining.MEASURE,
)
BY_NAME: dict[str, Measure] = {measure.name: measure for measure in MEASURES}
