"""The versioned system prompts: ``prompts/<name>.v<version>.md``. What goes with them is ``requests``' part.

A prompt that has answered calls is never edited; a better one is a file of the next version, so that
``promptVersion`` in the database always names the words that were sent.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib import resources

_FILE = re.compile(r"(?P<name>\w+)\.v(?P<number>\d+)\.md")


@dataclass(frozen=True, slots=True)
class Prompt:
    """A system prompt. ``version`` is what ``promptVersion`` records, e.g. ``llm1.v1``."""

    name: str
    version: str
    text: str


@cache
def load(name: str) -> Prompt:
    """The highest version of the prompt ``name`` (``llm1``, ``llm2``).

    Raises:
        LookupError: no such prompt is packaged.
    """
    found = {}
    for file in (resources.files("cofi_dagster.audit") / "prompts").iterdir():
        match = _FILE.fullmatch(file.name)
        if match and match["name"] == name:
            found[int(match["number"])] = file
    if not found:
        raise LookupError(f"there is no prompt named {name!r}")
    number = max(found)
    return Prompt(name, f"{name}.v{number}", found[number].read_text(encoding="utf-8").strip())
