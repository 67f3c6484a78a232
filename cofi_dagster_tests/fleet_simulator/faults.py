"""The faults that a simulated machine can be told to have, and which request has which of them. No sockets here."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal, get_args

Kind = Literal[
    "status",
    "invalid_json",
    "wrong_shape",
    "invalid_content",
    "length",
    "truncated",
    "close",
    "hang",
    "delay",
    "forget",
]
KINDS: tuple[str, ...] = get_args(Kind)


@dataclass(slots=True)
class Fault:
    """One fault, for requests that fit it.

    Attributes:
        kind: ``status`` (reply with ``status``, ``retry_after``, ``body`` or ``detail``), ``invalid_json``,
            ``wrong_shape`` (200 with another object), ``invalid_content`` (an LLM message that is ``content``),
            ``length`` (an LLM reply cut short), ``truncated`` (half a reply, then the connection ends), ``close``
            (reset without a reply), ``hang`` (never a reply), ``delay`` (``seconds`` more, then the reply),
            ``forget`` (the machine has lost the file: 404 by the ordinary way).
        machine: index of the machine, or None for each.
        service: ``files files-head files-delete denoise ivr lid stt llm1 llm2 health models``, or None for each.
        file: pattern of :mod:`fnmatch` for the file's name.
        times: for how many requests, or None for all until the faults are cleared.
    """

    kind: Kind
    machine: int | None = None
    service: str | None = None
    file: str = "*"
    times: int | None = 1
    status: int = 500
    retry_after: str | None = None
    body: str | None = None
    detail: str = "a fault of the simulator"
    seconds: float = 0.0
    content: str = '{"unexpected": true}'

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"'{self.kind}' is no fault; the faults are {', '.join(KINDS)}")

    def fits(self, machine: int, service: str, file: str) -> bool:
        """Whether a request is one that this fault is for."""
        return self.machine in (None, machine) and self.service in (None, service) and fnmatchcase(file, self.file)


class FaultBook:
    """The faults still to come. The first one that fits a request is used up by it."""

    def __init__(self) -> None:
        self.waiting: list[Fault] = []

    def __bool__(self) -> bool:
        return bool(self.waiting)

    def take(self, machine: int, service: str, file: str) -> Fault | None:
        """The fault of this request, counted as used."""
        for fault in self.waiting:
            if fault.fits(machine, service, file):
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times == 0:
                        self.waiting.remove(fault)
                return fault
        return None
