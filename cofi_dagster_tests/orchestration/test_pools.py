"""Two batches at once: they work at the same time, but never at the same service of the fleet."""

from __future__ import annotations

import subprocess
from collections import defaultdict
from pathlib import Path

from cofi_dagster_tests.batches import make_batch
from cofi_dagster_tests.cli.conftest import CommandLine
from cofi_dagster_tests.fleet_simulator import FleetSimulator

FILES = 30
SERVICES = ("lid", "stt", "llm1")
SECONDS = 90


def finish(process: subprocess.Popen[str]) -> str:
    """Wait for a command; the last line that it says."""
    out, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, err
    return out.splitlines()[-1]


def test_two_batches_at_once_share_the_fleet_but_no_service(tmp_path: Path) -> None:
    cofi = CommandLine(tmp_path)
    with FleetSimulator(machines=2, languages="en", segments=4, latency="0.1") as fleet:
        settings = {
            **fleet.environment(),
            "COFI_CONCURRENCY_PER_MACHINE": "4",
            "COFI_STAGES_DISABLED": "callmetadata,trademetadata,denoise,ivr,triaging,triaging_step2,llm2",
        }
        assert cofi("db", "upgrade", **settings).code == 0
        names = {mark: [f"{mark}{number:03d}.wav" for number in range(FILES)] for mark in "ab"}
        folders = [make_batch(tmp_path, f"2026-01-15_{n}", names[mark]) for n, mark in enumerate("ab", 1)]
        running = [cofi.start("batch", "run", folder, **settings) for folder in folders]
        assert sorted(map(finish, running)) == ["batch 1 Completed", "batch 2 Completed"]
        requests = fleet.requests()

    times: dict[tuple[str, str], list[float]] = defaultdict(list)
    for request in requests:
        if request.service in SERVICES:
            times[request.service, request.file[0]].append(request.time)
    for service in SERVICES:
        first, second = sorted((times[service, mark] for mark in "ab"), key=min)
        assert max(first) < min(second), f"both batches used {service} at once"
    spans = [[time for (_, owner), found in times.items() if owner == mark for time in found] for mark in "ab"]
    assert max(map(min, spans)) < min(map(max, spans)), "the batches ran one after the other"
