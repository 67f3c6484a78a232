"""What the node's audio engines take and give: the data, and the two protocols that make them replaceable.

No engine is here. The embedded ones are in :mod:`cofi_dagster.node.speech`, faster-whisper's in
:mod:`cofi_dagster.node.whisper`; denoise and IVR have one form each and need no protocol.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]
"""Mono audio, shape ``(n,)``, values in [-1, 1]."""

IvrKind = Literal["ivr", "ring", "hold", "silence"]
Speaker = Literal["agent", "client"]

SPEECH_RATE = 16_000
"""Sampling rate in Hz of the audio that the recogniser and the language identifier get."""


@dataclass(frozen=True, slots=True, eq=False)
class Audio:
    """Decoded audio.

    Attributes:
        samples: all channels mixed to one, float32 in [-1, 1].
        rate: samples per second.
        channels: each channel by itself, shape as ``samples``, where the recording has several (the dealer's
            line is the left one, index 0); empty for a mono recording.
    """

    samples: Samples
    rate: int
    channels: tuple[Samples, ...] = ()

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.rate


@dataclass(frozen=True, slots=True)
class IvrSegment:
    """A stretch of a call in which nobody talks to anybody; ``start`` and ``end`` in seconds."""

    kind: IvrKind
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Segment:
    """One utterance. ``start`` and ``end`` in seconds; ``avg_logprob`` ≤ 0, ``no_speech_prob`` in [0, 1]."""

    start: float
    end: float
    text: str
    speaker: Speaker | None = None
    avg_logprob: float = 0.0
    no_speech_prob: float = 0.0


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was said in a call: no segments where nothing was. ``duration`` in seconds."""

    model: str
    language: str
    duration: float
    segments: list[Segment] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All segments' words in order."""
        return " ".join(segment.text for segment in self.segments if segment.text)


class LanguageIdentifier(Protocol):
    """Names the language of a call."""

    def identify(self, audio: Audio, segments: Sequence[IvrSegment]) -> tuple[str, float]:
        """The language of the talk outside ``segments`` (ISO 639-1, or ``hinglish``) and the confidence in [0, 1].

        ``audio`` is at :data:`SPEECH_RATE`.
        """
        ...


class Recogniser(Protocol):
    """Turns a call's talk into text."""

    def transcribe(self, audio: Audio, language: str | None, segments: Sequence[IvrSegment]) -> Transcript:
        """The words outside ``segments``; ``language`` as the identifier named it, or None where unknown.

        ``audio`` is at :data:`SPEECH_RATE`. Silence gives a transcript without segments, never invented words.
        """
        ...
