"""The page of the API: all of it comes from this machine, and what it tries is what the role allows."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import expect

from cofi_dagster_tests.pages.browsing import Window
from cofi_dagster_tests.pages.conftest import KEYS, OPERATOR
from cofi_dagster_tests.pipeline.site import Site


def test_the_api_is_shown_and_tried_without_leaving_the_machine(
    serve: Callable[..., tuple[Site, str]], window_of: Callable[..., Window]
) -> None:
    site, address = serve(COFI_API_KEYS=KEYS)
    batch = site.make(2)
    window = window_of(address)
    page = window.open("/cofi/docs")
    page.get_by_label("Key").fill(OPERATOR)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{address}/cofi/docs")
    expect(page.locator("#api")).to_have_attribute("data-ready", "")
    asked = page.locator(".opblock", has_text="/api/batch/{batch_id}/cancel")
    assert "The batch is given up for good" in asked.inner_text()
    asked.get_by_role("button").first.click()
    window.check()
    asked.get_by_role("button", name="Try it out").click()
    asked.get_by_placeholder("batch_id").fill(str(batch))
    asked.get_by_role("button", name="Execute").click()
    status = asked.locator(".live-responses-table .response td.response-col_status")
    expect(status).to_contain_text("202")
    assert site.status(batch) == "Cancelled"
    assert not window.problems
