"""IVR: the stretches of a call in which nobody talks to anybody, found from the signal alone.

What is found, and how sure it is:

- ``ring``: call-progress tones between 330 and 500 Hz (400 Hz of India with or without its 25 Hz beat, 425 Hz of
  Europe, 440+480 Hz of the US) in bursts that repeat, with their pauses, or one long pure tone. Reliable.
- ``silence``: two seconds and more without voice and at the level of the line's own noise. Reliable.
- ``hold``: six seconds and more of music: sound without pauses whose spectrum stands still for long stretches.
  Music with a singer or drums is missed.
- ``ivr``: DTMF keys (reliable), and the announcement before them or before ringing at the beginning of a call, where
  one voice speaks in one channel. An announcement that no tone follows cannot be told from talk without
  understanding it, and is left in.

Whatever is doubtful is left to the conversation: a prompt that is transcribed costs seconds, talk that is skipped may
have been the order.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from cofi_dagster.node.engines import Audio, IvrKind, IvrSegment, Samples
from cofi_dagster.node.spectrum import HOP_SECONDS, Flags, Frames, frames

Span = tuple[int, int]
"""First frame and the frame after the last."""

_KINDS: tuple[IvrKind, ...] = ("silence", "hold", "ivr", "ring")  # a later kind wins a frame over an earlier one

_MIN_SILENCE = 2.0
_MIN_HOLD = 6.0
_MUSIC_STEADINESS = 0.42  # synthesised speech reaches 0.27, noise 0.34, chords begin at 0.49
_MIN_BURST = 0.25
_MIN_LONE_TONE = 0.9
_MAX_CADENCE_PAUSE = 5.0
_MIN_KEY = 0.04
_MAX_KEY_PAUSE = 0.3
_PROMPT_WITHIN = 60.0  # an announcement's key or ring comes so early in the call
_PROMPT_STEP = 20.0  # and so soon after the beginning or the key before it
_PROMPT_PITCH_SPREAD = 1.25  # one voice: its utterances' median pitches differ by no more than this factor


def find_segments(audio: Audio) -> list[IvrSegment]:
    """The segments of a call, sorted, without overlap, in seconds within its duration. ``audio`` is at 8 kHz."""
    seen = frames(audio.samples)
    rings = _rings(seen)
    keys = _runs(seen.dtmf, _MIN_KEY, bridge=_MAX_KEY_PAUSE)
    spans: dict[IvrKind, list[Span]] = {
        "silence": _silences(seen),
        "hold": _music(seen, rings),
        "ivr": keys + _announcements(audio, seen, rings, keys),
        "ring": rings,
    }
    label = np.full(len(seen), -1, np.int8)
    for number, kind in enumerate(_KINDS):
        for start, end in spans[kind]:
            label[start:end] = number
    return _segments(label, audio.duration)


def _segments(label: np.ndarray[tuple[int], np.dtype[np.int8]], duration: float) -> list[IvrSegment]:
    edges = [0, *(np.flatnonzero(np.diff(label)) + 1).tolist(), len(label)]
    found = []
    for start, end in pairwise(edges):
        kind = _KINDS[label[start]] if label[start] >= 0 else None
        if kind is None or (kind == "silence" and (end - start) * HOP_SECONDS < _MIN_SILENCE / 2):
            continue
        found.append(IvrSegment(kind, round(start * HOP_SECONDS, 3), round(min(end * HOP_SECONDS, duration), 3)))
    return [segment for segment in found if segment.end > segment.start]


def _runs(flags: Flags, seconds: float, bridge: float = 0.0) -> list[Span]:
    """The runs of set flags of at least so many seconds; holes of up to ``bridge`` seconds are closed first."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    spans: list[Span] = []
    for start, end in edges.reshape(-1, 2).tolist():
        if spans and (start - spans[-1][1]) * HOP_SECONDS <= bridge:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
    return [span for span in spans if (span[1] - span[0]) * HOP_SECONDS >= seconds - 1e-9]


def _rings(seen: Frames) -> list[Span]:
    """Ring-back with its pauses: bursts of one pitch and level that repeat, or one long tone."""
    tone = (seen.progress > 0.85) & (seen.level > -50)
    bursts = [span for span in _runs(tone, _MIN_BURST, bridge=2 * HOP_SECONDS) if _is_even(seen, span)]
    groups: list[list[Span]] = []
    for burst in bursts:
        if groups and _continues(seen, groups[-1][-1], burst):
            groups[-1].append(burst)
        else:
            groups.append([burst])
    return [
        (group[0][0], group[-1][1])
        for group in groups
        if len(group) > 1 or (group[0][1] - group[0][0]) * HOP_SECONDS >= _MIN_LONE_TONE
    ]


def _is_even(seen: Frames, span: Span) -> bool:
    """A tone of a machine: its level and pitch do not move but for its edges."""
    inner = slice(span[0] + 3, max(span[0] + 4, span[1] - 3))
    return float(np.std(seen.level[inner])) < 1.5 and float(np.ptp(seen.peak[inner])) <= 110


def _continues(seen: Frames, before: Span, burst: Span) -> bool:
    """Whether the burst is the cadence's next: soon, as loud, the same tone, and nothing said in between."""
    pause = slice(before[1] + 2, max(before[1] + 2, burst[0] - 2))
    levels = [float(np.median(seen.level[start:end])) for start, end in (before, burst)]
    peaks = [float(np.median(seen.peak[start:end])) for start, end in (before, burst)]
    quiet = seen.level[pause] < min(levels) - 12
    return (
        (burst[0] - before[1]) * HOP_SECONDS <= _MAX_CADENCE_PAUSE
        and abs(levels[0] - levels[1]) < 3
        and abs(peaks[0] - peaks[1]) <= 110
        and (quiet.size == 0 or float(np.mean(quiet)) > 0.9)
    )


def _silences(seen: Frames) -> list[Span]:
    """Runs at the level of the line's own noise in which no voice is heard."""
    floor, loud = np.quantile(seen.level, [0.1, 0.95])
    ceiling = floor + 6.0
    if loud - floor > 12:
        ceiling = min(ceiling, loud - 12)
    quiet = (seen.level < max(-60.0, float(ceiling))) & (~seen.voiced | (seen.level < -60))
    return _runs(quiet, _MIN_SILENCE, bridge=2 * HOP_SECONDS)


def _music(seen: Frames, rings: list[Span]) -> list[Span]:
    """Music on hold: over three seconds the spectrum stands still more than in speech, without a speaker's pauses."""
    sound = seen.level > max(-50.0, float(np.quantile(seen.level, 0.95)) - 25)
    steady = np.where(sound, seen.steady, 0.0)
    for start, end in rings:
        steady[start:end] = 0.0
    width = round(3.0 / HOP_SECONDS)
    if len(seen) < width:
        return []
    window = np.ones(width) / width
    mean = np.convolve(steady, window, "same")
    filled = np.convolve(sound, window, "same")
    return _runs((mean > _MUSIC_STEADINESS) & (filled > 0.85), _MIN_HOLD, bridge=1.0)


def _announcements(audio: Audio, seen: Frames, rings: list[Span], keys: list[Span]) -> list[Span]:
    """From the call's beginning to its last early key or ring, where all that is heard there is one voice's."""
    begin = 0
    for start, end in sorted(rings + keys):
        near = (start - begin) * HOP_SECONDS <= _PROMPT_STEP and end * HOP_SECONDS <= _PROMPT_WITHIN
        if not near or not _is_one_voice(audio, seen, (begin, start)):
            break
        begin = end
    return [(0, begin)] if begin else []


def _is_one_voice(audio: Audio, seen: Frames, span: Span) -> bool:
    """Whether a stretch is surely not two people talking: one channel only, and one pitch."""
    start, end = (round(edge * HOP_SECONDS * audio.rate) for edge in span)
    if audio.channels:
        powers = sorted(float(np.sum(np.square(side[start:end]))) for side in audio.channels)
        if powers[-2] > 0.01 * powers[-1]:
            return False
    voiced = seen.voiced.copy()
    voiced[: span[0]] = voiced[span[1] :] = False
    pitches = [_pitch(audio.samples, audio.rate, run) for run in _runs(voiced, 0.3, bridge=0.15)]
    heard = [pitch for pitch in pitches if pitch]
    return not heard or max(heard) <= _PROMPT_PITCH_SPREAD * min(heard)


def _pitch(samples: Samples, rate: int, span: Span) -> float:
    """The median pitch in Hz of an utterance by autocorrelation, 0 where it has none."""
    low, high = rate // 400, rate // 70
    size = 4 * high
    found = []
    for frame in range(span[0], span[1], 2):
        at = round(frame * HOP_SECONDS * rate)
        piece = samples[at : at + size]
        if len(piece) < size:
            break
        power = np.abs(np.fft.rfft(piece - piece.mean(), 2 * size)) ** 2
        match = np.fft.irfft(power)[: high + 1]
        lag = low + int(np.argmax(match[low:]))
        if match[lag] > 0.5 * match[0] > 0:
            found.append(rate / lag)
    return float(np.median(found)) if len(found) >= 5 else 0.0
