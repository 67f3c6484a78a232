"""Who watches a stage at work: what an observer is told, and the counts that it is told."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Protocol

from cofi_dagster.stages import Stage


@dataclass(slots=True)
class Tally:
    """How a stage stands: files done, failed and skipped in all, of a total; and the commonest reasons of failure."""

    total: int
    done: int = 0
    failed: int = 0
    skipped: int = 0
    sent: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    @property
    def ended(self) -> int:
        """Files that have an outcome."""
        return self.done + self.failed + self.skipped


@dataclass(slots=True)
class StageReport:
    """How a stage ended: counts of files (or rows), seconds, and what its module says about it."""

    stage: Stage
    total: int = 0
    done: int = 0
    failed: int = 0
    skipped: int = 0
    sent: int = 0
    seconds: float | None = None
    disabled: bool = False
    unchanged: bool = False
    metadata: dict[str, Any] = field(default_factory=dict)


class Observer(Protocol):
    """Is told of a run's stages as they go; calls come from the run's threads and must be quick."""

    def began(self, stage: Stage) -> None:
        """A stage begins."""

    def moved(self, stage: Stage, tally: Tally) -> None:
        """A group of files was committed."""

    def ended(self, report: StageReport) -> None:
        """A stage ended well, or had nothing to do."""


class Unwatched:
    """Nobody watches."""

    def began(self, stage: Stage) -> None:
        """Nothing."""

    def moved(self, stage: Stage, tally: Tally) -> None:
        """Nothing."""

    def ended(self, report: StageReport) -> None:
        """Nothing."""
