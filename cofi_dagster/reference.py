"""The reference pages of the documents, made from the code: every setting, and every command.

``python -m cofi_dagster.reference settings > docs/settings.md``, and so for ``commands``; a test keeps both current.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from cofi_dagster.settings import Settings

_SETTINGS_HEAD = """# Settings

Read from the environment, or from a file `.env` in the working directory. A list is comma-separated. A value that
cannot be used ends the command with exit code 2 and one line that names the setting.

| setting | default | what it is |
| --- | --- | --- |"""

_COMMANDS_HEAD = """# Commands

Each has `--help`. Errors are one line on stderr; exit code 2 is a wrong use, 1 a failure.

| command | does |
| --- | --- |"""


def settings_page() -> str:
    """``docs/settings.md``: a row for each setting, in the order of the code."""
    rows = (_setting(name, field) for name, field in Settings.model_fields.items())
    return "\n".join([_SETTINGS_HEAD, *rows]) + "\n"


def _setting(name: str, field: FieldInfo) -> str:
    return f"| `{field.alias or name}` | {_default(field.default)} | {_cell(field.description or '')} |"


def _default(value: Any) -> str:
    if value is None or value in ((), "") or value is PydanticUndefined:
        return ""
    if isinstance(value, SecretStr):
        return "(a secret)"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`{','.join(map(str, value))}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def commands_page() -> str:
    """``docs/commands.md``: a row for each command, in the order of its help."""
    import typer.main

    from cofi_dagster.cli import app

    rows = (f"| `{usage}` | {_cell(does)} |" for usage, does in _commands(typer.main.get_command(app), "cofi"))
    return "\n".join([_COMMANDS_HEAD, *rows]) + "\n"


def _commands(command: Any, words: str) -> Iterator[tuple[str, str]]:
    """(usage, what it does) of a command and of those below it."""
    below: Mapping[str, Any] = getattr(command, "commands", {})
    if not below or command.invoke_without_command:
        yield f"{words}{_parameters(command)}", command.help or ""
    for name, found in below.items():
        yield from _commands(found, f"{words} {name}")


def _parameters(command: Any) -> str:
    shown = []
    for parameter in command.params:
        if parameter.name == "help":
            continue
        if parameter.param_type_name == "argument":
            word = _name(parameter)
        else:
            flag = parameter.opts[0]
            word = flag if parameter.is_flag else f"{flag} {_name(parameter)}"
        many = "…" if parameter.nargs == -1 or getattr(parameter, "multiple", False) else ""
        shown.append(f" {word}{many}" if parameter.required else f" [{word}{many}]")
    return "".join(shown)


def _name(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name).upper().rstrip("….")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


PAGES: Mapping[str, Callable[[], str]] = {"settings": settings_page, "commands": commands_page}
"""The pages by the names of their files in ``docs``."""


if __name__ == "__main__":
    sys.stdout.write(PAGES[sys.argv[1]]())
