"""Trains the language identifier: ``python -m cofi_dagster.node.speech.train_lid``.

Sentences of ``lid_sentences.json``, which are not the demo's, are spoken by the synthesiser in several
voices, put through a telephone and written down as phones; their counts go to ``lid_phones.json``. The voices
of :data:`HELD_OUT` are never trained with; with ``--measure`` every fifth sentence is not either, and both
are identified instead. Takes one or two minutes.
"""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from cofi_dagster.demo.synthesis import Voice, resample, speak
from cofi_dagster.node.engines import SPEECH_RATE, Samples
from cofi_dagster.node.speech import identifier
from cofi_dagster.node.speech.bandwidth import widen

VARIANTS = ("", "+m1", "+f1", "+m7", "+f4", "+linda", "+Alex")
HELD_OUT = ("+m3", "+f2")
BASES = {"en": ("gmw/en-US", "gmw/en", "gmw/en-GB-x-rp"), "hi": ("inc/hi",)}
VOICES_PER_SENTENCE = 3
LEAST_COUNT = 2
"""N-grams of three phones that were seen once only say little and are left out, which halves the file."""


def main() -> None:
    """Train and write ``lid_phones.json``; with ``--measure``, print the accuracy on what was held out."""
    measure = "--measure" in sys.argv
    sentences = json.loads(Path(__file__).with_name("lid_sentences.json").read_text(encoding="utf-8"))
    recogniser = identifier.PhoneRecogniser()
    counts = {
        language: identifier.count_phones(
            recogniser.phones(spoken)
            for spoken in _spoken(language, texts if not measure else _without_fifths(texts), VARIANTS)
        )
        for language, texts in sentences.items()
    }
    models = {language: _thinned(counter) for language, counter in counts.items()}
    Path(__file__).with_name("lid_phones.json").write_text(json.dumps(models, sort_keys=True), encoding="utf-8")
    if measure:
        for language, texts in sentences.items():
            _report(recogniser, language, texts[::5])


def _without_fifths(texts: Sequence[str]) -> list[str]:
    return [text for number, text in enumerate(texts) if number % 5]


def _spoken(language: str, texts: Sequence[str], variants: Sequence[str], seed: int = 5) -> Iterator[Samples]:
    """Each text by some of the voices, as it comes out of a telephone, at 16 kHz."""
    draw = random.Random(seed)
    noise = np.random.default_rng(seed)
    voices = [base + variant for base in BASES[language] for variant in variants]
    for text in texts:
        for name in draw.sample(voices, min(VOICES_PER_SENTENCE, len(voices))):
            voice = Voice(name, draw.randint(125, 175), draw.randint(35, 65))
            line = np.pad(speak(text, voice, 8000), 1600) * np.float32(draw.uniform(0.2, 0.6))
            line = line + noise.normal(0, 0.0015, len(line)).astype(np.float32)
            yield widen(resample(line, 8000, SPEECH_RATE))


def _thinned(counts: Counter[str]) -> dict[str, int]:
    return {ngram: count for ngram, count in counts.items() if ngram.count(" ") < 2 or count >= LEAST_COUNT}


def _report(recogniser: identifier.PhoneRecogniser, language: str, texts: Sequence[str]) -> None:
    answers = [identifier.decide([recogniser.phones(spoken)]) for spoken in _spoken(language, texts, HELD_OUT)]
    right = [confidence for answer, confidence in answers if answer == language]
    wrong = [confidence for answer, confidence in answers if answer != language]
    sys.stdout.write(
        f"{language}: {len(right)} of {len(answers)} single sentences right; mean confidence where right "
        f"{np.mean(right):.2f}" + (f", where wrong {np.mean(wrong):.2f}\n" if wrong else "\n")
    )


if __name__ == "__main__":
    main()
