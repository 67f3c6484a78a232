"""Fixtures: an installation on each database, and a fleet."""

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
def each_site(settings: SettingsOf, database_url: str, sites: list[Site]) -> Callable[..., Site]:
    """Make an installation, once on each kind of database."""

    def make(**values: Any) -> Site:
        sites.append(Site.open(settings(COFI_DATABASE_URL=database_url, **values)))
        return sites[-1]

    return make


@pytest.fixture
def site(settings: SettingsOf, sites: list[Site]) -> Callable[..., Site]:
    """Make an installation on SQLite."""

    def make(**values: Any) -> Site:
        sites.append(Site.open(settings(**values)))
        return sites[-1]

    return make


@pytest.fixture(scope="session")
def slow_stt() -> Iterator[FleetSimulator]:
    """Two machines whose speech to text takes 50 ms a file."""
    with FleetSimulator(machines=2, languages="en", segments=2, latency="stt=0.05") as simulator:
        yield simulator
