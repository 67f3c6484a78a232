"""The live parts of pages, made once for all who watch: fifty viewers of a page cost the database what one does."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from hashlib import blake2b

_FRESH_SECONDS = 1.0
_MOST = 256


@dataclass(slots=True)
class _Fragment:
    lock: threading.Lock = field(default_factory=threading.Lock)
    made: float = float("-inf")
    text: str = ""
    tag: str = ""


class Fragments:
    """Texts by key, each made anew at most once a second; safe for threads."""

    def __init__(self, fresh_seconds: float = _FRESH_SECONDS) -> None:
        self._fresh_seconds = fresh_seconds
        self._lock = threading.Lock()
        self._fragments: OrderedDict[Hashable, _Fragment] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], str]) -> tuple[str, str]:
        """The text of a key and its entity tag; whoever comes while it is being made waits for it."""
        with self._lock:
            fragment = self._fragments.setdefault(key, _Fragment())
            self._fragments.move_to_end(key)
            if len(self._fragments) > _MOST:
                self._fragments.popitem(last=False)
        with fragment.lock:
            if time.monotonic() - fragment.made > self._fresh_seconds:
                fragment.text = make()
                fragment.tag = f'"{blake2b(fragment.text.encode(), digest_size=12).hexdigest()}"'
                fragment.made = time.monotonic()
            return fragment.text, fragment.tag
