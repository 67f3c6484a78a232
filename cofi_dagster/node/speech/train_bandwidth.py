"""Trains the network of :mod:`~cofi_dagster.node.speech.bandwidth`.

``python -m cofi_dagster.node.speech.train_bandwidth`` writes ``bandwidth.json``.

Speech comes from the synthesiser at 16 kHz, whole and through a telephone; the voices are not those of the demo. Takes
about a minute and needs nothing but what COFI installs.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from cofi_dagster.demo.synthesis import Voice, resample, speak
from cofi_dagster.node.engines import SPEECH_RATE
from cofi_dagster.node.speech import phrases
from cofi_dagster.node.speech.bandwidth import (
    HIGH_EDGES,
    LOW_EDGES,
    Matrix,
    Network,
    band_power,
    loudness,
    spectrum_of,
    with_context,
)
from cofi_dagster.node.speech.language_model import spoken_symbols

VOICES = (
    "gmw/en", "gmw/en-US+m1", "gmw/en-US+m7", "gmw/en-US+f1", "gmw/en-US+f4", "gmw/en-GB-x-rp", "gmw/en-GB-scotland",
    "gmw/en-US+Alex", "gmw/en-US+linda", "gmw/en-US+david", "gmw/de", "inc/hi", "inc/hi+f1",
)  # fmt: skip
SENTENCES_PER_VOICE = 60
HIDDEN, STEPS, BATCH = 24, 6000, 1024


def examples(seed: int = 11) -> tuple[Matrix, Matrix]:
    """Pairs of what a telephone lets through and what it takes away, one row per frame."""
    draw = np.random.default_rng(seed)
    lows, highs = [], []
    texts = phrases.sentences(len(VOICES) * SENTENCES_PER_VOICE, tuple(spoken_symbols()), seed)
    for number, text in enumerate(texts):
        voice = Voice(VOICES[number % len(VOICES)], int(draw.integers(125, 185)), int(draw.integers(30, 70)))
        wide = speak(" ".join(text), voice, SPEECH_RATE)
        wide = np.pad(wide, 3200) * np.float32(draw.uniform(0.1, 0.6))
        line = resample(wide, SPEECH_RATE, 8000)
        line = line + draw.normal(0, 10 ** draw.uniform(-4, -2.5), len(line)).astype(np.float32)
        low = band_power(np.abs(spectrum_of(resample(line, 8000, SPEECH_RATE))) ** 2, LOW_EDGES)
        high = band_power(np.abs(spectrum_of(wide)) ** 2, HIGH_EDGES)
        frames, level = min(len(low), len(high)), loudness(low)
        lows.append(with_context(low - level)[:frames])
        highs.append(np.maximum(high[:frames] - level, -11.0))
    return np.concatenate(lows), np.concatenate(highs)


def train(low: Matrix, high: Matrix, seed: int = 3) -> Network:
    """Least squares by Adam (Kingma and Ba 2015)."""
    draw = np.random.default_rng(seed)
    weights = [
        draw.normal(0, 1 / np.sqrt(low.shape[1]), (low.shape[1], HIDDEN)),
        np.zeros(HIDDEN),
        draw.normal(0, 1 / np.sqrt(HIDDEN), (HIDDEN, high.shape[1])),
        high.mean(axis=0),
    ]
    first = [np.zeros_like(w) for w in weights]
    second = [np.zeros_like(w) for w in weights]
    for step in range(1, STEPS + 1):
        rows = draw.integers(0, len(low), BATCH)
        hidden = np.tanh(low[rows] @ weights[0] + weights[1])
        error = (hidden @ weights[2] + weights[3] - high[rows]) / BATCH
        back = (error @ weights[2].T) * (1 - hidden**2)
        gradients = [low[rows].T @ back, back.sum(axis=0), hidden.T @ error, error.sum(axis=0)]
        pace = 0.01 * (1 - step / STEPS) + 1e-4
        for i, gradient in enumerate(gradients):
            first[i] = 0.9 * first[i] + 0.1 * gradient
            second[i] = 0.999 * second[i] + 0.001 * gradient**2
            step_size = pace * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
            weights[i] = weights[i] - step_size * first[i] / (np.sqrt(second[i]) + 1e-8)
    return Network(*weights)


def main() -> None:
    """Train and write ``bandwidth.json`` beside this module."""
    network = train(*examples())
    numbers = {name: np.round(getattr(network, name), 4).tolist() for name in ("w1", "b1", "w2", "b2")}
    Path(__file__).with_name("bandwidth.json").write_text(json.dumps(numbers), encoding="utf-8")


if __name__ == "__main__":
    main()
