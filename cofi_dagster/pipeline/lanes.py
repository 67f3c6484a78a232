"""The machines of a stage at work as lanes: a queue each, how much each is given, and who takes what from whom.

Longest first; an idle machine takes from the lane that would end last; how much a machine is given falls by its own
word (busy) and rises again. No requests and no waiting here: what a reply means for a file is ``dispatch``'s.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cofi_dagster.fleet.endpoints import Endpoint
from cofi_dagster.pipeline.machine_tally import MachineTally
from cofi_dagster.pipeline.work import Work

_CUT = 0.6


@dataclass(slots=True, eq=False)
class Lane:
    """One endpoint, its queue (longest first) and how it is doing. Times are the loop's, in seconds."""

    endpoint: Endpoint
    queue: deque[Work]
    most: int
    tally: MachineTally
    limit: float = 0.0
    in_flight: int = 0
    done: int = 0
    busy_seconds: float = 0.0
    paused_until: float = 0.0
    busy_streak: int = 0
    busy_since: float | None = None
    refused_at: float = 0.0
    cut_at: float = 0.0
    troubles: int = 0
    last_trouble: str = ""
    aside_since: float | None = None

    def __post_init__(self) -> None:
        self.limit = float(self.most)
        self.tally.limit = self.tally.most = self.most

    def has_room(self, now: float) -> bool:
        """Whether it may be given another file now."""
        return self.in_flight < int(self.limit) and self.aside_since is None and now >= self.paused_until

    def stuck_for(self, now: float) -> float:
        """Seconds for which nothing could be had: since it was set aside, or, by its own word, while it was busy."""
        if self.aside_since is not None:
            return now - self.aside_since
        return self.refused_at - self.busy_since if self.busy_since is not None else 0.0

    def seconds_left(self) -> float:
        """How long what is queued will take here; for ever while the machine is set aside."""
        if self.aside_since is not None:
            return float("inf")
        return len(self.queue) * (self.busy_seconds / self.done if self.done else 1.0) / self.limit

    def well(self) -> None:
        """The machine answered, and not that it is busy: give it a little more at a time."""
        self.troubles = 0
        self.busy_streak = 0
        self.busy_since = None
        if self.limit < self.most:
            self.limit = min(self.limit + 1 / self.limit, float(self.most))

    def busy(self, now: float, sent_at: float, message: str) -> None:
        """The machine says that it is busy: give it less. What was sent before the last cut says nothing about it."""
        self.busy_since = self.busy_since or now
        self.refused_at = now
        self.last_trouble = message
        if sent_at >= self.cut_at:
            self.busy_streak += 1
            self.limit = max(1.0, min(self.limit, self.in_flight) * _CUT)
            self.cut_at = now

    def set_aside(self, now: float) -> None:
        """Give it nothing more until it is back."""
        self.aside_since = now
        self.tally.aside = (now, self.last_trouble)

    def back(self) -> None:
        """It is in service again: carefully at first."""
        self.aside_since = None
        self.troubles = 0
        self.limit = 1.0
        self.tally.aside = None

    def did(self) -> dict[str, Any]:
        """Files done, seconds of requests, and errors by kind where there were any."""
        errors = {kind: count for kind, count in self.tally.mishaps.items() if count}
        figures: dict[str, Any] = {"files": self.done, "seconds": round(self.busy_seconds, 3)}
        return figures | ({"errors": errors} if errors else {})


class Lanes:
    """All lanes of a stage. Endpoints without files of their own (LLM servers) share one queue."""

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        works: Sequence[Work],
        most: int,
        tally_of: Callable[[str], MachineTally],
    ) -> None:
        """``most``: requests in flight to one machine. A file whose home is no lane's goes round robin."""
        ordered = sorted(works, key=lambda work: -work.weight)
        shared = deque(ordered) if all(endpoint.files is None for endpoint in endpoints) else None
        self._lanes = [
            Lane(endpoint, deque() if shared is None else shared, most, tally_of(endpoint.name))
            for endpoint in endpoints
        ]
        if shared is None:
            by_name = {lane.endpoint.name: lane for lane in self._lanes}
            for index, work in enumerate(ordered):
                (by_name.get(work.home or "") or self._lanes[index % len(self._lanes)]).queue.append(work)

    def __iter__(self) -> Iterator[Lane]:
        return iter(self._lanes)

    def choose(self, now: float, *, is_full: Callable[[], bool]) -> Iterator[tuple[Lane, Work]]:
        """What can be sent now: every lane's own work first, then what idle lanes take from others.

        Whoever iterates counts what it sends into ``in_flight`` before it goes on; ``is_full`` ends it all.
        """
        for take in (self._own, self._stolen):
            for lane in self._lanes:
                while lane.has_room(now) and not is_full() and (work := take(lane)) is not None:
                    yield lane, work

    def elsewhere(self, lane: Lane) -> Lane:
        """Another lane in service: the one that would end first; this one where there is none."""
        others = [other for other in self._lanes if other is not lane and other.aside_since is None]
        return min(others, key=Lane.seconds_left, default=lane)

    def _own(self, lane: Lane) -> Work | None:
        """The lane's longest work."""
        return lane.queue.popleft() if lane.queue else None

    def _stolen(self, _lane: Lane) -> Work | None:
        """Work taken from the lane that would end last."""
        victim = max((other for other in self._lanes if other.queue), key=Lane.seconds_left, default=None)
        if victim is None:
            return None
        return victim.queue.popleft() if victim.aside_since is not None else victim.queue.pop()
