"""Speech from text, by the espeak-ng library that the ``espeakng_loader`` wheel brings.

What is said, by whom and in which call belongs to :mod:`cofi_dagster.demo.scripts`; how a call is put together belongs
to :mod:`cofi_dagster.demo.recording`.

espeak-ng holds its state in one place per process, so one voice at a time speaks (a lock sees to it). Its flutter comes
from random numbers: they are seeded once, so that the same words in the same order give the same samples in every fresh
process. Its C interface: ``speak_lib.h`` and ``espeak_ng.h`` of espeak-ng 1.52.
"""

from __future__ import annotations

import ctypes
import threading
from dataclasses import dataclass
from functools import cache
from math import gcd

import espeakng_loader
import numpy as np
import numpy.typing as npt
from scipy.signal import resample_poly

Samples = npt.NDArray[np.float32]

_AUDIO_OUTPUT_SYNCHRONOUS = 2
_CHARS_UTF8 = 1
_SSML = 0x10
_RATE, _PITCH, _RANGE = 1, 3, 4
_OK = 0
_FLUTTER_SEED = 7

_SynthCallback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class SynthesisError(RuntimeError):
    """The synthesiser is not there, or refuses a voice."""


@dataclass(frozen=True, slots=True)
class Voice:
    """A voice of espeak-ng.

    Attributes:
        name: voice and variant as espeak names them, e.g. ``gmw/en-US+f3``.
        speed: words a minute.
        pitch: base pitch, 0 to 99.
        liveliness: pitch range, 0 to 99.
    """

    name: str
    speed: int = 150
    pitch: int = 50
    liveliness: int = 50


class _Espeak:
    """The loaded library with the one callback that collects its samples."""

    def __init__(self) -> None:
        try:
            self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        except OSError as error:
            raise SynthesisError(f"espeak-ng's library cannot be loaded: {error}") from error
        data = espeakng_loader.get_data_path().encode()
        self.rate = int(self._library.espeak_Initialize(_AUDIO_OUTPUT_SYNCHRONOUS, 0, data, 0))
        if self.rate <= 0:
            raise SynthesisError("espeak-ng does not find its data")
        self._library.espeak_ng_SetRandSeed(ctypes.c_long(_FLUTTER_SEED))
        self._chunks: list[npt.NDArray[np.int16]] = []
        self._callback = _SynthCallback(self._collect)
        self._library.espeak_SetSynthCallback(self._callback)

    def _collect(self, samples: ctypes._Pointer[ctypes.c_short], count: int, _events: int | None) -> int:
        if samples and count > 0:
            self._chunks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    def speak(self, text: str, voice: Voice) -> Samples:
        self._chunks.clear()
        if self._library.espeak_SetVoiceByName(voice.name.encode()) != _OK:
            raise SynthesisError(f"espeak-ng has no voice {voice.name!r}")
        for parameter, value in ((_RATE, voice.speed), (_PITCH, voice.pitch), (_RANGE, voice.liveliness)):
            self._library.espeak_SetParameter(parameter, value, 0)
        encoded = text.encode()
        self._library.espeak_Synth(encoded, len(encoded) + 1, 0, 1, 0, _CHARS_UTF8 | _SSML, None, None)
        self._library.espeak_Synchronize()
        if not self._chunks:
            return np.zeros(0, np.float32)
        return np.asarray(np.concatenate(self._chunks) / 32768, dtype=np.float32)


_lock = threading.Lock()


@cache
def _espeak() -> _Espeak:
    return _Espeak()


def speak(text: str, voice: Voice, rate: int = 8000) -> Samples:
    """Say ``text``: mono float32 in [-1, 1] at ``rate`` samples a second, without silence before and after.

    Raises:
        SynthesisError: the library or the voice is missing.
    """
    with _lock:
        espeak = _espeak()
        spoken = espeak.speak(text, voice)
    return _trim(resample(spoken, espeak.rate, rate))


def resample(samples: Samples, from_rate: int, to_rate: int) -> Samples:
    """``samples`` at another rate, band-limited by a polyphase filter."""
    if from_rate == to_rate or not len(samples):
        return samples
    shared = gcd(from_rate, to_rate)
    return np.asarray(resample_poly(samples, to_rate // shared, from_rate // shared), dtype=np.float32)


def _trim(samples: Samples, floor: float = 0.003) -> Samples:
    loud = np.flatnonzero(np.abs(samples) > floor)
    if not len(loud):
        return samples[:0]
    return samples[loud[0] : loud[-1] + 1]
