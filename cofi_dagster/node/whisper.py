"""Language identification and speech to text by faster-whisper, where a model directory is configured.

The model does the work; here is only what keeps it honest on calls: it never hears rings, prompts and silence (it
invents words there), and the language is decided by the whole call, not by its first 30 seconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from cofi_dagster.node.engines import (
    SPEECH_RATE,
    Audio,
    IvrSegment,
    LanguageIdentifier,
    Recogniser,
    Samples,
    Segment,
    Speaker,
    Transcript,
)

WINDOW_SECONDS = 30
_MAX_WINDOWS = 8
_HINGLISH_SHARE = 0.25
_SPEAKERS: tuple[Speaker, Speaker] = ("agent", "client")


class WhisperModel(Protocol):
    """What is used of ``faster_whisper.WhisperModel``."""

    def transcribe(self, audio: Samples, **options: Any) -> tuple[Iterable[Any], Any]:
        """Segments (start, end, text, avg_logprob, no_speech_prob), and what is known of the audio (language)."""
        ...

    def detect_language(self, audio: Samples) -> tuple[str, float, list[tuple[str, float]]]:
        """The language, its probability, and those of all languages."""
        ...


def load(directory: Path) -> tuple[LanguageIdentifier, Recogniser]:
    """Both engines on one model, on the GPU where there is one."""
    import ctranslate2  # type: ignore[import-not-found, unused-ignore]
    import faster_whisper

    on_gpu = ctranslate2.get_cuda_device_count() > 0
    device, kind = ("cuda", "float16") if on_gpu else ("cpu", "int8")
    model = faster_whisper.WhisperModel(str(directory), device=device, compute_type=kind)
    return WhisperLanguageIdentifier(model), WhisperRecogniser(model, f"faster-whisper {directory.name}")


class WhisperLanguageIdentifier:
    """The language by the average over windows spread over the whole talk."""

    def __init__(self, model: WhisperModel) -> None:
        self._model = model

    def identify(self, audio: Audio, segments: Sequence[IvrSegment]) -> tuple[str, float]:
        """See :class:`~cofi_dagster.node.engines.LanguageIdentifier`.

        ``hinglish`` where Hindi and English both have a quarter of the call or more. A call without talk is
        ``en`` with confidence 0: the transcript will show that nobody spoke.
        """
        windows = _windows(_talk_only(audio.samples, segments))
        if not windows:
            return "en", 0.0
        shares: Counter[str] = Counter()
        for window in windows:
            for language, probability in self._model.detect_language(window)[2]:
                shares[language] += probability / len(windows)  # type: ignore[assignment]
        if min(shares["hi"], shares["en"]) >= _HINGLISH_SHARE:
            return "hinglish", min(1.0, shares["hi"] + shares["en"])
        language, share = shares.most_common(1)[0]
        return language, min(1.0, float(share))


class WhisperRecogniser:
    """Whisper with its voice activity filter, each channel by itself where there are two."""

    def __init__(self, model: WhisperModel, name: str) -> None:
        self._model = model
        self._name = name

    def transcribe(self, audio: Audio, language: str | None, segments: Sequence[IvrSegment]) -> Transcript:
        """See :class:`~cofi_dagster.node.engines.Recogniser`. Hinglish is transcribed as Hindi, which mixes both."""
        spoken = "hi" if language == "hinglish" else language
        sides: list[tuple[Speaker | None, Samples]] = (
            list(zip(_SPEAKERS, audio.channels, strict=True)) if audio.channels else [(None, audio.samples)]
        )
        found: list[Segment] = []
        heard = spoken
        for speaker, samples in sides:
            said, heard_here = self._side(samples, speaker, spoken, segments)
            found += said
            heard = heard or (heard_here if said else None)
        found.sort(key=lambda segment: segment.start)
        return Transcript(self._name, language or heard or "en", audio.duration, found)

    def _side(
        self, samples: Samples, speaker: Speaker | None, language: str | None, segments: Sequence[IvrSegment]
    ) -> tuple[list[Segment], str]:
        heard, about = self._model.transcribe(
            _muted(samples, segments), language=language, vad_filter=True, condition_on_previous_text=False
        )
        return [
            Segment(s.start, s.end, s.text.strip(), speaker, s.avg_logprob, s.no_speech_prob)
            for s in heard
            if s.text.strip()
        ], about.language


def _spans(segments: Sequence[IvrSegment]) -> list[slice]:
    return [slice(round(s.start * SPEECH_RATE), round(s.end * SPEECH_RATE)) for s in segments]


def _muted(samples: Samples, segments: Sequence[IvrSegment]) -> Samples:
    """The audio with nothing to hear in the segments, so that all times stay the call's."""
    muted = samples.copy()
    for span in _spans(segments):
        muted[span] = 0.0
    return muted


def _talk_only(samples: Samples, segments: Sequence[IvrSegment]) -> Samples:
    """The audio without the segments."""
    keep = np.ones(len(samples), bool)
    for span in _spans(segments):
        keep[span] = False
    return samples[keep]


def _windows(talk: Samples) -> list[Samples]:
    """At most eight windows of 30 seconds, spread evenly over the talk; none where there is less than a second."""
    size = WINDOW_SECONDS * SPEECH_RATE
    if len(talk) < SPEECH_RATE:
        return []
    count = min(_MAX_WINDOWS, -(-len(talk) // size))
    starts = np.linspace(0, max(0, len(talk) - size), count).astype(int)
    return [talk[start : start + size] for start in starts]
