"""A stage at work, in the process that runs it: its counts, its pace, and what a person asks of it meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cofi_dagster.database import tables as t
from cofi_dagster.pipeline.pace import Pace
from cofi_dagster.pipeline.progress import Tally
from cofi_dagster.pipeline.requests import Wish
from cofi_dagster.pipeline.standing import StageState
from cofi_dagster.pipeline.status import StageStatus
from cofi_dagster.stages import Stage

TERMINATED = "terminated"
_SAY_SECONDS = 5.0


class StageRefused(RuntimeError):
    """A stage may not start now; the message says what it waits for."""


class StageFailed(RuntimeError):
    """A stage that did its best and failed; the message is the sentence for the operator."""


class StagePaused(Exception):
    """A person paused the batch: what was in flight has ended and is committed, the rest is pending."""


class StageCancelled(Exception):
    """A person cancelled the batch: files keep the state that they had."""


@dataclass(slots=True)
class StageRun:
    """A stage at work: what its module says about it is written when it stops.

    Attributes:
        run_id: the run that does it, which holds the batch.
        counts: whether its counts are to be written at its end; not where a stage is only marked.
        asked: what a person wants of it by now.
        taken: whether another run has taken the batch, because this one gave no sign of life.
    """

    batch_id: int
    stage: Stage
    metadata: dict[str, Any] = field(default_factory=dict)
    total: int = 0
    done: int = 0
    failed: int = 0
    skipped: int = 0
    run_id: str = ""
    counts: bool = True
    start_event: int | None = None
    asked: Wish | None = None
    taken: bool = False
    tally: Tally | None = None
    pace: Pace | None = None
    clock: Callable[[], float] = time.monotonic
    _heeds: Mapping[Wish, Callable[[], None]] = field(default_factory=dict)
    _began: float = 0.0
    _before: StageState | None = None
    _said: tuple[int, int, int] | None = None
    _said_at: float = 0.0
    _moved_at: float = 0.0

    def begin(self, before: StageState) -> None:
        """The stage begins: time counts from here, on top of what earlier runs of it took."""
        self._began = self.clock()
        self._before = before

    def watch(self, tally: Tally, pace: Pace, heeds: Mapping[Wish, Callable[[], None]]) -> None:
        """Follow a dispatch: its counts, its pace, and how it is asked to stop."""
        self.tally, self.pace, self._heeds = tally, pace, heeds
        if self.asked is not None:
            heeds[self.asked]()

    def ask(self, wish: Wish | None) -> None:
        """Pass on what a person wants; None: the batch is another run's now, stop at once."""
        if wish is None:
            self.taken = True
            wish = Wish.CANCEL
        if wish is self.asked:
            return
        self.asked = wish
        if wish in self._heeds:
            self._heeds[wish]()

    def progress(self) -> dict[str, Any] | None:
        """Columns of ``stageDetail`` that say how far the stage is; None where there is nothing new to say."""
        if self.tally is None or self.pace is None:
            return None
        now = self.clock()
        counts = (self.tally.done, self.tally.failed, self.tally.skipped)
        if counts == self._said and now - self._said_at < _SAY_SECONDS:
            return None
        self._said_at = now
        if counts != self._said:
            self._said, self._moved_at = counts, now
        pace: dict[str, Any] = {
            "left": self.pace.files_left,
            "inFlight": self.pace.in_flight_by_machine(),
            "aside": self.pace.aside(),
            "machines": self.pace.figures(now),
        }
        pace["idle"] = now - self._moved_at
        remaining = self.pace.remaining(now)
        if remaining is not None:
            pace |= {"seconds": remaining.seconds, "low": remaining.low, "high": remaining.high}
        return {**_counts(*counts), **self._worked(), "pace": pace, "paceAt": t.utcnow()}

    def detail(self, status: StageStatus, error: str | None) -> dict[str, Any]:
        """Columns of ``stageDetail`` for the stage's end."""
        values: dict[str, Any] = {"error": error, "pace": None, "paceAt": None}
        values["pausedAt"] = t.utcnow() if status is StageStatus.PAUSED else None
        if not self.counts:
            return values | ({"metadata": self.metadata} if self.metadata else {})
        counts = _counts(self.done, self.failed, self.skipped)
        return values | counts | self._worked() | {"itemsTotal": self.total, "metadata": self.metadata or None}

    def _worked(self) -> dict[str, Any]:
        """Files, seconds of audio and seconds of all runs of the stage."""
        before = self._before
        files, audio = (self.pace.files_done, self.pace.audio_done) if self.pace else (self.done + self.failed, 0.0)
        return {
            "itemsWorked": (before.worked if before else 0) + files,
            "workDone": (before.audio if before else 0.0) + audio,
            "secondsAtWork": (before.seconds if before else 0.0) + self.clock() - self._began,
        }


def _counts(done: int, failed: int, skipped: int) -> dict[str, Any]:
    return {"itemsDone": done, "itemsFailed": failed, "itemsSkipped": skipped}


def said(error: BaseException) -> str:
    """An error as the sentence that is stored: a termination is called so, whatever its class."""
    if isinstance(error, Exception):
        return str(error) or type(error).__name__
    return TERMINATED
