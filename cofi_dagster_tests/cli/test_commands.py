"""What the commands do and say: the database, a batch's run with its bars, two runs at once, and the batches' lists."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cofi_dagster_tests.batches import make_batch
from cofi_dagster_tests.cli.conftest import COFI, CommandLine, Said
from cofi_dagster_tests.cli.help import commands
from cofi_dagster_tests.fleet_simulator import FleetSimulator

KEY = "2026-01-15_1"


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_explains_itself(quick_cofi: Callable[..., Said], words: tuple[str, ...]) -> None:
    said = quick_cofi(*words, "--help")
    assert (said.code, said.err) == (0, "")
    assert f"Usage: cofi {' '.join(words)}".strip() in said.out


def test_a_database_is_checked_upgraded_and_checked(cofi: CommandLine, database_url: str) -> None:
    settings = {"COFI_DATABASE_URL": database_url}
    before = cofi("db", "check", **settings)
    assert before.code == 1
    assert "missing: table batchStatus" in before.out.splitlines()
    done = cofi("db", "upgrade", **settings)
    assert (done.code, done.last) == (0, "the database is of this version")
    again = cofi("db", "upgrade", **settings)
    assert (again.code, again.out) == (0, "nothing to do: the database is of this version\n")
    after = cofi("db", "check", **settings)
    assert (after.code, after.out) == (0, "the database is of this version\n")


def test_a_batch_runs_to_its_end_and_can_be_looked_at(cofi: CommandLine, fleet: FleetSimulator) -> None:
    folder = make_batch(cofi.folder, KEY, 3)
    done = cofi("batch", "run", folder, **fleet.environment())
    assert (done.code, done.err, done.last) == (0, "", "batch 1 Completed")
    lines = done.out.splitlines()[:-1]
    assert len(lines) == 11
    assert re.fullmatch(r"Speech to text +3 of 3, [\d.]+ s, [\d.]+/s", lines[7])

    sent = len(fleet.requests())
    again = cofi("batch", "run", folder, **fleet.environment())
    assert (again.code, again.last) == (0, "batch 1 Completed")
    assert [line.split("  ")[-1].strip() for line in again.out.splitlines()[:-1]] == ["nothing pending"] * 11
    assert len(fleet.requests()) == sent

    listed = cofi("batch", "list").out.splitlines()
    assert len(listed) == 2
    assert listed[1].split()[:4] == ["1", KEY, "Completed", "3"]
    shown = cofi("batch", "show", 1).out.splitlines()
    assert shown[0].startswith(f"batch 1  {KEY}  Completed  3 files  {folder}")
    assert sum(" Complete " in line for line in shown if not line.startswith("calls")) == 11
    assert any(re.fullmatch(r"calls Complete +3", line) for line in shown)


def test_a_failed_batch_says_why_and_retry_mends_it(cofi: CommandLine, fleet: FleetSimulator) -> None:
    folder = make_batch(cofi.folder, KEY, 2)
    settings = {**fleet.environment(), "COFI_MAX_ATTEMPTS": "1"}
    fleet.fault("status", service="denoise", status=422, detail="no such codec", times=None)
    failed = cofi("batch", "run", folder, **settings)
    assert (failed.code, failed.last) == (1, "batch 1 Failed")
    assert failed.complaint.startswith("denoise: ")
    assert "no such codec" in failed.complaint
    assert "no such codec" in cofi("batch", "show", 1).out
    fleet.clear_faults()
    mended = cofi("batch", "retry", 1, **settings)
    assert (mended.code, mended.err, mended.last) == (0, "", "batch 1 Completed")


def test_two_runs_at_once_the_second_says_so_and_harms_nothing(cofi: CommandLine, fleet: FleetSimulator) -> None:
    folder = make_batch(cofi.folder, KEY, 4)
    settings = {**fleet.environment(), "COFI_REQUEST_TIMEOUT_SECONDS": "30"}
    fleet.fault("delay", service="lid", seconds=6, file="call_000002.wav")
    with cofi.start("batch", "run", folder, **settings) as first:
        end = time.monotonic() + 40
        while not any(request.service == "lid" for request in fleet.requests()):
            assert time.monotonic() < end
            time.sleep(0.05)
        second = cofi("batch", "run", folder, **settings)
        out, err = first.communicate(timeout=60)
    assert (second.code, second.out) == (1, "")
    assert re.fullmatch(rf"batch {KEY} \(1\) already has run [0-9a-f-]+, which is STARTED", second.complaint)
    assert (first.returncode, err, out.splitlines()[-1]) == (0, "", "batch 1 Completed")
    assert all(times == 1 for (service, _), times in fleet.counts().items() if service != "files")


def on_a_terminal(*arguments: str, settings: dict[str, str], folder: Path) -> tuple[int, str]:
    """Run `cofi` with a terminal of 100 columns as its output; its exit code and all that it wrote."""
    leader, follower = pty.openpty()
    environment = {**os.environ, **settings, "TERM": "xterm", "COLUMNS": "100", "LINES": "40"}
    process = subprocess.Popen(
        [COFI, *arguments], env=environment, cwd=folder, stdin=follower, stdout=follower, stderr=follower
    )
    os.close(follower)
    written = b""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        ready, _, _ = select.select([leader], [], [], 0.5)
        if not ready:
            continue
        try:
            piece = os.read(leader, 65536)
        except OSError:
            break
        if not piece:
            break
        written += piece
    os.close(leader)
    return process.wait(10), written.decode()


def test_on_a_terminal_there_are_bars_and_elsewhere_only_lines(cofi: CommandLine, fleet: FleetSimulator) -> None:
    settings = {**cofi.settings, **fleet.environment(), "COFI_COMMIT_SECONDS": "0.1"}
    fleet.fault("delay", service="stt", seconds=1.5, file="call_000000.wav")
    folder = make_batch(cofi.folder, KEY, 4)
    code, seen = on_a_terminal("batch", "run", str(folder), settings=settings, folder=cofi.folder)
    assert code == 0
    assert "━" in seen
    assert re.search(r"Speech to text.*3/4", seen)
    assert re.search(r"Speech to text +4 of 4", seen)
    assert seen.rstrip().splitlines()[-1].endswith("batch 1 Completed")
    plain = cofi("batch", "run", make_batch(cofi.folder, "2026-01-15_2", 1), **fleet.environment()).out
    assert "\x1b" not in plain
    assert "━" not in plain
