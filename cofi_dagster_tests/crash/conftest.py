"""Fixtures of the crash tests: an installation whose batches real processes run, against a fleet with latency."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cofi_dagster_tests.crash.command import Run
from cofi_dagster_tests.fleet_simulator import FleetSimulator
from cofi_dagster_tests.pipeline.site import SettingsOf, Site

LATENCY = 0.05


class Installation:
    """A site and the environment that its processes get."""

    def __init__(self, site: Site, environment: dict[str, str]) -> None:
        self.site = site
        self.environment = environment
        self._runs: list[Run] = []

    def run(self, batch: int, **settings: str) -> Run:
        """Start `cofi batch run` on the batch's directory."""
        self._runs.append(Run(self.site.directory(batch), {**self.environment, **settings}))
        return self._runs[-1]

    def close(self) -> None:
        """End what still runs."""
        for run in self._runs:
            if not run.is_over:
                run.kill()
        self.site.engine.dispose()


@pytest.fixture
def slow_fleet() -> Iterator[FleetSimulator]:
    """Two machines that take 50 ms for each request but uploads."""
    with FleetSimulator(machines=2, languages="en", segments=4, latency=LATENCY) as simulator:
        yield simulator


@pytest.fixture
def installation(
    settings: SettingsOf, database_url: str, slow_fleet: FleetSimulator, tmp_path: Path
) -> Iterator[Installation]:
    """On each kind of database; small groups, so that a kill meets a stage with some files committed."""
    environment = {
        **slow_fleet.environment(),
        "COFI_HOME": str(tmp_path / "home"),
        "COFI_DATABASE_URL": database_url,
        "COFI_COMMIT_FILES": "10",
        "COFI_COMMIT_SECONDS": "0.1",
        "COFI_CONCURRENCY_PER_MACHINE": "4",
    }
    made = Installation(Site.open(settings(**environment)), environment)
    yield made
    made.close()
