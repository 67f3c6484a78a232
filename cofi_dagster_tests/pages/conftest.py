"""Fixtures of the pages' tests: a real Chromium, and an installation with a batch in each state."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ViewportSize, expect, sync_playwright
from starlette.responses import PlainTextResponse

from cofi_dagster.settings import Settings
from cofi_dagster.web.server import create_app
from cofi_dagster_tests.fleet_simulator import FleetSimulator
from cofi_dagster_tests.pages.browsing import Window
from cofi_dagster_tests.pages.installation import Installation, install
from cofi_dagster_tests.pipeline.site import Site
from cofi_dagster_tests.web.conftest import serving

expect.set_options(timeout=15_000)
SIZE: ViewportSize = {"width": 1280, "height": 800}
OPERATOR, VIEWER = "an-operators-key", "a-viewers-key"
KEYS = f"anna:operator:{OPERATOR},vera:viewer:{VIEWER}"


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, headless. Without one the test fails, saying what to install.

    Of the package and not of the session: Playwright's event loop must not be there while others make their own.
    """
    chromium = shutil.which("chromium")
    assert chromium, "the tests of the pages need Chromium: apt-get install chromium"
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=chromium, args=arguments)
        yield found
        found.close()


@pytest.fixture(scope="package")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A batch in each state, on SQLite; for tests that change nothing."""
    home = tmp_path_factory.mktemp("pages")
    with FleetSimulator(machines=2, languages="en", segments=10) as fleet:
        site = Site.open(Settings.load(_env_file=None, COFI_HOME=home, **fleet.environment()))
        yield install(site, fleet)
        site.engine.dispose()


@pytest.fixture(scope="package")
def address(installation: Installation) -> Iterator[str]:
    """Where the installation's pages are, without keys; a stub stands for the Dagster UI."""
    with serving(create_app(installation.site.settings, PlainTextResponse("the Dagster UI"))) as address:
        yield address


@pytest.fixture
def window_of(browser: Browser) -> Iterator[Callable[..., Window]]:
    """Open a window on an address, as a person with a browser of its own: ``window_of(address)``."""
    with ExitStack() as stack:

        def make(address: str, **how: Any) -> Window:
            context = browser.new_context(viewport=SIZE, **how)
            stack.callback(context.close)
            return Window(context.new_page(), address)

        yield make


@pytest.fixture(scope="package")
def visitor(browser: Browser) -> BrowserContext:
    """A person's browser: what it has fetched once it keeps, as everybody's does."""
    return browser.new_context(viewport=SIZE)


@pytest.fixture
def window(visitor: BrowserContext, address: str) -> Iterator[Window]:
    """A window on the installation's pages."""
    page = visitor.new_page()
    yield Window(page, address)
    page.close()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., tuple[Site, str]]]:
    """Make and serve an empty installation that a test may change: ``site, address = serve(COFI_API_KEYS=KEYS)``."""
    with ExitStack() as stack:

        def make(**values: Any) -> tuple[Site, str]:
            settings = Settings.load(_env_file=None, **{"COFI_HOME": tmp_path / "home", **values})
            site = Site.open(settings)
            stack.callback(site.engine.dispose)
            app = create_app(settings, PlainTextResponse("the Dagster UI"), PlainTextResponse("to look at only"))
            return site, stack.enter_context(serving(app))

        yield make
