import numpy as np

from cofi_dagster.demo.synthesis import Voice, speak
from cofi_dagster.node.engines import SPEECH_RATE
from cofi_dagster.node.speech.bandwidth import spectrum_of, widen


def upper_share(samples):
    power = np.abs(spectrum_of(samples)) ** 2
    return power[140:].sum() / power.sum()


def test_telephone_speech_gets_an_upper_band(line):
    samples = line("please sell sixty six shares").samples
    assert upper_share(samples) < 1e-4
    assert upper_share(widen(samples)) > 3e-3


def test_speech_that_has_an_upper_band_passes_unchanged():
    wide = speak("please sell sixty six shares", Voice("gmw/en-US"), SPEECH_RATE)
    assert widen(wide) is wide


def test_silence_stays_silence():
    assert np.abs(widen(np.zeros(SPEECH_RATE, np.float32))).max() < 1e-3
