"""The state that the machines of a simulated fleet share: calls, latencies, faults, records. No sockets here."""

from __future__ import annotations

from collections import Counter
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from cofi_dagster_tests.fleet_simulator.calls import Call, Latency, distribution, draw, length, trades_of
from cofi_dagster_tests.fleet_simulator.faults import FaultBook
from cofi_dagster_tests.fleet_simulator.llm import Answers
from cofi_dagster_tests.fleet_simulator.options import Options


class Request(NamedTuple):
    """A request that a machine got. ``time`` is when it came (Unix seconds), ``machine`` an index, ``status`` 0 if the
    connection ended without a reply."""

    time: float
    machine: int
    service: str
    file: str
    status: int


class Fleet:
    """What all machines know."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.faults = FaultBook()
        self.answers = Answers()
        self.requests: list[tuple[float, int, str, str, int]] = []
        self.counts: Counter[tuple[str, str, int]] = Counter()
        self.examples: dict[str, bytes] = {}
        """The last body of each service: what a load generator has to send to send the same."""
        self.latency: dict[str, Latency | None] = {}
        self.set_latency(options.latency_by_service)
        self._keep_each = options.record == "all"
        self._languages = [word.strip() for word in options.languages.split(",")]
        self._durations = distribution(options.durations)
        self._described: list[tuple[str, dict[str, Any]]] = []
        self._calls: dict[str, Call] = {}

    def set_latency(self, specs: dict[str, str]) -> None:
        """Set the latency of some services."""
        self.latency.update({service: Latency.parse(spec) for service, spec in specs.items()})

    def call(self, file: str) -> Call:
        """The call of a file's name."""
        found = self._calls.get(file)
        if found is None:
            found = self._calls[file] = self._make(file)
        return found

    def _make(self, file: str) -> Call:
        drawn: dict[str, Any] = {
            "language": self._languages[int(draw(file, "language") * len(self._languages))],
            "duration": length(self._durations, file),
            "segments": self.options.segments,
        }
        for pattern, said in self._described:
            if fnmatchcase(file, pattern):
                drawn.update(said)
        return Call(file=file, trades=trades_of(file), **drawn)

    def describe(self, pattern: str, said: dict[str, Any]) -> None:
        """Set ``language``, ``duration`` or ``segments`` of the calls whose names fit the pattern."""
        self._described.append((pattern, said))
        self._calls.clear()

    def record(self, time: float, machine: int, service: str, file: str, status: int) -> None:
        """Remember a request."""
        if self._keep_each:
            self.requests.append((time, machine, service, file, status))
        else:
            self.counts[service, file, status] += 1

    def count(self) -> Counter[tuple[str, str, int]]:
        """How many requests there were by (service, file, status)."""
        return self.counts + Counter((service, file, status) for _, _, service, file, status in self.requests)

    def forget_records(self) -> None:
        """Begin the records anew."""
        self.requests.clear()
        self.counts.clear()
