"""Fixtures of the audit's tests that need a database: one of each kind for all, a batch for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, timedelta
from itertools import count

import pytest
import sqlalchemy as sa

from cofi_dagster.database.engine import connect
from cofi_dagster.database.upgrade import upgrade
from cofi_dagster_tests.audit.day import Day, make_day


@pytest.fixture(scope="package", params=["sqlite", "mariadb"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[sa.Engine]:
    """A database that is up to date."""
    if request.param == "sqlite":
        made = connect(f"sqlite:///{tmp_path_factory.mktemp('audit') / 'cofi.sqlite'}")
    else:
        made = connect(request.getfixturevalue("mariadb_server").fresh_database())
    upgrade(made)
    yield made
    made.dispose()


@pytest.fixture(scope="package")
def new_day(engine: sa.Engine) -> Callable[[], Day]:
    """Make another batch with an exception of every kind, each of a later day."""
    numbers = count()
    return lambda: make_day(engine, date(2026, 1, 15) + timedelta(days=next(numbers)))


@pytest.fixture
def day(new_day: Callable[[], Day]) -> Day:
    """A batch of this test's own."""
    return new_day()
