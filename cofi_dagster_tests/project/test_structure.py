"""What holds for the project as a whole: who may import what, which names there are, and what is in no file."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cofi_dagster.database.tables import batch_status, file_distribution
from cofi_dagster.pipeline.status import BATCH_WORDS
from cofi_dagster.stages import DONE_FLAGS, NAMES, OPTIONAL, STAGES

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "cofi_dagster"
MAY_USE_DAGSTER = {"orchestration", "definitions", "web", "running", "supervisor", "cli"}
"""The web server shows Dagster's UI; the last three start Dagster through ``orchestration``."""


def modules(*parts: str) -> Iterator[Path]:
    """The modules of the package, or of these parts of it."""
    for part in parts or (".",):
        yield from sorted((PACKAGE / part).rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    """Every module that a file imports, at its top or in its functions."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def tracked() -> list[Path]:
    """The files of the repository, as far as they are text."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    found = [ROOT / name for name in listed.decode().split("\0") if name]
    return [path for path in found if path.is_file() and b"\0" not in path.read_bytes()[:4096]]


@pytest.mark.parametrize("part", ["pipeline", "triage", "audit", "fleet", "database", "adhoc", "alerts", "node"])
def test_what_works_on_files_knows_nothing_of_dagster(part: str) -> None:
    for path in modules(part):
        found = {
            name for name in imported(path) if re.match(r"dagster|cofi_dagster\.(orchestration|definitions|web)", name)
        }
        assert not found, f"{path.relative_to(ROOT)} imports {', '.join(sorted(found))}"


def test_dagster_is_imported_where_it_belongs_and_nowhere_else() -> None:
    users = {
        path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for path in modules()
        if any(name.split(".")[0] == "dagster" for name in imported(path))
    }
    assert users <= MAY_USE_DAGSTER


def test_the_stages_know_no_http_and_the_engine_no_stage() -> None:
    for path in modules("pipeline"):
        names = set(imported(path))
        assert not {"httpx", "aiohttp", "requests"} & {name.split(".")[0] for name in names}, path
        if path.name in {"dispatch.py", "sink.py", "tracker.py"}:
            assert not any(".pipeline.stage_" in f".{name}" and "stage_run" not in name for name in names), path


def test_there_are_no_drawers_for_odds_and_ends() -> None:
    folders = [path for path in (*modules(), *sorted((ROOT / "cofi_dagster_tests").rglob("*.py")))]
    assert folders
    assert [path for path in folders if re.search(r"util|helper|misc|common", path.stem)] == []


def test_each_module_says_what_belongs_in_it() -> None:
    silent = [
        path
        for path in modules()
        if path.read_text("utf-8").strip() and not ast.get_docstring(ast.parse(path.read_text("utf-8")))
    ]
    assert silent == []


def test_no_file_says_where_packages_come_from() -> None:
    words = re.compile(r"--(extra-)?index" + r"-url|find" + r"-links|pypi\." + r"org|files\.pythonhosted")
    guilty = [path.relative_to(ROOT) for path in tracked() if words.search(path.read_text("utf-8", "replace"))]
    assert guilty == []


def test_the_constraints_are_locked_versions_and_nothing_else() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    assert len(lines) > 50
    assert [line for line in lines if not re.fullmatch(r"[a-z0-9._-]+==[a-z0-9.+!-]+", line, re.IGNORECASE)] == []


def test_the_catalogue_is_the_eleven_stages_with_twenty_two_times() -> None:
    assert NAMES == (
        "file_distribution", "callmetadata", "trademetadata", "denoise", "ivr", "lid", "triaging", "stt", "llm1",
        "triaging_step2", "llm2",
    )  # fmt: skip
    columns = {column.name for column in batch_status.columns}
    times = {name for name in columns if name.endswith(("StartTime", "EndTime"))}
    prefixes = "dbInsertion callmetadata trademetadata denoise ivr lid triaging triagingStep2 stt llm1 llm2"
    assert times == {f"{prefix}{end}" for prefix in prefixes.split() for end in ("StartTime", "EndTime")}
    assert len(times) == 22
    assert {stage.start_column for stage in STAGES} | {stage.end_column for stage in STAGES} == times
    assert {stage.status_column for stage in STAGES} <= columns
    assert set(NAMES) - OPTIONAL == {"file_distribution", "lid", "stt"}


def test_done_flags_and_status_words_are_the_data_models() -> None:
    assert DONE_FLAGS == ("denoiseDone", "ivrDone", "lidDone", "sttDone", "llm1Done", "llm2Done")
    assert set(DONE_FLAGS) <= {column.name for column in file_distribution.columns}
    assert BATCH_WORDS == (
        "Pending", "dbInsertDone", "denoiseDone", "ivrDone", "lidDone", "triagingDone", "sttDone", "llm1Done",
        "triagingStep2Done", "llm2Done", "Completed",
    )  # fmt: skip


@pytest.mark.parametrize("target", ["demo", "test", "up", "lint", "bench"])
def test_make_has_its_targets_and_lists_them(target: str) -> None:
    listed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert re.search(rf"^make {target} +\w", listed, re.MULTILINE)
    dry = subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert dry


def test_the_checks_of_a_change_are_the_tests_then_style_and_types() -> None:
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    assert lines[-2:] == ["make test", "make lint"]
