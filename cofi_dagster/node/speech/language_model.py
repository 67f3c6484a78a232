"""The recogniser's language: a trigram model trained on the phrase grammar, and a dictionary for its words.

The words that people say belong to :mod:`cofi_dagster.node.speech.phrases` and, for stocks, to
``cofi_dagster/triage/symbols.csv``; decoding belongs to :mod:`cofi_dagster.node.speech.recogniser`.

The model is trained on first use (some seconds) and kept in a cache folder under a name made from its
sources, so that a change of a phrase makes a new model. Smoothing is interpolated Witten-Bell (Witten and
Bell 1991; Chen and Goodman 1998, section 2.6): the mass of what was never seen after a history is the number
of different words seen after it.
"""

from __future__ import annotations

import csv
import hashlib
import math
import os
import re
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

import pocketsphinx

from cofi_dagster.node.speech import phrases

SENTENCES = 40_000
"""Turns drawn from the grammar for training: more change the figures by less than their noise."""

_EXTRA_PRONUNCIATIONS: dict[str, tuple[str, ...]] = {
    "lakh": ("L AE K", "L AA K"),
    "crore": ("K R AO R",),
    "paise": ("P AY S AH", "P AY S"),
    "nifty": ("N IH F T IY",),
    "namaste": ("N AH M AH S T EY",),
    "broking": ("B R OW K IH NG",),
    "desai": ("D EH S AY",),
    "iyer": ("AY ER",),
    "joshi": ("JH OW SH IY",),
    "priya": ("P R IY AH",),
    "rahul": ("R AA HH UH L",),
    "vikram": ("V IH K R AH M",),
    "sunita": ("S UW N IY T AH",),
    "arjun": ("AA R JH UH N",),
    "kiran": ("K IH R AH N",),
    "neha": ("N EY HH AH",),
    "gupta": ("G UH P T AH",),
    "anita": ("AH N IY T AH",),
    "rao": ("R AW",),
    "missus": ("M IH S AH Z",),
}

Ngram = tuple[str, ...]
Pronunciations = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """Where the trained model lies: an ARPA trigram and a pronouncing dictionary."""

    arpa: Path
    dictionary: Path


def spoken_symbols() -> dict[str, str]:
    """What a stock is called, in lower case, and its symbol: ``{"larsen and toubro": "LT", …}``."""
    return {row["spoken"]: row["symbol"] for row in _symbol_rows()}


def model_files(cache_folder: Path | None = None) -> ModelFiles:
    """The trained model in ``cache_folder`` (the user's cache by default), made now where it is not there yet.

    Raises:
        OSError: the folder cannot be written.
    """
    folder = cache_folder or default_cache_folder()
    stem = f"orders-{_fingerprint()}"
    files = ModelFiles(folder / f"{stem}.arpa", folder / f"{stem}.dict")
    if not (files.arpa.is_file() and files.dictionary.is_file()):
        folder.mkdir(parents=True, exist_ok=True)
        texts = list(phrases.sentences(SENTENCES, tuple(spoken_symbols())))
        vocabulary = {word for text in texts for word in text}
        _write(files.dictionary, dictionary_lines(_pronunciations(vocabulary)))
        _write(files.arpa, arpa_lines(texts))
    return files


def default_cache_folder() -> Path:
    """``$XDG_CACHE_HOME/cofi/speech``, or ``~/.cache/cofi/speech``."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "cofi" / "speech"


def arpa_lines(texts: Sequence[Sequence[str]]) -> Iterator[str]:
    """A trigram model of ``texts`` in the ARPA format (``ngram-format(5)`` of SRILM), log10."""
    counts: dict[int, Counter[Ngram]] = {1: Counter(), 2: Counter(), 3: Counter()}
    for text in texts:
        padded = ("<s>", *text, "</s>")
        for order, counter in counts.items():
            counter.update(padded[i : i + order] for i in range(len(padded) - order + 1))
    probability, weight = _witten_bell(counts)
    yield "\\data\\"
    for order, counter in counts.items():
        yield f"ngram {order}={len(counter)}"
    for order, counter in counts.items():
        yield f"\n\\{order}-grams:"
        for ngram in sorted(counter):
            log = -99.0 if ngram == ("<s>",) else math.log10(probability[ngram])
            tail = f"\t{math.log10(weight[ngram]):.4f}" if order < 3 and ngram in weight else ""
            yield f"{log:.4f}\t{' '.join(ngram)}{tail}"
    yield "\n\\end\\"


def _witten_bell(
    counts: Mapping[int, Counter[Ngram]],
) -> tuple[dict[Ngram, float], dict[Ngram, float]]:
    """Interpolated probabilities of all seen n-grams, and the back-off weight of each history."""
    probability: dict[Ngram, float] = {}
    weight: dict[Ngram, float] = {}
    unigrams = {ngram: count for ngram, count in counts[1].items() if ngram != ("<s>",)}
    total = sum(unigrams.values())
    for ngram, count in unigrams.items():
        probability[ngram] = (count + 1) / (total + len(unigrams))
    for order in (2, 3):
        seen: defaultdict[Ngram, int] = defaultdict(int)
        kinds: defaultdict[Ngram, int] = defaultdict(int)
        for ngram, count in counts[order].items():
            seen[ngram[:-1]] += count
            kinds[ngram[:-1]] += 1
        for ngram, count in counts[order].items():
            history = ngram[:-1]
            mass = seen[history] + kinds[history]
            probability[ngram] = (count + kinds[history] * probability[ngram[1:]]) / mass
        weight.update({history: kinds[history] / (seen[history] + kinds[history]) for history in seen})
    return probability, weight


def dictionary_lines(pronunciations: Pronunciations) -> Iterator[str]:
    """The lines of a pronouncing dictionary in pocketsphinx's form: ``word(2) PH ON ES`` for a second way."""
    for word in sorted(pronunciations):
        for number, phones in enumerate(pronunciations[word], start=1):
            yield f"{word if number == 1 else f'{word}({number})'} {phones}"


def _pronunciations(vocabulary: Iterable[str]) -> dict[str, tuple[str, ...]]:
    known = _cmudict()
    names = _symbol_pronunciations()
    found: dict[str, tuple[str, ...]] = {}
    for word in vocabulary:
        ways = (*names.get(word, ()), *_EXTRA_PRONUNCIATIONS.get(word, ()), *known.get(word, ()))
        if not ways:
            raise ValueError(f"no pronunciation of {word!r}: add one to symbols.csv or to the language model's own")
        found[word] = tuple(dict.fromkeys(ways))
    return found


def _symbol_pronunciations() -> dict[str, tuple[str, ...]]:
    """``arpabet`` gives one pronunciation per word of ``spoken``, parted by ``|``; empty where CMUdict has the word."""
    ways: defaultdict[str, list[str]] = defaultdict(list)
    for row in _symbol_rows():
        parts = row["arpabet"].split("|") if row["arpabet"] else []
        for word, phones in zip(row["spoken"].split(), parts, strict=False):
            if phones.strip() and phones.strip() not in ways[word]:
                ways[word].append(phones.strip())
    return {word: tuple(found) for word, found in ways.items()}


@cache
def _symbol_rows() -> tuple[dict[str, str], ...]:
    text = resources.files("cofi_dagster.triage").joinpath("symbols.csv").read_text(encoding="utf-8")
    return tuple(csv.DictReader(text.splitlines()))


def _cmudict() -> dict[str, list[str]]:
    """CMUdict as the pocketsphinx wheel carries it."""
    ways: defaultdict[str, list[str]] = defaultdict(list)
    path = Path(pocketsphinx.get_model_path("en-us/cmudict-en-us.dict"))
    for line in path.read_text(encoding="utf-8").splitlines():
        word, _, phones = line.partition(" ")
        ways[re.sub(r"\(\d+\)$", "", word)].append(phones)
    return ways


@cache
def _fingerprint() -> str:
    sources = [Path(phrases.__file__).read_bytes(), Path(__file__).read_bytes(), repr(_symbol_rows()).encode()]
    return hashlib.sha256(b"\0".join(sources)).hexdigest()[:12]


def _write(path: Path, lines: Iterable[str]) -> None:
    """Write atomically: another process may be making the same model."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)
    Path(name).replace(path)
