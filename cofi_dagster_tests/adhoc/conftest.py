"""Fixtures of the tests of ad-hoc work: an installation, a reaudit run to its end, and a fleet that is made as new."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cofi_dagster_tests.fleet_simulator import FleetSimulator
from cofi_dagster_tests.pipeline.site import SettingsOf, Site


@pytest.fixture(scope="session")
def shared_fleet() -> Iterator[FleetSimulator]:
    """Two machines for the whole session."""
    with FleetSimulator(machines=2, languages="en", segments=4) as simulator:
        yield simulator


@pytest.fixture
def machines(shared_fleet: FleetSimulator) -> FleetSimulator:
    """Two machines without faults and records."""
    shared_fleet.clear_faults()
    shared_fleet.set_latency(dict.fromkeys(("lid", "stt", "llm1", "llm2"), 0))
    shared_fleet.forget_records()
    return shared_fleet


@pytest.fixture
def site(settings: SettingsOf, machines: FleetSimulator) -> Iterator[Site]:
    """An installation on SQLite with that fleet."""
    made = Site.open(settings(**machines.environment(), COFI_MAX_ATTEMPTS=1, COFI_FLEET_WAIT_SECONDS=0.5))
    yield made
    made.engine.dispose()


@pytest.fixture
def each_site(settings: SettingsOf, machines: FleetSimulator, database_url: str) -> Iterator[Site]:
    """The same, once on each kind of database."""
    made = Site.open(settings(COFI_DATABASE_URL=database_url, **machines.environment(), COFI_MAX_ATTEMPTS=1))
    yield made
    made.engine.dispose()


@pytest.fixture
def audio(tmp_path: Path) -> Callable[[str], Path]:
    """Make a file that is audio."""
    from cofi_dagster_tests.batches import wav

    def make(name: str) -> Path:
        path = tmp_path / "sent" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(wav(mark=name))
        return path

    return make
