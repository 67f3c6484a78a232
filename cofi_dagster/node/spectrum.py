"""What a call looks like, 50 times a second: levels, tones, DTMF keys, steadiness, voice. No decisions about segments.

All features are computed at 8 kHz, the telephone's rate, on windows of 64 ms every 20 ms, a minute at a time, so that
an hour of audio needs no more memory than a minute.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import webrtcvad

from cofi_dagster.node.engines import Samples

RATE = 8_000
HOP = 160
HOP_SECONDS = HOP / RATE
_WINDOW = 512
_MARGIN = 16
_BLOCK = 3_000
_STEADY_LAG = 8
_BIN_HZ = RATE / _WINDOW
_TINY = 1e-10

_DTMF_ROWS = (697.0, 770.0, 852.0, 941.0)
_DTMF_COLUMNS = (1209.0, 1336.0, 1477.0, 1633.0)
_PROGRESS_BAND = (330.0, 500.0)

Floats = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """Features of a call, each of shape (frames,), one frame every :data:`HOP_SECONDS`.

    Attributes:
        level: power in dB below full scale, at least -100.
        progress: share of the power within the call-progress band (330-500 Hz: ring-back of India, Europe, the US).
        peak: frequency in Hz of the strongest bin.
        dtmf: whether two tones of the DTMF grid (ITU-T Q.23) hold nearly all power, neither much above the other.
        steady: share of the power in bins that keep their strength over ±160 ms: near 1 for held notes and tones, a
            third or less for noise, in between for speech.
        voiced: whether WebRTC's voice activity detector hears speech.
    """

    level: Floats
    progress: Floats
    peak: Floats
    dtmf: Flags
    steady: Floats
    voiced: Flags

    def __len__(self) -> int:
        return len(self.level)


def frames(samples: Samples) -> Frames:
    """The features of mono audio at :data:`RATE`."""
    count = max(1, -(-len(samples) // HOP))
    margin = _MARGIN * HOP
    padded = np.pad(samples, (margin + _WINDOW // 2, margin + _WINDOW + HOP))
    blocks = [_block(padded, start, min(_BLOCK, count - start)) for start in range(0, count, _BLOCK)]
    level, progress, peak, dtmf, steady = (np.concatenate(column) for column in zip(*blocks, strict=True))
    return Frames(level, progress, peak, dtmf, steady, _voiced(samples, count))


def _block(padded: Samples, start: int, count: int) -> tuple[Floats, Floats, Floats, Flags, Floats]:
    """The features of ``count`` frames from ``start``; the margin on both sides is for steadiness."""
    total = count + 2 * _MARGIN
    piece = padded[start * HOP : (start + total) * HOP + _WINDOW]
    windows = np.lib.stride_tricks.sliding_window_view(piece, _WINDOW)[::HOP][:total]
    power = np.square(np.abs(np.fft.rfft(windows * np.hanning(_WINDOW).astype(np.float32), axis=1)))
    power = power.astype(np.float32)
    power[:, :4] = 0.0
    inner = slice(_MARGIN, _MARGIN + count)
    held = power[inner]
    for lag in (-_STEADY_LAG, _STEADY_LAG):
        held = np.minimum(held, power[_MARGIN + lag : _MARGIN + lag + count])
    sound = power[inner]
    whole = sound.sum(axis=1) + _TINY
    level = 10 * np.log10(np.maximum(np.mean(np.square(windows[inner]), axis=1), _TINY))
    return (
        level.astype(np.float32),
        _band(sound, *_PROGRESS_BAND) / whole,
        (sound.argmax(axis=1) * _BIN_HZ).astype(np.float32),
        _is_dtmf(sound, whole),
        held.sum(axis=1) / whole,
    )


def _band(power: Floats, low: float, high: float) -> Floats:
    inside: Floats = power[:, round(low / _BIN_HZ) : round(high / _BIN_HZ) + 1].sum(axis=1)
    return inside


def _is_dtmf(power: Floats, whole: Floats) -> Flags:
    """One row and one column tone hold at least 85 % of the power, within 12 dB of each other."""
    rows, columns = (
        np.stack([_band(power, tone - 28, tone + 28) for tone in tones]).max(axis=0) / whole
        for tones in (_DTMF_ROWS, _DTMF_COLUMNS)
    )
    found: Flags = (rows + columns > 0.85) & (np.minimum(rows, columns) > 0.06)
    return found


def _voiced(samples: Samples, count: int) -> Flags:
    detector = webrtcvad.Vad(2)
    pcm = np.round(np.pad(samples, (0, count * HOP - len(samples))) * 32767).astype("<i2").tobytes()
    step = 2 * HOP
    return np.fromiter(
        (detector.is_speech(pcm[at : at + step], RATE) for at in range(0, count * step, step)), bool, count
    )
