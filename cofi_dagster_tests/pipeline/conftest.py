"""Fixtures of the engine's tests: an installation on SQLite, one on each database, and a fleet that is made as new."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cofi_dagster_tests.fleet_simulator import FleetSimulator
from cofi_dagster_tests.pipeline.site import SettingsOf, Site


@pytest.fixture
def sites() -> Iterator[list[Site]]:
    """The sites of this test: their connections are closed at its end."""
    opened: list[Site] = []
    yield opened
    for site in opened:
        site.engine.dispose()


@pytest.fixture
def site(settings: SettingsOf, sites: list[Site]) -> Callable[..., Site]:
    """Make an installation on SQLite: ``site(**fleet.environment())``; again: another one on the same database."""

    def make(**values: Any) -> Site:
        sites.append(Site.open(settings(**values)))
        return sites[-1]

    return make


@pytest.fixture
def each_site(settings: SettingsOf, database_url: str, sites: list[Site]) -> Callable[..., Site]:
    """As ``site``, once on each kind of database."""

    def make(**values: Any) -> Site:
        sites.append(Site.open(settings(COFI_DATABASE_URL=database_url, **values)))
        return sites[-1]

    return make


@pytest.fixture(scope="session")
def shared_fleet() -> Iterator[FleetSimulator]:
    """Two machines for the whole session."""
    with FleetSimulator(machines=2, languages="en", segments=4) as simulator:
        yield simulator


@pytest.fixture
def machines(shared_fleet: FleetSimulator) -> FleetSimulator:
    """Two machines in order, with empty disks, no latency, no faults and no records."""
    shared_fleet.clear_faults()
    for machine in range(2):
        shared_fleet.kill(machine)
        shared_fleet.up(machine)
        shared_fleet.set_machine(machine, speed=1.0, capacity=0)
    shared_fleet.set_latency(dict.fromkeys(("denoise", "ivr", "lid", "stt", "llm1", "llm2"), 0))
    shared_fleet.forget_records()
    return shared_fleet
