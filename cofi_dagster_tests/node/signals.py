"""Signals to test the node with: speech, the telephone network's tones, music, noise, and files of every format."""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from cofi_dagster.demo.synthesis import Voice, speak

RATE = 8000
Samples = npt.NDArray[np.float32]

DEALER = Voice("gmw/en-US", pitch=35)
CLIENT = Voice("gmw/en-US+f3", pitch=60)

TALK = (
    (DEALER, "Good morning, this is Ravi from the dealing desk, how can I help you today?"),
    (CLIENT, "Hello Ravi, please buy five hundred shares of Tata Motors at six hundred and ten rupees."),
    (DEALER, "Sure, so that is buy five hundred Tata Motors at six ten, shall I confirm it?"),
    (CLIENT, "Yes, please confirm. And what is the price of Reliance just now, has it gone up again?"),
    (DEALER, "Reliance is at two thousand nine hundred and forty, up by one percent since the morning."),
)
PROMPT = "Welcome. Your call is recorded for quality and training purposes. For orders, press one."

KEYS = {"1": (697, 1209), "5": (770, 1336), "9": (852, 1477), "#": (941, 1477)}


@cache
def said(text: str, voice: Voice = DEALER) -> Samples:
    spoken = speak(text, voice, RATE)
    return (0.4 * spoken / np.abs(spoken).max()).astype(np.float32)


@cache
def conversation(pause: float = 0.4) -> Samples:
    """About 27 seconds of two people's talk."""
    parts = [part for voice, text in TALK for part in (said(text, voice), silence(pause))]
    return np.concatenate(parts)


def silence(seconds: float, rate: int = RATE) -> Samples:
    return np.zeros(round(seconds * rate), np.float32)


def tone(seconds: float, *frequencies: float, rate: int = RATE, level: float = 0.2) -> Samples:
    time = np.arange(round(seconds * rate)) / rate
    return sum(level * np.sin(2 * np.pi * f * time) for f in frequencies).astype(np.float32)


def indian_ring(times: int = 2, *, beat: bool = False) -> Samples:
    """400 Hz, 0.4 s on, 0.2 s off, 0.4 s on, 2 s off; ``beat`` modulates it with 25 Hz."""
    burst = tone(0.4, 400)
    if beat:
        burst = burst * (0.5 + 0.5 * np.sin(2 * np.pi * 25 * np.arange(len(burst)) / RATE)).astype(np.float32)
    return np.concatenate([burst, silence(0.2), burst, silence(2.0)] * times)


def american_ring(times: int = 2) -> Samples:
    return np.concatenate([tone(2.0, 440, 480, level=0.1), silence(4.0)] * times)


def keys(digits: str) -> Samples:
    return np.concatenate([np.concatenate([tone(0.1, *KEYS[d]), silence(0.1)]) for d in digits])


def music(seconds: float) -> Samples:
    """Chords of four notes with overtones, two a second, each swelling and fading a little."""
    rng = np.random.default_rng(4)
    scale = 220 * 2 ** (np.array([0, 2, 4, 5, 7, 9, 11, 12]) / 12)
    chords = []
    for _ in range(int(seconds / 0.75) + 1):
        notes = rng.choice(scale, 4, replace=False)
        chord = sum(tone(0.75, *(n * k for k in (1, 2, 3)), level=0.03) for n in notes)
        chords.append(chord * np.linspace(1.0, 0.5, len(chord)))
    return np.concatenate(chords)[: round(seconds * RATE)].astype(np.float32)


def noise(seconds: float, level: float, seed: int = 1) -> Samples:
    return (level * np.random.default_rng(seed).standard_normal(round(seconds * RATE))).astype(np.float32)


def with_noise(samples: Samples, level: float) -> Samples:
    return np.clip(samples + noise(len(samples) / RATE, level), -1, 1)


# suffix and name of a test -> (container, encoder, its options, rates it takes)
FORMATS = {
    "pcm.wav": ("wav", "pcm_s16le", 8000),
    "pcm24.wav": ("wav", "pcm_s24le", 44100),
    "float.wav": ("wav", "pcm_f32le", 16000),
    "mulaw.wav": ("wav", "pcm_mulaw", 8000),
    "alaw.wav": ("wav", "pcm_alaw", 8000),
    "call.mp3": ("mp3", "libmp3lame", 8000),
    "call.flac": ("flac", "flac", 8000),
    "call.ogg": ("ogg", "libopus", 48000),
    "call.opus": ("ogg", "libopus", 16000),
    "call.m4a": ("mp4", "aac", 16000),
    "call.amr": ("amr", "libopencore_amrnb", 8000),
    "call.ul": ("mulaw", "pcm_mulaw", 8000),
}


def encode(path: Path, kind: str, samples: Samples, right: Samples | None = None) -> Path:
    """Write ``samples`` (at :data:`RATE`) to ``path`` in one of :data:`FORMATS`; ``right`` makes it two-channel."""
    container, encoder, rate = FORMATS[kind]
    planes = np.stack([samples] if right is None else [samples, right])
    pcm = np.round(np.clip(planes, -1, 1) * 32767).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(
        pcm.T.reshape(1, -1).copy(), format="s16", layout="mono" if right is None else "stereo"
    )
    frame.sample_rate = RATE
    frame.time_base = Fraction(1, RATE)
    frame.pts = 0
    with av.open(str(path), "w", format=container) as out:
        options = {"bit_rate": 12200} if encoder == "libopencore_amrnb" else {}
        stream = out.add_stream(encoder, rate=rate, layout=frame.layout.name, **options)
        resampler = av.AudioResampler(
            stream.codec_context.format, frame.layout, rate, frame_size=stream.codec_context.frame_size or 1024
        )
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            out.mux(stream.encode(piece))
        out.mux(stream.encode(None))
    return path
