"""The embedded language identifier: English or Hindi, from the sounds of the whole talk.

Phone recognition followed by language models (PRLM: Zissman, "Comparison of four approaches to automatic
language identification of telephone speech", 1996): the English phone recogniser of pocketsphinx writes down
what it hears in either language, and the order of its phones tells them apart. The counts in
``lid_phones.json`` are made by :mod:`cofi_dagster.node.speech.train_lid` from synthesised speech.

Measured with sentences and voices kept from training: 41 of 42 English and 24 of 28 Hindi sentences of some four
seconds each, alone; and all 19 calls of the demo that have a language, two of them Hindi. 15 to 30 times faster than
real time.

What it cannot do: any third language (it will be called one of the two), both languages mixed in one call (the one
with more of the talk is named; ``hinglish`` never), and no promise is made for people's voices, English with an
Indian accent above all: it learnt from a synthesiser. For real calls configure a Whisper model.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib import resources

import numpy as np
import pocketsphinx

from cofi_dagster.node.engines import Audio, IvrSegment, Samples
from cofi_dagster.node.speech.bandwidth import widen
from cofi_dagster.node.speech.utterances import Utterance, find_utterances

LANGUAGES = ("en", "hi")

_MOST_SECONDS = 90.0
_ORDER = 3
_EVIDENCE_PER_PHONE = 0.2
"""Neighbouring phones are not independent, so their joint evidence is taken for less: a cautious choice, not a fit."""

PhoneCounts = Mapping[str, int]


class PhoneRecogniser:
    """Writes down the phones of English that it hears, whatever the language."""

    def __init__(self) -> None:
        model = pocketsphinx.get_model_path("en-us/en-us-phone.lm.bin")
        self._decoder = pocketsphinx.Decoder(allphone=model, lm=None, lw=1.0, beam=1e-10, pbeam=1e-10, loglevel="FATAL")

    def phones(self, samples: Samples) -> list[str]:
        """The phones of an utterance at 16 kHz, without silences and noises."""
        self._decoder.start_utt()
        self._decoder.process_raw(np.round(np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes(), full_utt=True)
        self._decoder.end_utt()
        return [part.word for part in self._decoder.seg() if part.word != "SIL" and part.word[0] not in "+<("]


class LanguageIdentifier:
    """English or Hindi. See the module for what it can and cannot do."""

    def __init__(self) -> None:
        self._recogniser = PhoneRecogniser()

    def identify(self, audio: Audio, segments: Sequence[IvrSegment]) -> tuple[str, float]:
        """The language of the talk outside ``segments``, and its posterior; ``audio`` is at 16 kHz.

        Of a long call, 90 seconds that are spread over all of it are heard. A call without talk is ``en`` with
        confidence 0: the transcript will show that nobody spoke.
        """
        utterances = list(_spread(find_utterances(audio.samples, segments), _MOST_SECONDS))
        if not utterances:
            return "en", 0.0
        wide = widen(audio.samples)
        return decide(self._recogniser.phones(utterance.cut(wide)) for utterance in utterances)


def decide(utterances: Iterable[Sequence[str]]) -> tuple[str, float]:
    """The likelier language of some utterances' phones, and its posterior with both equally likely before."""
    english, hindi = (_models()[language] for language in LANGUAGES)
    evidence = sum(hindi.log_likelihood(phones) - english.log_likelihood(phones) for phones in utterances)
    posterior = 1 / (1 + math.exp(-max(-50.0, min(50.0, _EVIDENCE_PER_PHONE * evidence))))
    return ("hi", posterior) if posterior > 0.5 else ("en", 1 - posterior)


class PhoneModel:
    """A trigram model over phones from raw counts, smoothed as in :mod:`cofi_dagster.node.speech.language_model`."""

    def __init__(self, counts: PhoneCounts, phones: int) -> None:
        self._counts = Counter(counts)
        self._phones = phones
        self._seen: Counter[str] = Counter()
        self._kinds: Counter[str] = Counter()
        for ngram, count in counts.items():
            history = ngram.rpartition(" ")[0]
            self._seen[f"{ngram.count(' ')}:{history}"] += count
            self._kinds[f"{ngram.count(' ')}:{history}"] += 1

    def log_likelihood(self, phones: Sequence[str]) -> float:
        """Natural logarithm of the probability of an utterance's phones."""
        padded = ["."] * (_ORDER - 1) + list(phones)
        return sum(math.log(self._probability(padded[i - _ORDER + 1 : i + 1])) for i in range(_ORDER - 1, len(padded)))

    def _probability(self, ngram: Sequence[str]) -> float:
        lower = self._probability(ngram[1:]) if len(ngram) > 1 else 1 / self._phones
        key = f"{len(ngram) - 1}:{' '.join(ngram[:-1])}"
        kinds = self._kinds[key]
        if not kinds:
            return lower
        return (self._counts[" ".join(ngram)] + kinds * lower) / (self._seen[key] + kinds)


def count_phones(utterances: Iterable[Sequence[str]]) -> Counter[str]:
    """How often each one, two or three phones follow each other; ``.`` stands for the beginning."""
    counts: Counter[str] = Counter()
    for phones in utterances:
        padded = ["."] * (_ORDER - 1) + list(phones)
        for end in range(_ORDER, len(padded) + 1):
            counts.update(" ".join(padded[end - order : end]) for order in range(1, _ORDER + 1))
    return counts


@cache
def _models() -> dict[str, PhoneModel]:
    text = resources.files("cofi_dagster.node.speech").joinpath("lid_phones.json").read_text(encoding="utf-8")
    counts = json.loads(text)
    phones = {ngram for language in LANGUAGES for ngram in counts[language] if " " not in ngram}
    return {language: PhoneModel(counts[language], len(phones)) for language in LANGUAGES}


def _spread(utterances: Sequence[Utterance], most_seconds: float) -> Iterator[Utterance]:
    """All utterances, or so many seconds of them taken evenly from beginning to end."""
    total = sum(utterance.end - utterance.start for utterance in utterances)
    share, heard, passed = min(1.0, most_seconds / max(total, 1e-6)), 0.0, 0.0
    for utterance in utterances:
        length = utterance.end - utterance.start
        passed += length
        if heard + length / 2 <= share * passed:
            heard += length
            yield utterance
