"""Fixtures that several parts' tests share: databases, settings, a simulated fleet. Nothing particular to one part."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cofi_dagster.settings import Settings
from cofi_dagster_tests.fleet_simulator import FleetSimulator
from cofi_dagster_tests.mariadb import MariaDB, shared_server


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the developer's own shell reaches a test."""
    for field in Settings.model_fields.values():
        if field.alias:
            monkeypatch.delenv(field.alias, raising=False)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)


@pytest.fixture(scope="session")
def mariadb_server(tmp_path_factory: pytest.TempPathFactory) -> MariaDB:
    """The session's MariaDB, one for all xdist workers. Without one the test fails, saying what to install."""
    base = tmp_path_factory.getbasetemp()
    is_worker = "PYTEST_XDIST_WORKER" in os.environ
    folder, owner = (base.parent, os.getppid()) if is_worker else (base, os.getpid())
    return shared_server(folder / "mariadb", owner)


@pytest.fixture(params=["sqlite", "mariadb"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database; the test runs once on each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'cofi.sqlite'}"
    server: MariaDB = request.getfixturevalue("mariadb_server")
    return server.fresh_database()


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., Settings]:
    """Make settings with their home in the test's folder: ``settings(**fleet.environment())``."""

    def make(**values: Any) -> Settings:
        return Settings.load(_env_file=None, **{"COFI_HOME": tmp_path / "home", **values})

    return make


@pytest.fixture
def fleet() -> Iterator[FleetSimulator]:
    """Two machines without latency, of this test alone: it may break them. All calls are in English."""
    with FleetSimulator(machines=2, languages="en") as simulator:
        yield simulator


@pytest.fixture(scope="session")
def quick_fleet() -> Iterator[FleetSimulator]:
    """Two machines without latency, shared by the session: for tests that set no faults and read no records."""
    with FleetSimulator(machines=2, languages="en") as simulator:
        yield simulator


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Find a port of 127.0.0.1 that nothing listens on."""

    def find() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
            return port

    return find
