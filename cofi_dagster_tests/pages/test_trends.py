"""The page of trends: what stages take over batches, where the time goes, before and after, and what was late."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import httpx
from playwright.sync_api import Page

from cofi_dagster_tests.pages.browsing import Window
from cofi_dagster_tests.pages.past import finished
from cofi_dagster_tests.pipeline.site import Site

Serve = Callable[..., tuple[Site, str]]
DAY = date(2026, 3, 2)


def rows(page: Page, heading: str) -> list[list[str]]:
    """The cells of the first table of a section."""
    section = page.locator("section", has=page.get_by_role("heading", name=heading, exact=True))
    for closed in section.locator("details:not([open]) > summary").all():
        closed.click()
    return [row.locator("th, td").all_inner_texts() for row in section.locator("tbody tr").all()]


def plotted(page: Page, name: str, part: str) -> list[list[object]]:
    """What Plotly has drawn: a part (``x``, ``y``, ``text``) of each trace."""
    drawn: list[list[object]] = page.evaluate(
        f"document.getElementById('plot-{name}').data.map(trace => Array.from(trace.{part} ?? []))"
    )
    return drawn


def test_a_change_of_one_stage_is_found_and_all_others_are_not(serve: Serve, window_of: Callable[..., Window]) -> None:
    site, address = serve(COFI_ALERT_DONE_BY="19:20")
    for number in range(20):
        slower = 1.5 if number >= 10 else 1.0
        seconds = {"stt": slower * (1000 + 10 * (number % 3)), "llm1": 300 + 10 * (number % 3), "ivr": 0.0}
        finished(site, DAY + timedelta(days=number), seconds=seconds)
    finished(site, DAY + timedelta(days=20), seconds={"stt": 3000.0}, files=2000)
    finished(site, DAY + timedelta(days=20), 2, status="Failed", seconds={"llm2": 0.0})
    finished(site, DAY + timedelta(days=20), 3, kind="upload", seconds={"stt": 7.0})
    window = window_of(address)
    page = window.open("/cofi/trends?first=2026-03-02&last=2026-03-22&a_last=2026-03-11&b_first=2026-03-12")
    assert "Completed 21 Files 4,000" in window.text()
    compared = {cells[0]: cells[1:] for cells in rows(page, "Before and after")}
    assert compared["Speech to text"] == ["10.1", "15.2", "+50 %", "10", "11", "slower"]
    assert compared["LLM1: trades discussed"][-1] == "no clear change"
    assert compared["IVR"] == ["–", "0.00500", "–", "0", "1", "too few batches"]
    bottlenecks = rows(page, "Bottlenecks")
    assert bottlenecks[0][0] == "Speech to text"
    assert sum(float(cells[2].removesuffix(" %")) for cells in bottlenecks) > 99.5
    assert plotted(page, "parts", "text")[0][0] == bottlenecks[0][2]
    assert [cells[:2] for cells in rows(page, "By size of the batch")] == [["1–100", "20"], ["1,001–5,000", "1"]]
    late = rows(page, "Done in time")
    assert [cells[0] for cells in late] == ["2026-03-22_2", "2026-03-22_1"]
    assert late[0][2:3] == ["not yet"]
    assert "91 % of 22 batches were completed by 19:20 (Asia/Kolkata)" in window.text()
    window.check()


def test_one_stage_is_followed_alone_by_its_audio(serve: Serve, window_of: Callable[..., Window]) -> None:
    site, address = serve()
    finished(site, DAY, counted=False, seconds={"stt": 500.0})
    finished(site, DAY + timedelta(days=1), seconds={"stt": 600.0}, audio=36.0)
    window = window_of(address)
    page = window.open("/cofi/trends?first=2025-01-01&last=2025-01-31&kind=nonsense&stage=nonsense&measure=nonsense")
    assert "The newest is of 2026-03-03." in window.text()
    page.get_by_label("or from").fill("2026-03-01")
    page.get_by_label("to", exact=True).first.fill("2026-03-31")
    page.get_by_label("Stage", exact=True).select_option("Speech to text")
    page.get_by_label("Shown as").select_option("seconds per hour of audio")
    page.get_by_role("button", name="Show").press("Enter")
    page.wait_for_selector("#plot-lines[data-drawn]")
    assert plotted(page, "lines", "y") == [[600.0]]
    assert rows(page, "What stages take") == [["2026-03-03_1", "600"], ["2026-03-02_1", "–"]]
    assert {cells[-1] for cells in rows(page, "Before and after")} == {"too few batches"}
    assert "set COFI_ALERT_DONE_BY" in window.text()
    assert not window.problems


def test_an_installation_without_a_completed_batch_has_sentences(
    serve: Serve, window_of: Callable[..., Window]
) -> None:
    site, address = serve(COFI_ALERT_DONE_BY="09:00")
    site.make(2)
    window = window_of(address)
    page = window.open("/cofi/trends")
    for sentence in (
        "Nothing has been completed yet.",
        "Neither period has a completed batch with that figure.",
        "No batch of the period was due by 09:00.",
    ):
        assert sentence in window.text()
    assert page.locator(".plot").count() == 0
    window.check()


def test_many_batches_are_drawn_by_week_and_stages_without_a_figure_not_at_all(serve: Serve) -> None:
    site, address = serve()
    today = datetime.now(UTC).date()
    for number in range(130):
        finished(site, today - timedelta(days=2 * number), seconds={"stt": 100.0 + number, "ivr": 0.0}, files=10)
    page = httpx.get(f"{address}/cofi/trends?days=365&measure=whole").text
    assert "median of each week" in page
    drawn = re.search(r'data-plot="plot-lines">(.*?)</script>', page)
    assert drawn is not None
    traces = json.loads(drawn[1])["data"]
    assert len(traces) == 10
    assert {len(trace["x"]) for trace in traces} <= {37, 38, 39}
    triaging = httpx.get(f"{address}/cofi/trends?stage=triaging&measure=audio").text
    assert "No batch of the period has that figure for Triaging step 1." in triaging
    assert httpx.get(f"{address}/cofi/trends?days=30&kind=upload&first=9999-99-99").status_code == 200
