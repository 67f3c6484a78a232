"""Recordings that browsers do not play, as WAV: decoded once, kept while they are listened to, in a bounded folder.

What a browser plays goes to it as it is. Telephony's other formats (G.729, AMR, GSM, WMA, AIFF, AU, WAV with anything
but PCM in it) are decoded packet by packet, so that hours of sound take no more memory than seconds.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
import wave
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO

MOST_BYTES = 1 << 30
_MOST_RATE = 16_000
_AT_ONCE = 2
_IN_USE_SECONDS = 60.0
_KEPT_SECONDS = 3600.0
_WAV = "audio/wav"
_LAYOUTS = {1: "mono", 2: "stereo"}
_PLAYED = {
    "wav": (_WAV, ("pcm_s16le", "pcm_u8", "pcm_s24le", "pcm_f32le")),
    "mp3": ("audio/mpeg", ("mp3", "mp3float")),
    "flac": ("audio/flac", ("flac",)),
    "ogg": ("audio/ogg", ("vorbis", "opus", "flac")),
    "mp4": ("audio/mp4", ("aac", "mp3", "mp3float")),
    "matroska": ("audio/webm", ("vorbis", "opus")),
}
"""Of each demuxer of FFmpeg the media type, and the codecs that browsers play in it."""


@dataclass(frozen=True, slots=True)
class Playable:
    """A file that a browser plays, and its media type."""

    path: Path
    media_type: str


def media_type_of(path: Path, name: str) -> str | None:
    """The media type of a recording that browsers play as it is; None where it has to be decoded.

    Raises:
        AudioError: it is no audio, or damaged; the message is one sentence.
        OSError: the file cannot be read.
    """
    import av
    from av.error import FFmpegError

    from cofi_dagster.node.audio import CorruptAudio, demuxer_of

    with path.open("rb") as file:
        demuxer, options = demuxer_of(file, name)
        try:
            with av.open(file, "r", format=demuxer, options=options) as container:
                codecs = [stream.codec_context.name for stream in container.streams.audio if stream.codec_context]
        except FFmpegError as error:
            raise CorruptAudio(f"the {demuxer} audio is damaged: {error.strerror}") from None
    media_type, played = _PLAYED.get(demuxer, ("", ()))
    return media_type if codecs and codecs[0] in played else None


class DecodedAudio:
    """The folder of decoded recordings. Safe for threads; several servers may share it."""

    def __init__(self, folder: Path, most_bytes: int = MOST_BYTES) -> None:
        """``most_bytes``: what it may hold; only recordings played within the last minute are kept beyond that."""
        self._folder = folder
        self._most_bytes = most_bytes
        self._decoders = threading.BoundedSemaphore(_AT_ONCE)
        self._locks = tuple(threading.Lock() for _ in range(16))

    def playable(self, path: Path, name: str) -> Playable:
        """A recording as a browser plays it.

        Raises:
            AudioError: it is no audio, damaged or too long; the message is one sentence.
            OSError: the file cannot be read.
        """
        media_type = media_type_of(path, name)
        if media_type is not None:
            return Playable(path, media_type)
        about = path.stat()
        mark = f"{path}\0{about.st_size}\0{about.st_mtime_ns}".encode("utf-8", "surrogateescape")
        digest = blake2b(mark, digest_size=16).digest()
        decoded = self._folder / f"{digest.hex()}.wav"
        with self._locks[digest[0] % len(self._locks)]:
            if not decoded.exists():
                with self._decoders:
                    self._decode(path, name, decoded)
            os.utime(decoded)
        return Playable(decoded, _WAV)

    def _decode(self, path: Path, name: str, decoded: Path) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        descriptor, part = tempfile.mkstemp(dir=self._folder, suffix=".part")
        try:
            with os.fdopen(descriptor, "wb") as out, path.open("rb") as file:
                write_wav(file, name, out)
            os.replace(part, decoded)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(part)
        self._make_room()

    def _make_room(self) -> None:
        """Remove those that nobody listens to any more, and the longest unplayed until the rest is within the bound."""
        found = sorted((entry.stat().st_mtime, entry.stat().st_size, entry.path) for entry in os.scandir(self._folder))
        total, now = sum(size for _, size, _ in found), time.time()
        for played, size, path in found:
            is_over = total > self._most_bytes and played < now - _IN_USE_SECONDS
            if is_over or played < now - _KEPT_SECONDS:
                with suppress(FileNotFoundError):
                    os.unlink(path)
                total -= size


def folder_of(home: Path) -> Path:
    """Where an installation keeps its decoded recordings."""
    return home.absolute() / "cache" / "audio"


def forget_decoded(home: Path) -> None:
    """Remove all decoded recordings: a purge of the recordings themselves leaves no copy behind."""
    with suppress(FileNotFoundError):
        for entry in os.scandir(folder_of(home)):
            with suppress(FileNotFoundError):
                os.unlink(entry.path)


def write_wav(file: BinaryIO, name: str, out: BinaryIO) -> None:
    """Decode a recording to 16-bit WAV, packet by packet; damaged packets are left out.

    Raises:
        AudioError: no known format, no readable sound, or longer than is decoded anywhere in COFI.
    """
    import av
    from av.audio.resampler import AudioResampler
    from av.error import FFmpegError

    from cofi_dagster.node.audio import MAX_SECONDS, CorruptAudio, TooLongAudio, demuxer_of

    demuxer, options = demuxer_of(file, name)
    try:
        with av.open(file, "r", format=demuxer, options=options) as container, wave.open(out, "wb") as wav:
            stream = container.streams.audio[0] if container.streams.audio else None
            context = stream.codec_context if stream is not None else None
            if stream is None or context is None or not context.sample_rate or not context.channels:
                raise CorruptAudio(f"the {demuxer} file holds no sound that can be decoded")
            rate, channels = min(context.sample_rate, _MOST_RATE), min(context.channels, 2)
            resampler = AudioResampler(format="s16", layout=_LAYOUTS[channels], rate=rate)
            wav.setnchannels(channels)
            wav.setsampwidth(2)
            wav.setframerate(rate)
            samples = 0
            for packet in container.demux(stream):
                with suppress(FFmpegError):
                    for frame in packet.decode():
                        frame.pts = None
                        for piece in resampler.resample(frame):
                            wav.writeframesraw(piece.to_ndarray().tobytes())
                            samples += piece.samples
                if samples > MAX_SECONDS * rate:
                    raise TooLongAudio(f"the recording is longer than {MAX_SECONDS // 3600} hours")
            if not samples:
                raise CorruptAudio(f"the {demuxer} file holds no sound")
    except FFmpegError as error:
        raise CorruptAudio(f"the {demuxer} audio is damaged: {error.strerror}") from None
