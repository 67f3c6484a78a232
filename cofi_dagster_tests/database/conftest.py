"""Fixtures of the database's tests: engines that are closed at the test's end, and an old installation."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa

from cofi_dagster.database.engine import connect
from cofi_dagster_tests.database.servers import HERE, run_script
from cofi_dagster_tests.mariadb import MariaDB

Open = Callable[[str], sa.Engine]


@pytest.fixture
def opened() -> Iterator[Open]:
    """Open an engine on a URL; its connections are closed at the test's end."""
    engines: list[sa.Engine] = []

    def open_engine(url: str) -> sa.Engine:
        engines.append(connect(url))
        return engines[-1]

    yield open_engine
    for engine in engines:
        engine.dispose()


@pytest.fixture
def server(opened: Open, mariadb_server: MariaDB) -> sa.Engine:
    """An empty database on MariaDB."""
    return opened(mariadb_server.fresh_database())


@pytest.fixture
def old(server: sa.Engine) -> sa.Engine:
    """A database on MariaDB that COFI never made, with rows."""
    with server.begin() as connection:
        run_script(connection, (HERE / "old_installation.sql").read_text("utf-8"))
    return server
