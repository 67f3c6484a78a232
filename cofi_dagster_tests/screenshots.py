"""Makes the documents' pictures of the pages: ``python -m cofi_dagster_tests.screenshots`` writes ``docs/pictures/``.

The calls are the demo's, really heard and audited on this machine; the batch of 10,000 at work is the tests' own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import sqlalchemy as sa
from playwright.sync_api import Page, sync_playwright
from starlette.responses import PlainTextResponse

from cofi_dagster.database import tables as t
from cofi_dagster.settings import Settings
from cofi_dagster.web.server import create_app
from cofi_dagster_tests.pages.installation import running_batch
from cofi_dagster_tests.pipeline.site import Site
from cofi_dagster_tests.web.conftest import serving

FOLDER = Path(__file__).parents[1] / "docs" / "pictures"
_WIDTH = 1280


def main() -> None:
    """Run the demo in a scratch home, serve it, and take the pictures."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        environment = {**os.environ, "COFI_HOME": str(home)}
        subprocess.run([sys.executable, "-m", "cofi_dagster.cli", "demo"], env=environment, check=True)
        site = Site.open(Settings.load(_env_file=None, COFI_HOME=home))
        batch = running_batch(site)
        app = create_app(site.settings, PlainTextResponse("the Dagster UI"))
        with serving(app) as address, sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox"] if os.geteuid() == 0 else []
            )
            page = browser.new_page()
            at_work = t.stage_detail.update().where(t.stage_detail.c.batchId == batch)
            site.execute(at_work.values(paceAt=t.utcnow()))
            for name, (path, height) in _pages(site, batch).items():
                page.set_viewport_size({"width": _WIDTH, "height": height})
                _take(page, address + path, FOLDER / f"{name}.png")
            browser.close()
        site.engine.dispose()


def _pages(site: Site, batch: int) -> dict[str, tuple[str, int]]:
    """Pages and heights by the pictures' names; the call is the one whose order was executed with another quantity."""
    mapping = t.trade_audio_mapping.c
    wrong = sa.select(mapping.callId).where(mapping.verdict == "wrong_quantity").limit(1)
    (call,) = site.rows(wrong)
    return {
        "batch": (f"/cofi/batch/{batch}", 1390),
        "call": (f"/cofi/call/{call.callId}", 860),
        "exceptions": ("/cofi/exceptions?batch=1", 860),
    }


def _take(page: Page, address: str, path: Path) -> None:
    page.goto(address)
    page.wait_for_selector("html[data-ready]")
    for plot in page.locator(".plot:visible").all():
        plot.locator("svg.main-svg").first.wait_for()
    page.wait_for_timeout(300)
    path.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=path)
    print(f"{path.name}: {path.stat().st_size // 1000} kB")  # noqa: T201 - the command's voice


if __name__ == "__main__":
    main()
