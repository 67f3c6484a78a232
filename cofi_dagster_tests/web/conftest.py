"""Fixtures of the tests of pages and API: the application as `cofi up` serves it, with a stub for the Dagster UI."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp

from cofi_dagster.web.server import create_app
from cofi_dagster_tests.fleet_simulator import FleetSimulator
from cofi_dagster_tests.pipeline.site import SettingsOf, Site


@contextmanager
def serving(app: ASGIApp) -> Iterator[str]:
    """Serve an application on a free port of this machine; its address."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", access_log=False))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def site(settings: SettingsOf, quick_fleet: FleetSimulator) -> Iterator[Site]:
    """An installation on SQLite."""
    made = Site.open(settings(**quick_fleet.environment()))
    yield made
    made.engine.dispose()


@pytest.fixture
def client_of(settings: SettingsOf, quick_fleet: FleetSimulator) -> Iterator[Callable[..., httpx.Client]]:
    """Make a client of the application, over a socket: ``client_of(COFI_API_KEYS="…")``."""
    with ExitStack() as stack:

        def make(**values: Any) -> httpx.Client:
            app = create_app(
                settings(**quick_fleet.environment(), **values),
                PlainTextResponse("the Dagster UI"),
                PlainTextResponse("the Dagster UI, to look at"),
            )
            address = stack.enter_context(serving(app))
            return stack.enter_context(httpx.Client(base_url=address, timeout=30))

        yield make


@pytest.fixture
def client(client_of: Callable[..., httpx.Client]) -> httpx.Client:
    """A client of an application without keys."""
    return client_of()
