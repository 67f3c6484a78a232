"""Whether a quoted word was said: each quote that an answer rests on is looked up in the transcript, by code.

A quote is ``verified`` where the cited segment has it verbatim, ``repaired`` where it is there after normalising case,
spaces, punctuation and number words, or stands in another segment, which is then cited instead; else ``unverified``.
What to do with an answer whose evidence is unverified is for the reader of this module's result to say.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cofi_dagster.audit.requests import Segment
from cofi_dagster.node.rules.numbers import find_numbers

VERIFIED, REPAIRED, UNVERIFIED, NONE = "verified", "repaired", "unverified", "none"
_SEVERITY = (VERIFIED, REPAIRED, UNVERIFIED)


def _nfc(text: str) -> str:
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _in_word(char: str) -> bool:
    """Letters, marks (a Devanagari vowel sign is one) and digits make words."""
    return unicodedata.category(char)[0] in "LMN"


def _cuts_a_word(text: str, start: int, end: int) -> bool:
    """Whether a stretch of the text ends inside a word or a number, as ``1450`` does in ``14500`` and ``1450.50``."""
    if start > 0 and _in_word(text[start]) and _in_word(text[start - 1]):
        return True
    if end < len(text) and _in_word(text[end - 1]) and _in_word(text[end]):
        return True
    after = text[end : end + 2]
    before = text[max(start - 2, 0) : start]
    return (len(after) == 2 and text[end - 1].isdigit() and after[0] in ".," and after[1].isdigit()) or (
        len(before) == 2 and text[start].isdigit() and before[1] in ".," and before[0].isdigit()
    )


def places(quote: str, text: str) -> Iterator[tuple[int, int]]:
    """Where a text has a quote verbatim, as whole words: start and end. Both are composed (NFC), and the quote is bare
    of blanks around it.
    """
    start = text.find(quote) if quote else -1
    while start >= 0:
        end = start + len(quote)
        if not _cuts_a_word(text, start, end):
            yield start, end
        start = text.find(quote, start + 1)


def _verbatim(quote: str, text: str) -> bool:
    return any(places(quote, text))


def _plain(text: str) -> Iterator[str]:
    """The words of a text: case folded, without punctuation except inside a number."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    word = ""
    for place, char in enumerate(folded):
        inside_number = char in ".," and word[-1:].isdigit() and place + 1 < len(folded) and folded[place + 1].isdigit()
        if _in_word(char) or inside_number:
            word += char
        elif char not in "'’" and word:
            yield word
            word = ""
    if word:
        yield word


def _normal(text: str) -> str:
    """A text to compare by: plain words between single spaces, numbers as digits whether spoken or written."""
    words = list(_plain(text))
    parts, place = [], 0
    for number in find_numbers(words):
        parts += [*words[place : number.start], f"{number.value:g}" if number.value < 1e6 else str(number.value)]
        place = number.end
    return f" {' '.join([*parts, *words[place:]])} "


class Transcript:
    """A call's segments to look quotes up in; what is costly to prepare is prepared when first needed, and kept."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        self._segments = {segment.index: segment for segment in segments}
        self._normal: dict[int, str] = {}

    def check(self, evidence: Sequence[Mapping[str, Any]]) -> tuple[str, list[dict[str, Any]]]:
        """Check an answer's evidence against the transcript.

        Args:
            evidence: the cited places, each ``{"segment": int, "quote": str}``.

        Returns:
            The status of the answer, which is that of its worst item (``none`` where it has none), and the items:
            each with its quote, its own ``status``, the segment (corrected where the quote stands in another one),
            and that segment's ``start`` and ``end`` in seconds where they are known.
        """
        if not evidence:
            return NONE, []
        checked = [self._item(item["quote"], item["segment"]) for item in evidence]
        return max((item["status"] for item in checked), key=_SEVERITY.index), checked

    def _item(self, quote: str, cited: int) -> dict[str, Any]:
        status, index = self._find(quote, cited)
        segment = self._segments.get(index)
        start, end = (segment.start, segment.end) if segment else (None, None)
        return {"segment": index, "quote": quote, "start": start, "end": end, "status": status}

    def _text(self, index: int) -> str:
        return _nfc(self._segments[index].text)

    def _normalised(self, index: int) -> str:
        if index not in self._normal:
            self._normal[index] = _normal(self._text(index))
        return self._normal[index]

    def _find(self, quote: str, cited: int) -> tuple[str, int]:
        """The quote's status, and the segment that has it (the cited one where none has)."""
        wanted = _nfc(quote).strip()
        if not any(_in_word(char) for char in wanted):
            return UNVERIFIED, cited
        if cited in self._segments and _verbatim(wanted, self._text(cited)):
            return VERIFIED, cited
        normal = _normal(wanted)
        if cited in self._segments and normal in self._normalised(cited):
            return REPAIRED, cited
        others = sorted(self._segments, key=lambda index: (abs(index - cited), index))
        for index in others:
            if _verbatim(wanted, self._text(index)):
                return REPAIRED, index
        for index in others:
            if normal in self._normalised(index):
                return REPAIRED, index
        return UNVERIFIED, cited


def check(evidence: Sequence[Mapping[str, Any]], segments: Sequence[Segment]) -> tuple[str, list[dict[str, Any]]]:
    """Check one answer's evidence; see :meth:`Transcript.check`, which is for many answers about one call."""
    return Transcript(segments).check(evidence)
