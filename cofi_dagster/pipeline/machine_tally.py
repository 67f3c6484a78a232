"""What one machine did in a stage at work: single numbers, counted by the thread that dispatches and read by others."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

_WINDOW_SECONDS = 60.0


class Mishap(StrEnum):
    """How a request can fail; the words are stored and shown."""

    NO_REPLY = "no reply"
    """Refused, reset, timed out, or the machine's disk is full."""
    BUSY = "busy"
    """429 or 503: it is asked again later, and asked for less at a time."""
    FAULT = "fault"
    """Any other server's error, or a reply that is not what the protocol says."""
    MISSING = "file missing"
    """The machine does not have the file."""
    REFUSED = "file refused"
    """The machine cannot process this file."""


@dataclass(slots=True)
class MachineTally:
    """Requests of one machine.

    Attributes:
        in_flight: requests that wait for their reply.
        answered: files that were answered well.
        seconds: of all requests that ended, added up.
        limit: how many it is given at once by now, ``most`` at most.
        aside: since when it gets nothing, by the clock of the dispatch, and why; None while it is in service.
    """

    in_flight: int = 0
    answered: int = 0
    seconds: float = 0.0
    limit: int = 0
    most: int = 0
    mishaps: dict[str, int] = field(default_factory=lambda: {kind.value: 0 for kind in Mishap})
    last_mishap: str = ""
    aside: tuple[float, str] | None = None
    _samples: deque[tuple[float, int]] = field(default_factory=deque)

    def met(self, kind: Mishap, message: str) -> None:
        """A request failed so."""
        self.mishaps[kind] += 1
        self.last_mishap = message

    def figures(self, now: float) -> dict[str, Any]:
        """As ``stageDetail.pace`` holds it; files per minute are those since the call a minute ago, by one reader."""
        errors = {kind: count for kind, count in self.mishaps.items() if count}
        said: dict[str, Any] = {"answered": self.answered, "seconds": round(self.seconds, 3), "errors": errors}
        said |= {"limit": self.limit, "most": self.most, "perMinute": self._per_minute(now)}
        if self.last_mishap:
            said["lastError"] = self.last_mishap
        if self.aside is not None:
            said["asideSeconds"] = round(now - self.aside[0], 1)
        return said

    def _per_minute(self, now: float) -> float | None:
        while len(self._samples) > 1 and self._samples[1][0] <= now - _WINDOW_SECONDS:
            self._samples.popleft()
        self._samples.append((now, self.answered))
        at, answered = self._samples[0]
        return None if now <= at else round(60.0 * (self.answered - answered) / (now - at), 2)
