"""The node's work on one file or one prompt, as it runs in a worker process. No HTTP, no queues.

Every task takes the :class:`Node` first, gives the reply's body, and may be repeated at any time. What it raises
(:class:`~cofi_dagster.node.audio.AudioError`, :class:`~cofi_dagster.node.store.MissingFile`, ``ValueError``) travels to
the server, which knows the status codes.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from multiprocessing import parent_process
from pathlib import Path
from typing import Any

from cofi_dagster.node.audio import AudioError, decode, with_speakers, write_wav
from cofi_dagster.node.denoise import denoise, warm_denoise
from cofi_dagster.node.engines import (
    SPEECH_RATE,
    Audio,
    IvrSegment,
    LanguageIdentifier,
    Recogniser,
    Transcript,
)
from cofi_dagster.node.ivr import find_segments
from cofi_dagster.node.spectrum import RATE as IVR_RATE
from cofi_dagster.node.store import Store, Stored

Reply = dict[str, Any]


class LanguageNotKnown(AudioError):
    """The recogniser does not know the language of the call."""


@dataclass(frozen=True, slots=True)
class Node:
    """What a worker needs to know of its node: the folder of its files, and the Whisper model where there is one."""

    home: Path
    whisper_model_dir: Path | None = None


@cache
def engines(whisper_model_dir: Path | None) -> tuple[LanguageIdentifier, Recogniser]:
    """This process's speech engines: Whisper's where a model is configured, else the embedded ones."""
    if whisper_model_dir is not None:
        from cofi_dagster.node import whisper

        return whisper.load(whisper_model_dir)
    from cofi_dagster.node import speech

    return speech.LanguageIdentifier(), speech.SphinxRecogniser()


def watch_parent() -> None:
    """A worker's first act: the terminal's Ctrl-C is the server's to handle, and its death is the worker's end too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()

    def end_with_parent() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()


def prepare_signal(_node: Node) -> int:
    """Load what denoise and IVR need; returns the worker's process id."""
    warm_denoise()
    return os.getpid()


def prepare_speech(node: Node) -> int:
    """Load the speech engines; returns the worker's process id."""
    engines(node.whisper_model_dir)
    return os.getpid()


def prepare_all(node: Node) -> int:
    """Load everything, where all services share their workers; returns the worker's process id."""
    prepare_signal(node)
    return prepare_speech(node)


def denoise_file(node: Node, batch: int, file: str) -> Reply:
    """``POST /denoise``: the clean audio takes the recording's place for all later stages."""
    store = Store(node.home)

    def work(stored: Stored) -> Reply:
        if stored.clean.exists():
            return {"file": file, "audio_duration": _seconds(decode(stored.clean))}
        audio = decode(stored.body, file)
        store.derive(stored.clean, lambda out: write_wav(out, denoise(audio), audio.rate))
        return {"file": file, "audio_duration": _seconds(audio)}

    return store.using(batch, file, work)


def ivr_file(node: Node, batch: int, file: str) -> Reply:
    """``POST /ivr``: where nobody talks to anybody."""
    store = Store(node.home)

    def work(stored: Stored) -> Reply:
        path, name = stored.sound()
        audio = decode(path, name, rate=IVR_RATE)
        segments = _find_and_keep(store, stored, audio)
        return {"file": file, "audio_duration": _seconds(audio), "segments": [asdict(s) for s in segments]}

    return store.using(batch, file, work)


def lid_file(node: Node, batch: int, file: str) -> Reply:
    """``POST /lid``: the language of the talk."""
    identifier, _ = engines(node.whisper_model_dir)
    store = Store(node.home)

    def work(stored: Stored) -> Reply:
        audio, segments = _talk(store, stored)
        language, confidence = identifier.identify(audio, segments)
        return {
            "file": file,
            "language": language,
            "confidence": round(float(confidence), 4),
            "audio_duration": _seconds(audio),
        }

    return store.using(batch, file, work)


def stt_file(node: Node, batch: int, file: str, language: str | None) -> Reply:
    """``POST /stt``: what was said."""
    _, recogniser = engines(node.whisper_model_dir)
    store = Store(node.home)

    def work(stored: Stored) -> Reply:
        audio, segments = _talk(store, stored)
        return _transcribed(recogniser, audio, language, segments)

    return store.using(batch, file, work)


def transcribe_upload(node: Node, path: Path, name: str, language: str | None) -> Reply:
    """``POST /v1/audio/transcriptions``: what was said in a recording that came with the request."""
    _, recogniser = engines(node.whisper_model_dir)
    segments = find_segments(decode(path, name, rate=IVR_RATE))
    audio = with_speakers(decode(path, name, rate=SPEECH_RATE))
    return _transcribed(recogniser, audio, language, segments)


def complete(_node: Node, body: str) -> Reply:
    """``POST /v1/chat/completions`` by rules; ``body`` is the request's JSON."""
    from cofi_dagster.node import rules

    reply: Reply = rules.complete(json.loads(body))
    return reply


def verbose_json(transcript: Transcript) -> Reply:
    """OpenAI's ``verbose_json`` of a transcript, with the model's name, and the speaker where it is known."""
    return {
        "task": "transcribe",
        "model": transcript.model,
        "language": transcript.language,
        "duration": round(transcript.duration, 3),
        "text": transcript.text,
        "segments": [
            {"id": number, **{key: value for key, value in asdict(segment).items() if value is not None}}
            for number, segment in enumerate(transcript.segments)
        ],
    }


def _transcribed(recogniser: Recogniser, audio: Audio, language: str | None, segments: Sequence[IvrSegment]) -> Reply:
    from cofi_dagster.node.speech import UnsupportedLanguageError

    try:
        return verbose_json(recogniser.transcribe(audio, language, segments))
    except UnsupportedLanguageError as error:
        raise LanguageNotKnown(str(error)) from None


def _talk(store: Store, stored: Stored) -> tuple[Audio, Sequence[IvrSegment]]:
    path, name = stored.sound()
    segments = stored.read_segments()
    if segments is None:
        segments = _find_and_keep(store, stored, decode(path, name, rate=IVR_RATE))
    return with_speakers(decode(path, name, rate=SPEECH_RATE)), segments


def _find_and_keep(store: Store, stored: Stored, audio: Audio) -> list[IvrSegment]:
    segments = find_segments(audio)
    rows = json.dumps([asdict(segment) for segment in segments]).encode()
    store.derive(stored.segments, lambda out: out.write(rows))
    return segments


def _seconds(audio: Audio) -> float:
    return round(audio.duration, 3)
