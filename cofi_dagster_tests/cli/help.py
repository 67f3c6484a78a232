"""Which commands there are, as the command line itself knows them."""

from __future__ import annotations

import typer.main

from cofi_dagster.cli import app


def commands() -> list[tuple[str, ...]]:
    """Every command and group, as its words; the first is `cofi` itself."""
    return [(), *_below(typer.main.get_command(app), ())]


def _below(group: object, words: tuple[str, ...]) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for name, command in sorted(getattr(group, "commands", {}).items()):
        found += [(*words, name), *_below(command, (*words, name))]
    return found
