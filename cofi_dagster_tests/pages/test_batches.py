"""The page of all batches, and logging in: seen in a browser."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from cofi_dagster.database import tables as t
from cofi_dagster_tests.batches import make_batch
from cofi_dagster_tests.pages.browsing import Window
from cofi_dagster_tests.pages.conftest import KEYS, OPERATOR, VIEWER
from cofi_dagster_tests.pages.installation import Installation
from cofi_dagster_tests.pipeline.site import Site

Serve = Callable[..., tuple[Site, str]]


def test_every_batch_shows_its_state_and_what_may_be_done(window: Window, installation: Installation) -> None:
    page = window.open("/cofi")
    rows = {row.locator("th").inner_text(): row for row in page.locator("tbody tr").all()}
    states = {key: row.locator(".badge").inner_text() for key, row in rows.items()}
    assert states == {
        "2026-01-16_1": "pending", "2026-01-15_1": "running", "2026-01-14_1": "failed", "2026-01-13_1": "paused",
        "2026-01-12_1": "completed",
    }  # fmt: skip
    buttons = {key: row.locator("button").all_inner_texts() for key, row in rows.items()}
    assert buttons == {
        "2026-01-16_1": ["Launch", "Cancel"], "2026-01-15_1": ["Pause", "Cancel"], "2026-01-14_1": ["Retry"],
        "2026-01-13_1": ["Resume", "Cancel"], "2026-01-12_1": ["Retry"],
    }  # fmt: skip
    running = rows["2026-01-15_1"].inner_text()
    assert "10,000" in running
    assert "Speech to text" in running
    assert "40" in running
    window.check()


def test_filters_choose_batches(window: Window, installation: Installation) -> None:
    page = window.open("/cofi")
    page.get_by_label("State").select_option("failed")
    page.get_by_role("button", name="Show").click()
    assert page.locator("tbody th").all_inner_texts() == ["2026-01-14_1"]
    window.open("/cofi?first=2026-01-13&last=2026-01-14")
    assert page.locator("tbody th").all_inner_texts() == ["2026-01-13_1", "2026-01-14_1"]
    assert "No batch is like that." in window.open("/cofi?state=cancelled").locator("main").inner_text()
    window.check()


def test_a_batch_that_changes_is_seen_to_change(serve: Serve, window_of: Callable[..., Window]) -> None:
    site, address = serve()
    window = window_of(address)
    page = window.open("/cofi")
    assert "No batch yet." in window.text()
    batch = site.make(3)
    expect(page.locator("tbody .badge")).to_have_text("pending")
    site.execute(t.batch_status.update().where(t.batch_status.c.id == batch).values(status="Completed"))
    expect(page.locator("tbody .badge")).to_have_text("completed")
    assert not window.problems


def test_a_directory_that_still_arrives_can_be_started_by_hand(serve: Serve, window_of: Callable[..., Window]) -> None:
    site, address = serve()
    make_batch(site.settings.batches, "2026-01-17_1", 2, complete=False)
    window = window_of(address)
    page = window.open("/cofi")
    assert "2026-01-17_1 still arriving" in window.text()
    page.get_by_role("button", name="Start now").click()
    page.get_by_role("button", name="Yes").click()
    expect(page.get_by_role("status")).to_have_text("Batch 2026-01-17_1 will begin in a moment.")
    (asked,) = site.rows(t.batch_control.select())
    assert asked.launch == "all"
    window.check()


def test_cancelling_asks_first_and_works_without_a_mouse(serve: Serve, window_of: Callable[..., Window]) -> None:
    site, address = serve()
    batch = site.make(2)
    window = window_of(address)
    page = window.open("/cofi")
    window.press_until("Tab", page.get_by_role("button", name="Cancel"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_contain_text("Cancel batch 2026-01-15_1?")
    page.keyboard.press("Enter")
    assert site.status(batch) == "Pending"
    page.get_by_role("button", name="Cancel").press("Enter")
    window.press_until("Tab", page.get_by_role("button", name="Yes"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text(f"Batch {batch} is cancelled.")
    assert site.status(batch) == "Cancelled"
    assert not window.problems


@pytest.mark.parametrize(("key", "acts"), [(OPERATOR, True), (VIEWER, False)])
def test_a_key_opens_the_pages_and_its_role_decides(
    serve: Serve, window_of: Callable[..., Window], key: str, acts: bool
) -> None:
    site, address = serve(COFI_API_KEYS=KEYS)
    batch = site.make(2)
    window = window_of(address)
    page = window.open(f"/cofi/batch/{batch}")
    assert page.url == f"{address}/cofi/login?next=/cofi/batch/{batch}"
    page.get_by_label("Key").fill("a wrong key")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("This is none of the keys.")
    page.get_by_label("Key").fill(key)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{address}/cofi/batch/{batch}")
    window.open("/cofi")
    assert page.get_by_role("button", name="Launch").count() == int(acts)
    shown = page.goto(f"{address}/runs")
    assert shown is not None
    assert shown.text() == ("the Dagster UI" if acts else "to look at only")
    window.open("/cofi")
    page.get_by_role("button", name="Log out").click()
    page.wait_for_url(f"{address}/cofi/login")
    assert [text for text in window.problems if "401" not in text] == []
