"""A transcript as turns of words, each with the role of who speaks. What is being said is ``frames``' part.

Recordings are mostly mono: where the recogniser names no speaker, or only tells voices apart, the role is inferred
from the words; where they do not tell, it is unknown.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from cofi_dagster.node.rules import lexicon

_WORD = re.compile(r"[^\s\-–—/]+(?:-(?=\d)[^\s]+)?")
_EDGE = ".,;:?!।\"'()“”…[]"


class Role(StrEnum):
    """Who speaks."""

    DEALER = "dealer"
    CLIENT = "client"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Word:
    """A word as written (``raw``, with its punctuation), plain, and where it stands."""

    raw: str
    plain: str
    start: int
    end: int


def words_of(text: str) -> list[Word]:
    """The words of a text; hyphens and slashes between letters part them."""
    found = []
    for match in _WORD.finditer(text):
        plain = unicodedata.normalize("NFC", match[0]).casefold().strip(_EDGE).replace("'", "").replace("’", "")
        if plain:
            found.append(Word(match[0], plain, match.start(), match.end()))
    return found


@dataclass(frozen=True, slots=True)
class Turn:
    """A segment of the transcript.

    ``plain`` is its words for the lexicon: single spaces, one at either end. ``told`` says that the role comes from
    the recording; else it is inferred from the words.
    """

    segment: int
    role: Role
    text: str
    words: Sequence[Word]
    told: bool = True
    plain: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "plain", f" {' '.join(word.plain for word in self.words)} ")

    def quote(self, start: int, end: int) -> str:
        """The words ``start`` to ``end`` (exclusive), letter for letter, without punctuation at the edges."""
        return self.text[self.words[start].start : self.words[end - 1].end].strip(_EDGE + " ")


def _labelled(speaker: object) -> Role:
    label = speaker.casefold().strip() if isinstance(speaker, str) else ""
    if label in lexicon.DEALER_LABELS:
        return Role.DEALER
    return Role.CLIENT if label in lexicon.CLIENT_LABELS else Role.UNKNOWN


def _leaning(plain: str) -> int:
    """How much the words sound like the dealer's (positive) or the client's (negative)."""
    return len(lexicon.DEALER.findall(plain)) - len(lexicon.CLIENT.findall(plain))


def role_by_content(plain: str) -> Role:
    """Who most likely says these words; unknown where they do not tell."""
    return _role(_leaning(plain))


def _role(leaning: int) -> Role:
    if leaning == 0:
        return Role.UNKNOWN
    return Role.DEALER if leaning > 0 else Role.CLIENT


def turns(segments: Sequence[Mapping[str, Any]]) -> list[Turn]:
    """The turns of ``{"segment": int, "speaker": str | None, "text": str}``; empty segments are left out."""
    drafts = []
    voices: dict[str, int] = defaultdict(int)
    for segment in segments:
        words = words_of(segment["text"])
        if not words:
            continue
        speaker = segment.get("speaker")
        leaning = _leaning(f" {' '.join(word.plain for word in words)} ")
        if isinstance(speaker, str) and speaker and _labelled(speaker) is Role.UNKNOWN:
            voices[speaker] += leaning
        drafts.append((segment, words, speaker, leaning))
    roles = _voice_roles(voices)
    found: list[Turn] = []
    for segment, words, speaker, leaning in drafts:
        role = _labelled(speaker)
        if role is Role.UNKNOWN:
            role = roles[speaker] if speaker in roles else _role(leaning)
        found.append(Turn(segment["segment"], role, segment["text"], words, told=bool(speaker)))
    return found


def _voice_roles(voices: Mapping[str, int]) -> dict[str, Role]:
    """Of two voices the one that sounds more like a dealer is the dealer; more or fewer are judged one by one."""
    if len(voices) == 2:
        low, high = sorted(voices, key=lambda voice: voices[voice])
        if voices[low] < voices[high]:
            return {low: Role.CLIENT, high: Role.DEALER}
    return {voice: _role(leaning) for voice, leaning in voices.items()}
