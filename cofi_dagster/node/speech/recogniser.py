"""The embedded recogniser: pocketsphinx with a language model of telephone orders. English only.

Measured on synthesised speech through an 8 kHz µ-law line, words and three slots of an order (side, quantity,
symbol):

- the demo's calls, which the phrase grammar was tuned with: 6.8 % of the words wrong with seed 7 (6.1 % and
  8.8 % with two others), 14 of 14 orders right in all three slots with each, read by the embedded rules; an
  order was heard where none was given in none, two and one of the six other calls in English;
- 27 sentences that the grammar was not written with, by the demo's five voices: 18 % of the words wrong; side
  76 %, quantity 90 %, symbol 89 % right; by four other voices: 28 %; 52 %, 84 %, 77 %;
- the same sentences with an earlier grammar: 31 % of the words wrong without
  :mod:`~cofi_dagster.node.speech.bandwidth`, 21 % with it, in three voices.

It decodes 11 to 16 times faster than real time on one core of a shared machine. It knows some 400 words:
whatever else is said comes out as some of them. People's voices were not measured; real calls want a Whisper
model.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pocketsphinx

from cofi_dagster.node.engines import Audio, IvrSegment, Samples, Segment, Speaker, Transcript
from cofi_dagster.node.speech.bandwidth import widen
from cofi_dagster.node.speech.language_model import model_files
from cofi_dagster.node.speech.utterances import Utterance, find_utterances

MODEL = "pocketsphinx-5/en-us/cofi-orders"
_SETTINGS = {"topn": 8, "loglevel": "FATAL"}


class UnsupportedLanguageError(ValueError):
    """The recogniser does not know the language; nothing was transcribed."""


class SphinxRecogniser:
    """English telephone orders to text.

    Args:
        cache_folder: where the trained language model is kept; the user's cache by default.

    Raises:
        OSError: the cache folder cannot be written.
    """

    def __init__(self, cache_folder: Path | None = None) -> None:
        files = model_files(cache_folder)
        self._decoder = pocketsphinx.Decoder(lm=str(files.arpa), dict=str(files.dictionary), **_SETTINGS)

    def transcribe(self, audio: Audio, language: str | None, segments: Sequence[IvrSegment]) -> Transcript:
        """The words outside ``segments``, one :class:`Segment` per utterance; ``audio`` is at 16 kHz.

        Raises:
            UnsupportedLanguageError: ``language`` is given and is not English.
        """
        if language not in {None, "en"}:
            raise UnsupportedLanguageError(
                f"the embedded recogniser knows English only, not {language!r}: configure a Whisper model for others"
            )
        sides: list[tuple[Speaker | None, Samples]] = [(None, audio.samples)]
        if len(audio.channels) == 2:
            sides = [("agent", audio.channels[0]), ("client", audio.channels[1])]
        found = [segment for speaker, samples in sides for segment in self._side(samples, speaker, segments)]
        return Transcript(MODEL, "en", audio.duration, sorted(found, key=lambda segment: segment.start))

    def _side(self, samples: Samples, speaker: Speaker | None, segments: Sequence[IvrSegment]) -> list[Segment]:
        wide = widen(samples)
        decoded = (self._decode(wide, utterance, speaker) for utterance in find_utterances(samples, segments))
        return [segment for segment in decoded if segment is not None]

    def _decode(self, samples: Samples, utterance: Utterance, speaker: Speaker | None) -> Segment | None:
        """One utterance; None where no word was heard in it."""
        pcm = np.round(np.clip(utterance.cut(samples), -1, 1) * 32767).astype("<i2").tobytes()
        self._decoder.start_utt()
        self._decoder.process_raw(pcm, full_utt=True)
        self._decoder.end_utt()
        heard = self._decoder.hyp()
        if heard is None or not heard.hypstr.strip():
            return None
        posteriors = [part.prob for part in self._decoder.seg() if part.word[0] not in "<["]
        return Segment(
            utterance.start,
            utterance.end,
            heard.hypstr.strip(),
            speaker,
            avg_logprob=round(float(np.mean(np.log(np.clip(posteriors, 1e-6, 1.0)))), 4),
            no_speech_prob=round(1 - utterance.voiced, 4),
        )
