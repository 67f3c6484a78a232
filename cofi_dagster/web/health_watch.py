"""The health of the fleet as the pages show it: asked every ten seconds at most for all who watch, never waited for."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from cofi_dagster.fleet.health import Health, Question, ask_all

_EVERY_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a service said, and the steady clock's seconds then."""

    health: Health
    at: float

    def age(self, now: float) -> float:
        """How old it is, in seconds."""
        return max(0.0, now - self.at)


class HealthWatch:
    """Asks in a thread of its own while somebody looks; safe for threads."""

    def __init__(self, questions: Sequence[Question], api_key: str | None, clock: Callable[[], float] = time.monotonic):
        self._questions = tuple(dict.fromkeys(questions))
        self._api_key = api_key
        self._clock = clock
        self._lock = threading.Lock()
        self._answers: dict[Question, Answer] = {}
        self._began = float("-inf")
        self._is_asking = False

    def answers(self) -> Mapping[Question, Answer]:
        """The last answers, at once; where they are old, new ones are asked for meanwhile."""
        with self._lock:
            is_due = self._questions and not self._is_asking and self._clock() - self._began >= _EVERY_SECONDS
            if is_due:
                self._is_asking, self._began = True, self._clock()
                threading.Thread(target=self._ask, name="cofi-health", daemon=True).start()
            return dict(self._answers)

    def now(self) -> float:
        """The clock that answers are dated by."""
        return self._clock()

    def _ask(self) -> None:
        try:
            found = asyncio.run(ask_all(self._questions, self._api_key))
            at = self._clock()
            with self._lock:
                self._answers = {question: Answer(health, at) for question, health in found.items()}
        finally:
            with self._lock:
                self._is_asking = False
