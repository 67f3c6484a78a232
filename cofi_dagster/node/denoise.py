"""Denoise: steady background noise (line hiss, hum, air conditioning) taken out of a call by spectral gating.

The gate is noisereduce's (T. Sainburg, "noisereduce: domain general noise reduction for time series signals",
2024), its noise profile taken from the call's own quietest moments. Voices in the background, clicks and echo stay: no
gate can tell them from the call. A recording that is clean already is left as it is.
"""

from __future__ import annotations

import numpy as np

from cofi_dagster.node.engines import Audio, Samples

CLEAN_DB = 30.0
"""A channel whose loud moments are so many decibels above its quiet ones is not touched."""

_FRAME_SECONDS = 0.032
_FLOOR, _FLOOR_SHARE, _FLOOR_SPREAD_DB = 0.02, 0.10, 3.0
_SILENT = 1e-5
_STRENGTH = 0.9


def denoise(audio: Audio) -> tuple[Samples, ...]:
    """The channels of a recording (one for mono), cleaned, of the same length and rate."""
    return tuple(_clean(channel, audio.rate) for channel in audio.channels or (audio.samples,))


def warm_denoise() -> None:
    """Import what the first call would otherwise wait seconds for."""
    _clean(np.random.default_rng(0).uniform(-0.1, 0.1, 8000).astype(np.float32), 8000)


def _clean(channel: Samples, rate: int) -> Samples:
    noise = noise_profile(channel, rate)
    if noise is None:
        return channel
    import noisereduce  # half a second of imports that only denoise needs

    size = 1 << max(6, round(np.log2(rate * _FRAME_SECONDS)))
    cleaned = noisereduce.reduce_noise(
        y=channel, sr=rate, y_noise=noise, stationary=True, prop_decrease=_STRENGTH, n_fft=size, n_jobs=1,
        n_std_thresh_stationary=1.5, freq_mask_smooth_hz=None, time_mask_smooth_ms=50,
    )  # fmt: skip
    return np.asarray(cleaned, dtype=np.float32)


def noise_profile(channel: Samples, rate: int) -> Samples | None:
    """The quietest moments of a channel, joined, or None where there is nothing to gate.

    Steady noise is a floor: a tenth of all moments and more lie within 3 dB of the quietest. Without such a floor the
    quiet moments are quiet speech. Digital silence (a muted line) says nothing about the noise under the talk and is
    passed over. Nothing is gated either where the talk is :data:`CLEAN_DB` above the floor, or the recording is
    shorter than half a second.
    """
    size = int(rate * _FRAME_SECONDS)
    frames = channel[: len(channel) // size * size].reshape(-1, size)
    level = np.sqrt(np.mean(np.square(frames), axis=1))
    heard = level > _SILENT
    if heard.sum() * _FRAME_SECONDS < 0.5:
        return None
    floor, tenth, loud = _decibels(np.quantile(level[heard], [_FLOOR, _FLOOR_SHARE, 0.95]))
    if tenth - floor > _FLOOR_SPREAD_DB or loud - floor > CLEAN_DB:
        return None
    noise: Samples = frames[heard & (_decibels(level) <= floor + _FLOOR_SPREAD_DB)].reshape(-1)
    return noise


def _decibels(level: Samples) -> Samples:
    decibels: Samples = 20 * np.log10(np.maximum(level, _SILENT))
    return decibels
