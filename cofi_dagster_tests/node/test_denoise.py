from __future__ import annotations

import numpy as np
import pytest

from cofi_dagster.node.denoise import denoise
from cofi_dagster.node.engines import Audio
from cofi_dagster_tests.node.signals import RATE, conversation, silence, tone, with_noise


def snr(clean: np.ndarray, heard: np.ndarray) -> float:
    """Signal to noise in dB, free of the level (scale-invariant)."""
    part = clean * (np.dot(clean, heard) / np.dot(clean, clean))
    return float(10 * np.log10(np.sum(np.square(part)) / np.sum(np.square(heard - part))))


@pytest.mark.parametrize(("hiss", "gain"), [(0.01, 2.0), (0.02, 4.0), (0.05, 5.0)])
def test_hiss_is_reduced_by_decibels(hiss: float, gain: float) -> None:
    talk = conversation()
    noisy = with_noise(talk, hiss)
    (cleaned,) = denoise(Audio(noisy, RATE))
    assert cleaned.shape == noisy.shape
    assert snr(talk, cleaned) - snr(talk, noisy) > gain


def test_mains_hum_is_reduced() -> None:
    talk = conversation()
    hum = tone(len(talk) / RATE, 100, 150, 200, level=0.02)[: len(talk)]
    noisy = with_noise(talk + hum, 0.005)
    (cleaned,) = denoise(Audio(noisy, RATE))
    assert snr(talk, cleaned) - snr(talk, noisy) > 2


def test_clean_speech_stays_as_it_is() -> None:
    for talk in (conversation(), conversation(1.5), with_noise(conversation(1.5), 0.001)):
        (cleaned,) = denoise(Audio(talk, RATE))
        assert np.array_equal(cleaned, talk)


def test_each_channel_is_cleaned_by_itself() -> None:
    talk = conversation()
    noisy = with_noise(talk, 0.02)
    left, right = denoise(Audio((talk + noisy) / 2, RATE, (talk, noisy)))
    assert np.array_equal(left, talk)
    assert snr(talk, right) > snr(talk, noisy) + 3


@pytest.mark.parametrize("length", [0.001, 0.1, 1.0, 10.0])
def test_silence_and_scraps_are_no_trouble(length: float) -> None:
    for samples in (silence(length), with_noise(silence(length), 0.01)):
        (cleaned,) = denoise(Audio(samples, RATE))
        assert cleaned.shape == samples.shape
        assert np.isfinite(cleaned).all()
