"""The page of exceptions and human review on it, seen in a browser."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

from playwright.sync_api import Page, expect

from cofi_dagster.database import tables as t
from cofi_dagster_tests.audit.day import Day, make_day
from cofi_dagster_tests.pages.browsing import Window
from cofi_dagster_tests.pages.conftest import KEYS, OPERATOR, VIEWER
from cofi_dagster_tests.pages.installation import FILES, Installation
from cofi_dagster_tests.pipeline.site import Site

Serve = Callable[..., tuple[Site, str]]
Windows = Callable[..., Window]


def counts(page: Page) -> list[int]:
    """The numbers of all kinds at the top, the sum first."""
    shown = page.locator(".kinds strong").all_inner_texts()
    return [int(number.replace(",", "")) for number in shown]


def served(serve: Serve, window_of: Windows, **how: str) -> tuple[Site, Day, Window]:
    """An installation with a batch that has an exception of every kind, and a person's window on it."""
    site, address = serve(COFI_API_KEYS=KEYS)
    day = make_day(site.engine, date(2026, 1, 15))
    return site, day, window_of(address, extra_http_headers={"X-API-Key": OPERATOR}, **how)


def test_batches_in_every_state_show_their_exceptions(window: Window, installation: Installation) -> None:
    page = window.open(f"/cofi/exceptions?batch={installation.running}")
    assert counts(page) == [FILES, 0, 0, 0, 0, 0, FILES]
    assert "2026-01-15_1: not at the end yet" in window.text()
    assert page.locator("tbody tr").count() == 50
    page.get_by_role("link", name="More").click()
    assert "51–100 of 10,000" in window.text()
    window.open("/cofi/exceptions?first=2026-01-12&last=2026-01-14")
    total, *kinds = counts(page)
    assert total == sum(kinds) > 0
    page.get_by_role("link", name="Calls not audited").click()
    assert "stt failed: HTTP 422: the audio has no samples" in window.text()
    assert "HTTP 422: the audio cannot be decoded" in window.text()
    with page.expect_download() as saved:
        page.get_by_role("link", name="CSV").click()
    assert saved.value.suggested_filename == "exceptions_from_2026-01-12_to_2026-01-14.csv"
    window.open(f"/cofi/exceptions?batch={installation.empty}")
    assert "Nothing to look at" in window.text()
    window.check()


def test_a_person_overrides_with_a_reason_accepts_the_rest_and_sees_who_did(serve: Serve, window_of: Windows) -> None:
    site, day, window = served(serve, window_of)
    page = window.open("/cofi/exceptions?kind=discrepancy")
    row = page.locator("tbody tr", has_text="wrong quantity")
    summary = row.locator("summary")
    window.press_until("Tab", summary, most=60)
    page.keyboard.press("Enter")
    row.get_by_role("button", name="Override").click()
    expect(page.get_by_role("alert")).to_have_text("An override needs a reason.")
    summary.click()
    row.get_by_label("Your verdict").fill("confirmed")
    row.get_by_label("Reason").fill("वह दस कहती है, पाँच नहीं")
    window.check()
    row.get_by_role("button", name="Override").click()
    expect(page.get_by_role("status")).to_have_text("1 finding is overridden.")
    assert page.url.endswith("/cofi/exceptions?kind=discrepancy")
    for shown in ("overridden by anna", "confirmed", "वह दस कहती है, पाँच नहीं"):
        expect(row).to_contain_text(shown)
    page.locator(".kinds a").first.click()
    assert counts(page) == [16, 3, 2, 2, 1, 5, 3]
    page.get_by_label("Tick all open rows").check()
    page.get_by_role("button", name="Accept the ticked").click()
    expect(page.get_by_role("status")).to_have_text("15 findings are accepted.")
    assert site.rows(t.human_review.select().where(t.human_review.c.decision == "overridden"))[-1].batchId == day.batch
    page.get_by_label("Review", exact=True).select_option("open")
    page.get_by_role("button", name="Show").click()
    assert counts(page) == [0] * 7
    window.check()


def test_columns_sort_and_the_answers_of_a_reaudit_come_back(serve: Serve, window_of: Windows) -> None:
    site, day, window = served(serve, window_of)
    page = window.open(f"/cofi/exceptions?batch={day.batch}")
    page.get_by_role("link", name="Score").click()
    expect(page.locator('th[aria-sort="ascending"]')).to_contain_text("Score")
    page.get_by_role("link", name="Score").click()
    expect(page.locator('th[aria-sort="descending"]')).to_contain_text("Score")
    assert page.locator("tbody tr").first.locator("td.n").inner_text().split()[0] == "0.8"
    page.get_by_role("link", name="Unverified quotes").click()
    row = page.locator("tbody tr")
    row.locator("summary").click()
    row.get_by_role("button", name="Accept").click()
    site.execute(t.audit_answer.update().values(answer="No"))
    page.reload()
    for shown in ("another since this review", "accepted by anna", "The machine had said: Yes (unverified)"):
        expect(row).to_contain_text(shown)
    assert not window.problems


def test_a_viewer_sees_reviews_and_cannot_make_them_and_no_script_is_needed(serve: Serve, window_of: Windows) -> None:
    _, _, window = served(serve, window_of, java_script_enabled=False)  # type: ignore[arg-type]
    page = window.page
    page.goto(f"{window.address}/cofi/exceptions?kind=call_without_trade")
    page.locator("tbody summary").first.click()
    page.locator("tbody").get_by_role("button", name="Accept").first.click()
    assert "1 finding is accepted." in page.content()
    viewer = window_of(window.address, extra_http_headers={"X-API-Key": VIEWER})
    seen = viewer.open("/cofi/exceptions?kind=call_without_trade")
    expect(seen.locator("tbody tr").first).to_contain_text("accepted by anna")
    assert seen.locator("main button").all_inner_texts() == ["Show"]
    assert seen.locator("tbody input").count() == 0
    viewer.check()
