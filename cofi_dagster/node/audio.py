"""Reading recordings: every format that telephony gives, as float32 samples. Nothing here changes or judges the sound.

The format is taken from the file's first bytes, and from its name only where a format has no header (raw G.729, µ-law,
A-law, GSM). FFmpeg never probes: its playlist demuxers would open other files of the machine for whoever uploads one.
"""

from __future__ import annotations

import wave
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
import numpy.typing as npt
from av.audio.resampler import AudioResampler
from av.error import FFmpegError

from cofi_dagster.node.engines import Audio, Samples

MAX_SECONDS = 6 * 3600
"""Longest recording in seconds that is decoded: a few kilobytes of FLAC can hold days of silence."""

# (offset, bytes at that offset, FFmpeg's demuxer)
_MAGIC = (
    (8, b"WAVE", "wav"),
    (0, b"fLaC", "flac"),
    (0, b"OggS", "ogg"),
    (4, b"ftyp", "mp4"),
    (0, b"#!AMR", "amr"),
    (0, b"ID3", "mp3"),
    (0, b".snd", "au"),
    (8, b"AIFF", "aiff"),
    (8, b"AIFC", "aiff"),
    (0, b"\x1aE\xdf\xa3", "matroska"),
    (0, b"0&\xb2u\x8ef\xcf\x11", "asf"),
)

# A headerless format is known by its name alone: suffix -> (demuxer, its options).
_PHONE = {"sample_rate": "8000"}
_HEADERLESS: dict[str, tuple[str, dict[str, str]]] = {
    ".g729": ("g729", {}),
    ".g729a": ("g729", {}),
    ".gsm": ("gsm", {}),
    ".ul": ("mulaw", _PHONE),
    ".ulaw": ("mulaw", _PHONE),
    ".al": ("alaw", _PHONE),
    ".alaw": ("alaw", _PHONE),
}


class AudioError(ValueError):
    """A file that cannot be processed; the message is one sentence for the operator, ``status`` the HTTP status."""

    status = 422


class UnsupportedAudio(AudioError):
    """The file is no audio, or of a format that no decoder is there for."""

    status = 415


class CorruptAudio(AudioError):
    """The format is known, but no sound can be had from the file: empty, cut in its header, damaged."""

    status = 422


class TooLongAudio(AudioError):
    """The recording is longer than :data:`MAX_SECONDS`."""

    status = 413


def decode(path: Path, name: str | None = None, *, rate: int | None = None) -> Audio:
    """Read a recording. ``name`` is the client's name of the file (its suffix names headerless formats).

    ``rate``: wanted samples per second; None keeps the recording's own. A recording whose end is missing gives what
    is there; damaged packets are left out unless they are the greater part.

    Raises:
        UnsupportedAudio: no known format, or no decoder for it.
        CorruptAudio: a known format without one readable sample, or mostly damaged.
        TooLongAudio: longer than :data:`MAX_SECONDS`.
        FileNotFoundError: there is no such file.
    """
    with path.open("rb") as file:
        demuxer, options = demuxer_of(file, name or path.name)
        try:
            planes, own_rate = _read(file, demuxer, options, rate)
        except FFmpegError as error:
            raise CorruptAudio(f"the {demuxer} audio is damaged: {error.strerror}") from None
    if not planes.shape[1]:
        raise CorruptAudio(f"the {demuxer} file holds no sound")
    return _audio(planes, own_rate)


def demuxer_of(file: BinaryIO, name: str) -> tuple[str, dict[str, str]]:
    """FFmpeg's demuxer for an open file, with its options; the file is left at its beginning.

    Raises:
        UnsupportedAudio: no known format.
        CorruptAudio: the file is empty, or ends within its header.
    """
    suffix = Path(name).suffix.lower()
    head = file.read(32)
    file.seek(0)
    if not head:
        raise CorruptAudio("the file is empty (0 bytes)")
    for offset, magic, demuxer in _MAGIC:
        if head[offset : offset + len(magic)] == magic:
            return demuxer, {}
    if suffix in _HEADERLESS:
        return _HEADERLESS[suffix]
    if head[:4] in (b"RIFF", b"RF64", b"BW64") and len(head) < 12:
        raise CorruptAudio("the WAV file ends within its header")
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0:
        return ("mp3" if head[1] & 0x06 else "aac"), {}
    raise UnsupportedAudio(
        "not a known audio format: WAV, MP3, FLAC, OGG/Opus, M4A, AMR, AU, AIFF, WebM, WMA and raw .g729, .gsm, "
        ".ulaw, .alaw are read"
    )


def _read(
    file: BinaryIO, demuxer: str, options: dict[str, str], rate: int | None
) -> tuple[npt.NDArray[np.float32], int]:
    """All samples, shape (channels, n), and their rate."""
    with av.open(file, "r", format=demuxer, options=options) as container:
        if not container.streams.audio:
            raise UnsupportedAudio(f"the {demuxer} file holds no audio stream")
        stream = container.streams.audio[0]
        context = stream.codec_context
        if context is None:
            raise UnsupportedAudio(f"there is no decoder for the sound in this {demuxer} file")
        if not context.sample_rate or not context.channels:
            raise CorruptAudio(f"the {demuxer} file does not say its sampling rate or its channels")
        wanted = rate or context.sample_rate
        resampler = AudioResampler(format="fltp", layout=context.layout, rate=wanted)
        parts: list[npt.NDArray[np.float32]] = []
        packets = damaged = total = 0
        for packet in container.demux(stream):
            packets += 1
            try:
                frames = packet.decode()
            except FFmpegError:
                damaged += 1
                continue
            for frame in frames:
                parts += _resampled(resampler, frame)
            total = total + sum(frame.samples for frame in frames)
            if total > MAX_SECONDS * context.sample_rate:
                raise TooLongAudio(f"the recording is longer than {MAX_SECONDS // 3600} hours")
        if parts:
            parts += _resampled(resampler, None)
    if damaged * 2 > packets:
        raise CorruptAudio(f"the {demuxer} audio is damaged: {damaged} of {packets} packets cannot be decoded")
    empty = np.zeros((context.channels, 0), np.float32)
    return np.concatenate([empty, *parts], axis=1), wanted


def _resampled(resampler: AudioResampler, frame: av.AudioFrame | None) -> list[npt.NDArray[np.float32]]:
    if frame is not None:
        frame.pts = None
    try:
        return [out.to_ndarray().astype(np.float32, copy=False) for out in resampler.resample(frame)]
    except ValueError:
        raise CorruptAudio("the recording changes its sampling rate or its channels on the way") from None


def _audio(planes: npt.NDArray[np.float32], rate: int) -> Audio:
    planes = np.clip(np.nan_to_num(planes, nan=0.0), -1.0, 1.0)
    if len(planes) == 1:
        return Audio(planes[0], rate)
    return Audio(planes.mean(axis=0, dtype=np.float32), rate, tuple(planes))


def with_speakers(audio: Audio) -> Audio:
    """The same call with ``channels`` only where they hold two different sides: left the dealer, right the client.

    Two channels that carry the same sound, or of which one is silent, are one mono recording: keeping them would give
    every word twice, or all words to one person.
    """
    if len(audio.channels) != 2:
        return Audio(audio.samples, audio.rate)
    left, right = audio.channels
    powers = sorted(float(np.mean(np.square(side))) for side in (left, right))
    if powers[0] < 1e-4 * powers[1]:
        return Audio(max(audio.channels, key=lambda side: float(np.mean(np.square(side)))), audio.rate)
    if float(np.mean(np.square(left - right))) < 1e-2 * powers[1]:
        return Audio(audio.samples, audio.rate)
    return audio


def write_wav(file: BinaryIO, channels: tuple[Samples, ...], rate: int) -> None:
    """Write channels of equal length as a 16-bit WAV file."""
    planes = np.clip(np.stack(channels), -1.0, 1.0)
    with wave.open(file, "wb") as out:
        out.setnchannels(len(channels))
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(np.round(planes.T * 32767.0).astype("<i2").tobytes())
