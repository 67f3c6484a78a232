"""Which file of a batch an ``audioName`` of a CSV means. Names only: nothing is opened, and no database is asked."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable

_AUDIO_SUFFIX = re.compile(r"\.(?:wav|mp3|flac|ogg|oga|opus|m4a|aac|amr|g729|gsm|wma|webm|aiff?|au|ulaw|alaw)$")


def match_audio_names(csv_names: Iterable[str], files: Iterable[str]) -> dict[str, str | None]:
    r"""Which file each ``audioName`` of a CSV means; None where none, or more than one, could be meant.

    Tried in this order: the exact name; without folders (``/`` or ``\``); ignoring case and Unicode form (NFC, NFD); a
    name without an extension; another audio extension. A file goes to one name only: the better way wins, and two
    names that reach it in the same way get None.
    """
    found: dict[str, str | None] = dict.fromkeys(csv_names)
    listed = sorted(set(files))
    free = set(listed)
    for of_csv, of_file in _WAYS:
        by_key: dict[str, list[str]] = {}
        for file in listed:
            by_key.setdefault(of_file(file), []).append(file)
        claims: dict[str, list[str]] = {}
        for name in [name for name, file in found.items() if file is None]:
            candidates = by_key.get(of_csv(name), [])
            if len(candidates) == 1 and candidates[0] in free:
                claims.setdefault(candidates[0], []).append(name)
        for file, names in claims.items():
            free.discard(file)
            if len(names) == 1:
                found[names[0]] = file
    return found


def _base(name: str) -> str:
    return re.split(r"[/\\]", name.strip())[-1]


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", _base(name)).casefold())


def _stem(name: str) -> str:
    return _AUDIO_SUFFIX.sub("", _folded(name))


def _same(name: str) -> str:
    return name


_WAYS: tuple[tuple[Callable[[str], str], Callable[[str], str]], ...] = (
    (_same, _same),
    (_base, _same),
    (_folded, _folded),
    (_folded, _stem),
    (_stem, _stem),
)
