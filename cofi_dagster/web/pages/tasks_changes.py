"""What a reaudit changed, as its page shows it: how many answers agree, and the first of those that do not.

The whole of it is the API's. A task's changes do not change once it has ended, so that they are counted once.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field

import sqlalchemy as sa

from cofi_dagster.adhoc.changes import Change, changes_by_chunk
from cofi_dagster.adhoc.tasks import Task

MOST_SHOWN = 1000
"""How many changed answers are kept of a task."""
_MOST_TASKS = 32


@dataclass(slots=True)
class Summary:
    """Of a reaudit: answers that have an old and a new one, how many of them agree, and the first that do not."""

    compared: int = 0
    agreed: int = 0
    differing: int = 0
    shown: list[Change] = field(default_factory=list)

    @property
    def agreement(self) -> float | None:
        """Percent of the compared that agree."""
        return 100 * self.agreed / self.compared if self.compared else None

    def take(self, changes: list[Change]) -> None:
        """Count some more."""
        for change in changes:
            self.compared += change.old is not None and change.new is not None
            self.agreed += change.agrees
            if not change.agrees:
                self.differing += 1
                if len(self.shown) < MOST_SHOWN:
                    self.shown.append(change)


class Summaries:
    """The summaries of tasks that have ended, made at first use; safe for threads."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._made: OrderedDict[tuple[str, int], Summary] = OrderedDict()

    def known(self, task: Task) -> Summary | None:
        """The summary, where it has been made."""
        return self._made.get(_key(task))

    def of(self, task: Task) -> Summary:
        """The summary: a second for some thousand calls, for one viewer at a time."""
        with self._lock:
            found = self.known(task)
            if found is None:
                found = Summary()
                for changes in changes_by_chunk(self._engine, task):
                    found.take(changes)
                self._made[_key(task)] = found
                if len(self._made) > _MOST_TASKS:
                    self._made.popitem(last=False)
            return found


def _key(task: Task) -> tuple[str, int]:
    """A task that is done again changes anew."""
    return task.id, task.attempt
