"""The documents say what the code does: settings and commands are made from it, and links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cofi_dagster.reference import PAGES
from cofi_dagster.settings import Settings
from cofi_dagster_tests.cli.help import commands

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("page", PAGES)
def test_a_reference_page_is_current(page: str) -> None:
    made, stored = PAGES[page](), (ROOT / "docs" / f"{page}.md").read_text("utf-8")
    assert made == stored, f"make it anew: python -m cofi_dagster.reference {page} > docs/{page}.md"


def test_every_setting_has_its_row_and_says_what_it_is() -> None:
    rows = re.findall(r"^\| `(\w+)` \|.*\| (.+) \|$", (ROOT / "docs" / "settings.md").read_text("utf-8"), re.MULTILINE)
    assert [name for name, _ in rows] == [field.alias for field in Settings.model_fields.values()]
    assert all(len(said) > 5 for _, said in rows)


def test_settings_begin_with_cofi_but_those_that_the_seeds_name() -> None:
    own = re.compile(
        r"COFI_|GPU_MACHINES$|\w+_PORT$|LLM[12]_(API_URL|MODEL)$|STT_(PROTOCOL|MODEL)$|LOG_FILE_START_EVENTS$"
    )
    others = [field.alias for field in Settings.model_fields.values() if not own.match(field.alias or "")]
    assert others == ["PROGRESS_UPDATE_INTERVAL"]


def test_every_command_has_its_row() -> None:
    page = (ROOT / "docs" / "commands.md").read_text("utf-8")
    known = commands()
    leaves = [words for words in known if not any(other[: len(words)] == words and other != words for other in known)]
    assert len(leaves) >= 8
    missing = [words for words in leaves if not re.search(rf"^\| `cofi {' '.join(words)}[ `]", page, re.MULTILINE)]
    assert missing == []


@pytest.mark.parametrize(
    "page", sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")]), ids=lambda path: path.name
)
def test_links_between_the_documents_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"
