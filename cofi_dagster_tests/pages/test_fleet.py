"""The page of the fleet: machines, their health, what they do now and what they did last."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import expect

from cofi_dagster.database import tables as t
from cofi_dagster_tests.pages.browsing import Window
from cofi_dagster_tests.pages.installation import Installation
from cofi_dagster_tests.pipeline.site import Site

Serve = Callable[..., tuple[Site, str]]
PACE = {
    "left": 700,
    "inFlight": {"gpu1": 6, "gpu2": 0},
    "aside": {"gpu2": "no reply within 120 s"},
    "machines": {
        "gpu1": {"answered": 300, "perMinute": 42.5, "limit": 6, "most": 8, "errors": {"busy": 9, "fault": 1}},
        "gpu2": {"answered": 12, "perMinute": 0.0, "limit": 8, "most": 8, "errors": {"no reply": 3},
                 "lastError": "no reply within 120 s", "asideSeconds": 90.0},
    },
}  # fmt: skip


def test_machines_at_work_and_those_of_the_settings_are_shown(window: Window, installation: Installation) -> None:
    page = window.open("/cofi/fleet")
    expect(page.locator("[data-part=now]")).to_contain_text("12 of 12")
    machines = [row.inner_text() for row in page.locator("[data-part=machines] tbody tr").all()]
    names = [text.split()[0] for text in machines]
    assert names == [*installation.site.settings.gpu_machines, "10.0.0.11", "10.0.0.12", "10.0.0.13"]
    assert machines[0].count("ready") == 6
    assert "set aside" in machines[4]
    assert "10.0.0.13 is set aside in Speech to text of batch 2026-01-15_1: refused three times" in window.text()
    finished = window.text("[data-part=over]")
    assert "Speech to text 2026-01-13_1" not in finished
    assert re.search(r"Speech to text 2026-01-12_1 .* 1 file refused", finished)
    window.check()


def test_a_stage_at_work_says_rates_errors_and_since_when_a_machine_is_aside(
    serve: Serve, window_of: Callable[..., Window]
) -> None:
    site, address = serve(GPU_MACHINES="127.0.0.9", COFI_STAGES_DISABLED="llm1,llm2,denoise,ivr")
    window = window_of(address)
    page = window.open("/cofi/fleet")
    assert "No stage is at work on the machines now." in window.text()
    assert "No batch has used a machine yet." in window.text()
    batch = site.make(3)
    for name in ("file_distribution", "lid"):
        site.tracker.start_stage(batch, name)
        site.tracker.complete_stage(batch, name)
    site.tracker.start_stage(batch, "stt")
    stt = t.stage_detail.c.stage == "stt"
    site.execute(t.stage_detail.update().where(stt).values(pace=PACE, paceAt=t.utcnow()))
    rows = page.locator("[data-part=work] tbody tr")
    expect(rows).to_have_count(2)
    assert rows.nth(0).inner_text().split("\t")[:6] == ["gpu1", "6", "6 of 8", "42.5", "300", "9 busy, 1 fault"]
    assert re.search(r"3 no reply\s+no reply within 120 s\s+\d+ \w+ \d\d:\d\d:\d\d$", rows.nth(1).inner_text())
    assert "127.0.0.9 (files, lid, stt): connection refused or unreachable: Connection refused" in window.text()
    assert "gpu2 not in the settings set aside" in window.text("[data-part=machines]")
    window.check()


def test_without_a_machine_the_page_says_what_to_set(serve: Serve, window_of: Callable[..., Window]) -> None:
    _, address = serve()
    window = window_of(address)
    window.open("/cofi/fleet")
    assert "No machine is configured: set GPU_MACHINES" in window.text()
    window.check()
