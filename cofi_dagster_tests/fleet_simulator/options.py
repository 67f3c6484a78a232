"""What a simulated fleet is started with: one dataclass, its command line, and nothing else."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

SERVICES = ("denoise", "ivr", "lid", "stt", "llm1", "llm2")


@dataclass(frozen=True, slots=True)
class Options:
    """A fleet's options; the command line has each as ``--name``.

    Attributes:
        machines: how many machines, at 127.0.0.2, 127.0.0.3, …
        port_base: the one port of all services on all machines; 0 takes a free one.
        latency: seconds of work per service, as ``SPEC`` for all or ``stt=SPEC,llm1=SPEC``, SPEC being ``0.02``,
            ``uniform:LOW:HIGH``, ``lognormal:MEAN:SIGMA``, or ``per-second:X`` (per second of audio).
        speeds: speed of each machine, comma-separated (``1,1,1,0.5``); missing ones are 1.
        capacity: requests in flight that a machine takes (audio and LLM services together); 0 is no limit.
        over_capacity: what happens to more: ``refuse`` (503) or ``queue``.
        retry_after: the ``Retry-After`` of that 503; empty for none.
        durations: length of the calls in seconds, a SPEC of the first three kinds.
        languages: the calls' languages, comma-separated, drawn by file name.
        segments: segments of a transcript.
        stt_duration_as_string, stt_null_segments: what vLLM does, in the OpenAI form of speech to text.
        record: ``all`` requests, or only ``count`` them.
        exit_with_stdin: end when standard input ends, so that no simulator outlives its starter.
    """

    machines: int = 2
    port_base: int = 0
    latency: str = "0"
    speeds: str = ""
    capacity: int = 0
    over_capacity: str = "refuse"
    retry_after: str = ""
    durations: str = "uniform:20:120"
    languages: str = "en,hi"
    segments: int = 50
    stt_duration_as_string: bool = False
    stt_null_segments: bool = False
    record: str = "all"
    exit_with_stdin: bool = False

    @classmethod
    def parse(cls, arguments: Sequence[str] | None = None) -> Options:
        """From a command line; the process's own by default."""
        parser = argparse.ArgumentParser(
            prog="python -m cofi_dagster_tests.fleet_simulator", description="A simulator of GPU machines."
        )
        for field in fields(cls):
            how: dict[str, Any] = {"action": "store_true"}
            if not isinstance(field.default, bool):
                how = {"type": type(field.default), "default": field.default}
            parser.add_argument("--" + field.name.replace("_", "-"), **how)
        return cls(**vars(parser.parse_args(arguments)))

    def arguments(self) -> list[str]:
        """The command line that :meth:`parse` reads as these options."""
        words: list[str] = []
        for field in fields(self):
            value = getattr(self, field.name)
            name = "--" + field.name.replace("_", "-")
            if value is True:
                words.append(name)
            elif value != field.default:
                words.append(f"{name}={value}")
        return words

    @property
    def latency_by_service(self) -> dict[str, str]:
        """``latency`` taken apart: a SPEC for each service.

        Raises:
            ValueError: an unknown service is named.
        """
        specs = dict.fromkeys(SERVICES, "0")
        for part in self.latency.split(","):
            name, _, spec = part.rpartition("=")
            if name and name not in specs:
                raise ValueError(f"'{name}' is no service with latency; those are {', '.join(SERVICES)}")
            specs.update({name: spec} if name else dict.fromkeys(SERVICES, spec))
        return specs

    @property
    def speed_of_each(self) -> list[float]:
        """The speed of each machine."""
        given = [float(word) for word in self.speeds.split(",") if word]
        return (given + [1.0] * self.machines)[: self.machines]
