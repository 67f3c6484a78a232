"""Where in a call somebody speaks: from the signal, outside of what the IVR stage found. No words here.

A model that gets silence invents words; so nothing reaches it but stretches in which WebRTC's voice activity detector
hears a voice, that stand out from the line's noise, and that are no steady tone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import webrtcvad

from cofi_dagster.node.engines import SPEECH_RATE, IvrSegment, Samples

FRAME = SPEECH_RATE * 30 // 1000
FRAME_SECONDS = FRAME / SPEECH_RATE

_AGGRESSIVENESS = 2
_BRIDGE_SECONDS = 0.36
_LEAST_SECONDS = 0.18
_MOST_SECONDS = 20.0
_MARGIN_SECONDS = 0.18
_ABOVE_NOISE_DB = 8.0
_BELOW_LOUDEST_DB = 32.0
_QUIETEST_DB = -60.0
_STEADY_TONE = 0.985

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Utterance:
    """A stretch of talk: ``start`` and ``end`` in seconds, ``voiced`` the share of it that is voice."""

    start: float
    end: float
    voiced: float

    def cut(self, samples: Samples) -> Samples:
        """Its samples out of the recording at 16 kHz."""
        return samples[round(self.start * SPEECH_RATE) : round(self.end * SPEECH_RATE)]


def find_utterances(samples: Samples, segments: Sequence[IvrSegment]) -> list[Utterance]:
    """The utterances of a recording at 16 kHz, in order, none within ``segments``."""
    count = len(samples) // FRAME
    if not count:
        return []
    blocks = samples[: count * FRAME].reshape(count, FRAME)
    level = 10 * np.log10(np.mean(np.square(blocks, dtype=np.float64), axis=1) + 1e-10)
    free = np.ones(count, np.bool_)
    for segment in segments:
        free[int(segment.start / FRAME_SECONDS) : int(np.ceil(segment.end / FRAME_SECONDS))] = False
    if not free.any():
        return []
    floor, loud = np.percentile(level[free], [10, 98])
    least = max(min(floor + _ABOVE_NOISE_DB, loud - 6), loud - _BELOW_LOUDEST_DB, _QUIETEST_DB)
    voice = _voiced(blocks) & (level > least) & free
    return [
        Utterance(*_with_margin(start, end, free), float(voice[start:end].mean()))
        for start, end in _runs(voice, free)
        if not _is_tone(blocks[start:end])
    ]


def _voiced(blocks: Samples) -> Flags:
    detector = webrtcvad.Vad(_AGGRESSIVENESS)
    pcm = np.round(np.clip(blocks, -1, 1) * 32767).astype("<i2")
    return np.fromiter((detector.is_speech(block.tobytes(), SPEECH_RATE) for block in pcm), np.bool_, len(pcm))


def _runs(voice: Flags, free: Flags) -> list[tuple[int, int]]:
    """Runs of voiced frames, joined over short pauses, parted where they would become too long to decode well."""
    bridge, most = round(_BRIDGE_SECONDS / FRAME_SECONDS), round(_MOST_SECONDS / FRAME_SECONDS)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], voice, [False]]).astype(np.int8)))
    runs: list[tuple[int, int]] = []
    for start, end in edges.reshape(-1, 2).tolist():
        joins = runs and start - runs[-1][1] <= bridge and end - runs[-1][0] <= most
        if joins and free[runs[-1][1] : start].all():
            runs[-1] = (runs[-1][0], end)
        else:
            runs.append((start, end))
    return [(start, end) for start, end in runs if (end - start) * FRAME_SECONDS >= _LEAST_SECONDS]


def _with_margin(start: int, end: int, free: Flags) -> tuple[float, float]:
    """The run with a little of what is around it, in seconds: a soft consonant begins before the voice."""
    margin = round(_MARGIN_SECONDS / FRAME_SECONDS)
    first, last = start, end
    while first > max(0, start - margin) and free[first - 1]:
        first -= 1
    while last < min(len(free), end + margin) and free[last]:
        last += 1
    return round(first * FRAME_SECONDS, 3), round(last * FRAME_SECONDS, 3)


def _is_tone(blocks: Samples) -> bool:
    """Whether the spectrum stands still from frame to frame, as a tone's does and a voice's does not."""
    if len(blocks) < 3:
        return False
    power = np.abs(np.fft.rfft(blocks * np.hanning(FRAME), axis=1))
    power /= np.linalg.norm(power, axis=1, keepdims=True) + 1e-12
    return float(np.median(np.sum(power[1:] * power[:-1], axis=1))) > _STEADY_TONE
