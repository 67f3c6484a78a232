"""Recordings of calls: turns, pauses, tones and the line's noise, put together and written as telephony writes them.

Words come from :mod:`cofi_dagster.demo.scripts`, speech from :mod:`cofi_dagster.demo.synthesis`. Audio is float32 in
[-1, 1] at 8 kHz; a call has two channels, the dealer's and the client's, until it is written.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from cofi_dagster.demo.scripts import SPOKEN_AS
from cofi_dagster.demo.synthesis import Samples, Voice, resample, speak

RATE = 8000
LINE_NOISE = 0.0012
SPEECH_PEAK = 0.45

Channels = npt.NDArray[np.float32]
"""Shape ``(2, n)``: the dealer's side and the client's."""


@dataclass(frozen=True, slots=True)
class Form:
    """How a recording is written: file name suffix, codec, channels, samples and bits a second."""

    suffix: str
    codec: str
    channels: int = 1
    rate: int = RATE
    bit_rate: int | None = None


FORMS: Mapping[str, Form] = {
    "wav": Form(".wav", "pcm_mulaw"),
    "stereo": Form(".wav", "pcm_mulaw", channels=2),
    "mp3": Form(".mp3", "libmp3lame", bit_rate=32_000),
    "ogg": Form(".ogg", "libopus", rate=16_000, bit_rate=24_000),
    "m4a": Form(".m4a", "aac", bit_rate=24_000),
    "flac": Form(".flac", "flac"),
}


@dataclass(frozen=True, slots=True)
class Cast:
    """Who speaks: the dealer, the client and the announcement, and the two of them in Hindi."""

    dealer: Voice
    client: Voice
    announcement: Voice
    dealer_hindi: Voice
    client_hindi: Voice

    def voice(self, speaker: str, text: str) -> Voice:
        """The voice of ``D``, ``C`` or ``P`` for a text in Latin or Devanagari script."""
        if speaker == "P":
            return self.announcement
        hindi = any("\u0900" <= letter <= "\u097f" for letter in text)
        if speaker == "D":
            return self.dealer_hindi if hindi else self.dealer
        return self.client_hindi if hindi else self.client


def record(talk: str, cast: Cast, draw: random.Random) -> Channels:
    """A whole call: the lines of ``talk`` one after the other with natural pauses, and the line's noise over all."""
    pieces = [_silence(draw.uniform(0.5, 0.9))]
    for line in talk.strip().splitlines():
        speaker, _, text = line.strip().partition(": ")
        if speaker == "*":
            pieces.append(_on_both(ring()))
        else:
            spoken = speak(_as_spoken(text), cast.voice(speaker, text), RATE)
            spoken = spoken * np.float32(SPEECH_PEAK / max(float(np.abs(spoken).max(initial=0.0)), 1e-6))
            pieces.append(_on_side(spoken, "C" if speaker == "C" else "D"))
        pieces.append(_silence(draw.uniform(0.45, 0.8)))
    call = np.concatenate(pieces, axis=1)
    noise = np.random.default_rng(draw.getrandbits(32)).normal(0, LINE_NOISE, call.shape)
    return np.clip(call + noise.astype(np.float32), -1, 1).astype(np.float32)


def ring() -> Samples:
    """One ring as in India: 400 Hz beaten by 25 Hz, 0.4 s on, 0.2 off, 0.4 on, 2 off (ITU-T E.180, supplement 2)."""
    time = np.arange(round(0.4 * RATE)) / RATE
    burst = 0.2 * np.sin(2 * np.pi * 400 * time) * (0.6 + 0.4 * np.sin(2 * np.pi * 25 * time))
    quiet = np.zeros(round(0.2 * RATE))
    return np.concatenate([burst, quiet, burst, np.zeros(2 * RATE)]).astype(np.float32)


def write(path: Path, call: Channels, form: Form) -> None:
    """Write ``call`` to ``path``: both sides mixed, or each on its channel.

    Raises:
        OSError: the file cannot be written.
    """
    sides = call if form.channels == 2 else np.clip(call.sum(axis=0, keepdims=True), -1, 1)
    sides = np.stack([resample(side, RATE, form.rate) for side in sides])
    layout = "stereo" if form.channels == 2 else "mono"
    pcm = np.ascontiguousarray(np.round(np.clip(sides, -1, 1) * 32767).astype(np.int16).T).reshape(1, -1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(form.codec, rate=form.rate, layout=layout)
        assert isinstance(stream, av.AudioStream)
        if form.bit_rate is not None:
            stream.bit_rate = form.bit_rate
        frame = av.AudioFrame.from_ndarray(pcm, format="s16", layout=layout)
        frame.sample_rate = form.rate
        resampler = av.AudioResampler(
            format=stream.format.name, layout=layout, rate=form.rate, frame_size=stream.frame_size or 0
        )
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))


def _as_spoken(text: str) -> str:
    for written, spoken in SPOKEN_AS.items():
        text = text.replace(written, spoken)
    return text


def _silence(seconds: float) -> Channels:
    return np.zeros((2, round(seconds * RATE)), np.float32)


def _on_both(samples: Samples) -> Channels:
    return np.stack([samples / 2, samples / 2]).astype(np.float32)


def _on_side(samples: Samples, speaker: str) -> Channels:
    quiet = np.zeros_like(samples)
    return np.stack([samples, quiet] if speaker == "D" else [quiet, samples])
