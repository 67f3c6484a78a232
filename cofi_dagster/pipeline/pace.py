"""How long a stage at work will still take, by its own recent rate: what is left, in seconds of requests, over how many
requests are in flight.

Counting files alone misleads: the longest are sent first, so the first hour's files say too much about the last's. How
long a request takes is fitted as ``a + b × length`` over those that were answered. No clock and no database here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cofi_dagster.pipeline.machine_tally import MachineTally

_ENOUGH = 12
_SYSTEMATIC = 0.05
_NINETY_PERCENT = 1.64
_SHORTEST = 1.0
"""Seconds of audio below which a file counts as this long: a fit by relative error needs a floor."""


@dataclass(frozen=True, slots=True)
class Remaining:
    """Seconds that something will still take: the likely figure, and the bounds that it keeps to nine times in ten."""

    seconds: float
    low: float
    high: float


class Pace:
    """What a dispatch tells of its requests, and what follows from it. ``now`` is any steady clock, in seconds.

    Written by the thread that dispatches and read by others: single numbers, so that a reader is at most one request
    behind.
    """

    def __init__(self, lengths: Sequence[float]) -> None:
        """``lengths``: seconds of audio of each file that is to be done."""
        self.files_left = len(lengths)
        self.audio_left = math.fsum(lengths)
        self.files_done = 0
        self.audio_done = 0.0
        self.in_flight = 0
        self._machines: dict[str, MachineTally] = {}
        self._started_sum = 0.0
        self._spent = 0.0
        self._answers = 0
        self._took = self._heard = 0.0
        self._w = self._wx = self._wy = self._wxx = self._wxy = self._wyy = 0.0

    def machine(self, name: str) -> MachineTally:
        """The tally of a machine, to count in."""
        tally = self._machines.get(name)
        if tally is None:
            tally = self._machines[name] = MachineTally()
        return tally

    def begun(self, machine: str, now: float) -> None:
        """A request goes out."""
        self.in_flight += 1
        self.machine(machine).in_flight += 1
        self._started_sum += now

    def ended(self, machine: str, started: float, now: float) -> None:
        """A request that went out at ``started`` ended, however it did."""
        self.in_flight -= 1
        tally = self._machines[machine]
        tally.in_flight -= 1
        tally.seconds += now - started
        self._started_sum -= started
        self._spent += now - started

    def answered(self, length: float, seconds: float) -> None:
        """A file of that length was answered after so many seconds."""
        self._answers += 1
        self._took += seconds
        self._heard += length
        weight = 1.0 / max(length, _SHORTEST) ** 2
        self._w += weight
        self._wx += weight * length
        self._wy += weight * seconds
        self._wxx += weight * length * length
        self._wxy += weight * length * seconds
        self._wyy += weight * seconds * seconds

    def finished(self, length: float) -> None:
        """A file has its outcome, whichever."""
        self.files_left -= 1
        self.audio_left -= length
        self.files_done += 1
        self.audio_done += length

    def aside(self) -> dict[str, str]:
        """The machines that get nothing more until they are back, and why."""
        return {name: tally.aside[1] for name, tally in self._all() if tally.aside is not None}

    def in_flight_by_machine(self) -> dict[str, int]:
        """Requests in flight by machine."""
        return {name: tally.in_flight for name, tally in self._all()}

    def figures(self, now: float) -> dict[str, dict[str, Any]]:
        """What each machine did, as ``stageDetail.pace`` holds it."""
        return {name: tally.figures(now) for name, tally in self._all()}

    def _all(self) -> list[tuple[str, MachineTally]]:
        return list(self._machines.items())

    def remaining(self, now: float) -> Remaining | None:
        """Seconds until the last file has its outcome; None while too little is known, or nothing is in flight."""
        if not self.files_left:
            return Remaining(0.0, 0.0, 0.0)
        if self._answers < _ENOUGH or self.in_flight < 1:
            return None
        base, slope, spread = self._fit()
        useful = min(1.0, self._took / self._spent) if self._spent else 1.0
        under_way = max(0.0, self.in_flight * now - self._started_sum)
        whole = base * self.files_left + slope * max(0.0, self.audio_left)
        left = max(whole - under_way, 0.1 * whole / max(self.files_left, 1) * self.in_flight)
        seconds = left / useful / self.in_flight
        chance = spread * math.sqrt(self.files_left) / whole if whole else 0.0
        share = min(0.9, _NINETY_PERCENT * math.hypot(chance, _SYSTEMATIC))
        return Remaining(seconds, seconds * (1 - share), seconds * (1 + share))

    def _fit(self) -> tuple[float, float, float]:
        """Seconds per request as ``a + b × length``, neither below 0, and the standard deviation around that.

        Least squares of the relative error: a long file's seconds scatter as much more as it is longer.
        """
        mean_x, mean_y = self._wx / self._w, self._wy / self._w
        var_x = max(0.0, self._wxx / self._w - mean_x * mean_x)
        slope = 0.0
        if var_x > 1e-9 * max(1.0, mean_x * mean_x):
            slope = (self._wxy / self._w - mean_x * mean_y) / var_x
        slope = min(max(slope, 0.0), mean_y / mean_x if mean_x else 0.0)
        base = mean_y - slope * mean_x
        scale = self._took / max(1e-9, base * self._answers + slope * self._heard)
        var_y = max(0.0, self._wyy / self._w - mean_y * mean_y)
        return base * scale, slope * scale, math.sqrt(max(0.0, var_y - slope * slope * var_x))
