"""The page of one batch, seen in a browser: in each state, with no file and with 10,000."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import sqlalchemy as sa
from playwright.sync_api import expect

from cofi_dagster.database import tables as t
from cofi_dagster_tests.pages.browsing import Window
from cofi_dagster_tests.pages.installation import FILES, Installation
from cofi_dagster_tests.pipeline.site import Site

_STATES = {
    "running": "Currently processing Speech to text, started",
    "paused": "Paused before Speech to text",
    "failed": "Stopped in Language identification: all 4 files failed",
    "finished": "Completed.",
    "empty": "Nothing has begun yet.",
}


@pytest.mark.parametrize("state", _STATES)
def test_a_batch_says_how_it_stands(window: Window, installation: Installation, state: str) -> None:
    page = window.open(f"/cofi/batch/{getattr(installation, state)}")
    assert _STATES[state] in window.text('[data-part="standing"]')
    for row in page.locator('[data-part="stages"] tbody tr').all():
        cells = [cell.replace(",", "") for cell in row.locator("td.n").all_inner_texts()[:5]]
        if cells[0] != "–":
            whole, *parts = (int(cell) for cell in cells)
            assert sum(parts) == whole, row.inner_text()
    together = window.text('[data-part="calls"]')
    files = {"running": FILES, "paused": 12, "failed": 4, "finished": 8}.get(state)
    assert (f"together {files:,}" in together) if files else ("No file is registered yet." in together)
    window.check()


def test_10_000_files_are_shown_at_once_with_time_left_and_failures(window: Window, installation: Installation) -> None:
    just_said = t.stage_detail.c.batchId == installation.running
    installation.site.execute(t.stage_detail.update().where(just_said).values(paceAt=t.utcnow()))
    page = window.open(f"/cofi/batch/{installation.running}")
    said = r"started \d+ min ago, about 2[67] min left in this stage \(between 2[45] min and 29 min\)"
    assert re.search(said, window.text())
    assert "10.0.0.13 set aside refused three times in a row" in window.text('[data-part="load"]')
    groups = [row.locator("td.n").inner_text() for row in page.locator("#failures tbody tr").all()]
    assert groups == ["14", "13", "13"]
    page.locator("#failures summary").first.press("Enter")
    link = page.locator("#failures li a").first
    expect(link).to_have_text("call_000000.wav")
    size = page.evaluate(
        "performance.getEntriesByType('resource').concat(performance.getEntriesByType('navigation'))"
        ".filter(entry => !entry.name.includes('plotly')).reduce((sum, entry) => sum + entry.transferSize, 0)"
    )
    assert size < 300_000
    window.open(f"/cofi/batch/{installation.running}/files?status=TranscriptDone&offset=3900")
    assert "3,901–3,960 of 3,960" in window.text()
    window.check()


def test_a_stage_that_moves_on_is_seen_while_figures_and_opened_lists_stay(
    serve: Callable[..., tuple[Site, str]], window_of: Callable[..., Window]
) -> None:
    site, address = serve()
    batch = site.make(3)
    run = site.tracker.start_stage(batch, "file_distribution")
    assert run
    window = window_of(address)
    page = window.open(f"/cofi/batch/{batch}")
    expect(page.locator('[data-part="standing"]')).to_contain_text("Currently processing File distribution")
    page.locator("#timeline-numbers summary").press("Enter")
    site.tracker.fail_stage(batch, "file_distribution", "the share is not mounted")
    expect(page.locator('[data-part="standing"]')).to_contain_text("the share is not mounted")
    expect(page.locator('[data-part="stages"]')).to_contain_text("failed")
    assert page.locator("#timeline-numbers").get_attribute("open") is not None
    page.locator('[data-part="stages"]').get_by_role("button", name="Retry").click()
    expect(page.get_by_role("status")).to_contain_text("is tried again in a moment")
    (asked,) = site.rows(sa.select(t.batch_control.c.launch))
    assert asked.launch == "file_distribution"
    assert not window.problems
