from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cofi_dagster.node.engines import SPEECH_RATE, Audio, IvrSegment, Samples
from cofi_dagster.node.whisper import WhisperLanguageIdentifier, WhisperRecogniser


class Model:
    """Hears a language in the level of the sound, and a word where there is any."""

    def __init__(self) -> None:
        self.options: list[dict[str, Any]] = []
        self.windows: list[int] = []

    def transcribe(self, audio: Samples, **options: Any) -> tuple[Iterable[Any], Any]:
        self.options.append(options)
        heard = np.flatnonzero(np.abs(audio) > 0.01) / SPEECH_RATE
        words = [
            SimpleNamespace(start=one[0], end=one[-1], text=" word ", avg_logprob=-0.4, no_speech_prob=0.1)
            for one in (heard,)
            if len(one)
        ]
        return iter(words), SimpleNamespace(language=options["language"] or "hi")

    def detect_language(self, audio: Samples) -> tuple[str, float, list[tuple[str, float]]]:
        self.windows.append(len(audio))
        language = "hi" if float(np.abs(audio).max()) > 0.3 else "en"
        return language, 0.9, [(language, 0.9), ("ur", 0.1)]


def sound(seconds: float, level: float) -> Samples:
    return np.full(round(seconds * SPEECH_RATE), level, np.float32)


def call(*parts: Samples) -> Audio:
    return Audio(np.concatenate(parts), SPEECH_RATE)


def test_the_language_is_that_of_the_whole_talk_not_of_its_first_half_minute() -> None:
    model = Model()
    language, confidence = WhisperLanguageIdentifier(model).identify(call(sound(40, 0.1), sound(260, 0.5)), [])
    assert (language, confidence) == ("hi", pytest.approx(0.9 * 7 / 8, abs=0.12))
    assert model.windows == [30 * SPEECH_RATE] * 8


def test_rings_and_prompts_have_no_say_in_the_language() -> None:
    identifier = WhisperLanguageIdentifier(Model())
    talk = call(sound(20, 0.1), sound(15, 0.5))
    assert identifier.identify(talk, [IvrSegment("ivr", 0.0, 20.0)]) == ("hi", pytest.approx(0.9))


def test_two_languages_in_one_call_are_hinglish() -> None:
    language, confidence = WhisperLanguageIdentifier(Model()).identify(call(sound(60, 0.1), sound(60, 0.5)), [])
    assert (language, confidence) == ("hinglish", pytest.approx(0.9))


def test_a_call_without_talk_has_no_sure_language() -> None:
    segments = [IvrSegment("silence", 0.0, 10.0)]
    assert WhisperLanguageIdentifier(Model()).identify(call(sound(10, 0.0)), segments) == ("en", 0.0)


def test_whisper_never_hears_the_segments_and_filters_by_voice() -> None:
    model = Model()
    audio = call(sound(10, 0.5), sound(5, 0.5))
    transcript = WhisperRecogniser(model, "fake").transcribe(audio, "hinglish", [IvrSegment("hold", 0.0, 10.0)])
    (segment,) = transcript.segments
    assert (segment.start, segment.text, segment.no_speech_prob) == (pytest.approx(10.0), "word", 0.1)
    assert (transcript.language, transcript.model, transcript.duration) == ("hinglish", "fake", 15.0)
    assert model.options == [{"language": "hi", "vad_filter": True, "condition_on_previous_text": False}]


def test_left_is_the_dealer_and_right_the_client_in_the_order_of_time() -> None:
    client_first = np.concatenate([sound(5, 0.5), sound(5, 0.0)])
    dealer_next = np.concatenate([sound(5, 0.0), sound(5, 0.5)])
    audio = Audio((client_first + dealer_next) / 2, SPEECH_RATE, (dealer_next, client_first))
    transcript = WhisperRecogniser(Model(), "fake").transcribe(audio, None, [])
    assert [segment.speaker for segment in transcript.segments] == ["client", "agent"]
    assert transcript.language == "hi"


def test_silence_has_no_words() -> None:
    assert WhisperRecogniser(Model(), "fake").transcribe(call(sound(9, 0.0)), "en", []).segments == []
