"""Gives telephone speech back an upper band, because the embedded acoustic model was trained on 16 kHz speech.

A telephone passes nothing above 4 kHz; to a wideband model every ``s``, ``sh`` and ``f`` is then missing. From the
lower band of each frame a small network predicts how loud the upper bands were, and shaped noise fills them:
artificial bandwidth extension (Jax and Vary 2003) with noise as the excitation, which is what fricatives are. Audio
that has an upper band passes unchanged.

The network's numbers lie in ``bandwidth.json``, made by :mod:`cofi_dagster.node.speech.train_bandwidth`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import pairwise
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy.signal import istft, stft

from cofi_dagster.node.engines import SPEECH_RATE, Samples

Matrix = npt.NDArray[np.float64]

WINDOW, HOP = 512, 160
LOW_EDGES = np.geomspace(200, 3500, 19)
HIGH_EDGES = np.array([3900, 4500, 5100, 5700, 6300, 7000])
CONTEXT = 2
"""Frames before and after that the network sees, each ``HOP`` samples apart."""

_EMPTY_ABOVE_HZ = 4300
_EMPTY_SHARE = 1e-4
_FLOOR = 1e-10


@dataclass(frozen=True, slots=True)
class Network:
    """One hidden layer: ``high = tanh(low @ w1 + b1) @ w2 + b2``, all in natural log of band power."""

    w1: Matrix
    b1: Matrix
    w2: Matrix
    b2: Matrix

    @classmethod
    def shipped(cls) -> Self:
        """The network that comes with the package."""
        text = resources.files("cofi_dagster.node.speech").joinpath("bandwidth.json").read_text(encoding="utf-8")
        return cls(**{name: np.asarray(values) for name, values in json.loads(text).items()})

    def predict(self, low: Matrix) -> Matrix:
        """Log power of the upper bands for each row of :func:`with_context`."""
        return np.asarray(np.tanh(low @ self.w1 + self.b1) @ self.w2 + self.b2)


def widen(samples: Samples) -> Samples:
    """``samples`` at 16 kHz with an upper band that fits the lower one, where it had none."""
    if len(samples) < WINDOW:
        return samples
    spectrum = spectrum_of(samples)
    power = np.abs(spectrum) ** 2
    frequencies = np.linspace(0, SPEECH_RATE / 2, spectrum.shape[0])
    if power[frequencies > _EMPTY_ABOVE_HZ].sum() > _EMPTY_SHARE * power.sum():
        return samples
    low = band_power(power, LOW_EDGES)
    level = loudness(low)
    high = _shipped().predict(with_context(low - level)) + level
    upper = frequencies >= HIGH_EDGES[0]
    gains = np.zeros_like(power)
    gains[upper] = np.exp(_between_bands(frequencies[upper]) @ high.T / 2)
    noise = spectrum_of(np.random.default_rng(0).standard_normal(len(samples)).astype(np.float32))
    noise /= np.sqrt(np.mean(np.abs(noise) ** 2))
    _, added = istft(noise * gains, SPEECH_RATE, nperseg=WINDOW, noverlap=WINDOW - HOP)
    widened = samples.copy()
    shared = min(len(added), len(samples))
    widened[:shared] += added[:shared].astype(np.float32)
    return widened


def _between_bands(frequencies: Matrix) -> Matrix:
    """Linear interpolation from the upper bands' centres to ``frequencies``, as a matrix."""
    centres = (HIGH_EDGES[:-1] + HIGH_EDGES[1:]) / 2
    unit = np.eye(len(centres))
    return np.stack([np.interp(frequencies, centres, row) for row in unit], axis=1)


def spectrum_of(samples: Samples) -> npt.NDArray[np.complex128]:
    """Short-time spectrum, shape ``(WINDOW / 2 + 1, frames)``."""
    _, _, spectrum = stft(samples.astype(np.float64), SPEECH_RATE, nperseg=WINDOW, noverlap=WINDOW - HOP)
    return np.asarray(spectrum)


def band_power(power: Matrix, edges: Matrix) -> Matrix:
    """Log mean power between each two ``edges`` in Hz, shape ``(frames, bands)``."""
    frequencies = np.linspace(0, SPEECH_RATE / 2, power.shape[0])
    bands = [
        power[(frequencies >= low) & (frequencies < max(high, low + SPEECH_RATE / WINDOW + 1))].mean(axis=0)
        for low, high in pairwise(edges)
    ]
    return np.log(np.stack(bands, axis=1) + _FLOOR)


def loudness(low: Matrix) -> float:
    """The level that a recording's band powers are taken against: that of its louder tenth of frames."""
    return float(np.percentile(low.max(axis=1), 90))


def with_context(low: Matrix) -> Matrix:
    """Each frame beside the ``CONTEXT`` frames before and after it."""
    padded = np.pad(low, ((CONTEXT, CONTEXT), (0, 0)), mode="edge")
    return np.concatenate([padded[i : i + len(low)] for i in range(2 * CONTEXT + 1)], axis=1) / 5


@cache
def _shipped() -> Network:
    return Network.shipped()
