"""Uploads and reaudits: files sent from a browser, followed to their answers; what a reaudit changed."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page, expect

from cofi_dagster.adhoc import reaudit, tasks, uploads
from cofi_dagster.adhoc.tasks import Task, TaskKind, TaskStatus
from cofi_dagster.database import tables as t
from cofi_dagster.stages import STAGES
from cofi_dagster_tests.adhoc.doing import queue, redo
from cofi_dagster_tests.batches import wav
from cofi_dagster_tests.fleet_simulator import FleetSimulator
from cofi_dagster_tests.pages.browsing import Window
from cofi_dagster_tests.pages.conftest import KEYS, OPERATOR
from cofi_dagster_tests.pipeline.site import Site

Serve = Callable[..., tuple[Site, str]]
HINDI_FILE = "बातचीत.wav"
DROP = """([target, files]) => {
  const transfer = new DataTransfer();
  for (const [name, data] of Object.entries(files))
    transfer.items.add(new File([Uint8Array.from(atob(data), (char) => char.charCodeAt(0))], name));
  for (const kind of ["dragenter", "dragover", "drop"])
    target.dispatchEvent(new DragEvent(kind, {dataTransfer: transfer, bubbles: true, cancelable: true}));
}"""


def drop(page: Page, files: dict[str, bytes]) -> None:
    """Drag files to the form and let them go."""
    packed = {name: base64.b64encode(data).decode() for name, data in files.items()}
    page.evaluate(DROP, [page.locator("#drop").element_handle(), packed])


def way_up(page: Page) -> Callable[[int], None]:
    """Make the page's way up to the server so many bytes a second; -1 is as many as there can be."""
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")

    def throttle(bytes_a_second: int) -> None:
        network = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": bytes_a_second}
        session.send("Network.emulateNetworkConditions", network)

    return throttle


def log_in(window: Window) -> Page:
    """Log in as an operator, on the way to the page."""
    page = window.open("/cofi/uploads")
    page.get_by_label("Key").fill(OPERATOR)
    page.keyboard.press("Enter")
    page.wait_for_url("**/cofi/uploads")
    page.wait_for_selector("html[data-ready]")
    return page


def check_but_refusals(window: Window) -> None:
    """The window's check; the browser itself writes a refused request to the console."""
    window.problems = [problem for problem in window.problems if "422" not in problem]
    window.check()


def carry_out(site: Site, task: Task) -> None:
    """Run an upload to its end, as its job's ops do."""
    begun = tasks.begin(site.engine, task.id, "upload-run")
    batch = uploads.open_batch(site.engine, site.settings, begun)
    for stage in STAGES:
        if stage.in_upload:
            site.pipeline.run_stage(batch, stage.name, "upload-run")
    tasks.complete(site.engine, task.id)


def stored(site: Site) -> list[Any]:
    root = uploads.upload_root(site.settings)
    return list(root.iterdir()) if root.exists() else []


def test_dragged_files_are_sent_and_followed_to_their_answers(
    serve: Serve, window_of: Callable[..., Window], quick_fleet: FleetSimulator
) -> None:
    site, address = serve(COFI_API_KEYS=KEYS, COFI_UPLOAD_MAX_FILE_MB=2, **quick_fleet.environment())
    window = window_of(address)
    page = log_in(window)
    expect(page.get_by_role("heading", name="Audit some files")).to_be_visible()

    # What cannot be taken is said beside the form, by the page where it can know and by the server where not.
    drop(page, {"huge.wav": bytes(2_000_001)})
    expect(page.get_by_role("alert")).to_have_text("huge.wav is larger than 2 MB.")
    page.get_by_label("Remove huge.wav").click()
    drop(page, {HINDI_FILE: wav(mark="a"), "notes.wav": b"not one sound"})
    page.get_by_role("button", name="Upload and audit").click()
    expect(page.get_by_role("alert")).to_have_text("notes.wav is no audio that COFI knows")
    assert stored(site) == []
    check_but_refusals(window)

    # How far it is is seen, and it can be stopped.
    page.get_by_label("Remove notes.wav").click()
    drop(page, {"long.wav": wav(60)})
    assert page.locator("#chosen .break").all_inner_texts() == [HINDI_FILE, "long.wav"]
    throttle = way_up(page)
    throttle(400_000)
    page.get_by_role("button", name="Upload and audit").click()
    expect(page.locator("#sent-text")).to_contain_text("% of 961 kB")
    page.get_by_role("button", name="Stop").press("Enter")
    expect(page.get_by_role("alert")).to_have_text("Stopped. Nothing was kept.")
    assert tasks.newest(site.engine, 5) == []

    throttle(-1)
    page.get_by_role("button", name="Upload and audit").click()
    page.wait_for_url("**/cofi/task/*")
    (task,) = tasks.newest(site.engine, 5)
    assert (task.by, page.url.rpartition("/")[2]) == ("anna", task.id)
    expect(page.locator("h1 .badge")).to_have_text("queued")
    carry_out(site, task)
    expect(page.locator("h1 .badge")).to_have_text("completed")
    expect(page.get_by_role("link", name="Run in Dagster")).to_have_attribute("href", "/runs/upload-run")
    rows = page.locator("[data-part=files] tbody tr")
    assert [row.locator(".badge").inner_text() for row in rows.all()] == ["completed", "completed"]
    call = site.calls(1)[HINDI_FILE]["id"]
    expect(page.get_by_role("link", name=HINDI_FILE)).to_have_attribute("href", f"/cofi/call/{call}")
    window.check()


def test_a_reaudit_shows_what_changed_beside_what_was(
    serve: Serve, window_of: Callable[..., Window], quick_fleet: FleetSimulator
) -> None:
    site, address = serve(**quick_fleet.environment(), COFI_STAGES_DISABLED="denoise,ivr")
    batch = site.make(3)
    site.run(batch)
    calls = site.calls(batch)
    answer = t.audit_answer
    mine = (answer.c.callId == calls["call_000001.wav"]["id"]) & (answer.c.questionId == 4)
    site.execute(answer.update().where(mine).values(answer="The old answer", model="old-model"))
    done = redo(site, ["call_000000.wav", "call_000001.wav"], ["llm2"])
    failed = queue(site, ["unknown.wav"], ["stt", "llm2"])
    reaudit.give_up(site.engine, tasks.begin(site.engine, failed.id, "run"), "there is no call of any of these names")

    window = window_of(address)
    page = window.open(f"/cofi/task/{done.id}")
    changes = page.locator("[data-part=changes]")
    (row,) = changes.locator("tbody tr").all()
    assert row.locator("th a").get_attribute("href") == f"/cofi/call/{calls['call_000001.wav']['id']}"
    before, now = row.locator("td").all()[1:]
    assert "The old answer" in before.inner_text()
    assert str(site.answers(batch)["call_000001.wav"][4]["answer"]) in now.inner_text()
    assert "98 %" in changes.inner_text()
    window.check()

    # The list holds both; the failed one says why and is tried again.
    window.open("/cofi/uploads?status=failed")
    (row,) = page.locator("[data-part=tasks] tbody tr").all()
    assert "there is no call of any of these names" in row.inner_text()
    window.check()
    row.get_by_role("button", name="Retry").click()
    expect(page.get_by_role("status")).to_have_text("It is tried again in a moment; what it had done stays done.")
    assert tasks.get(site.engine, failed.id).status is TaskStatus.QUEUED

    # Calls are named, or those of a batch with a status; a refusal comes back with what was filled in.
    window.open("/cofi/uploads")
    page.get_by_label("Batch, its key or id").fill("2026-01-15_1")
    page.get_by_label("Without names: its calls that are").select_option("Complete")
    page.get_by_role("button", name="Audit again").click()
    expect(page.get_by_role("alert")).to_have_text("at least one of lid, stt, llm1, llm2 is needed")
    expect(page.get_by_label("Batch, its key or id")).to_have_value("2026-01-15_1")
    page.get_by_label("LLM2: audit questionnaire").check()
    page.get_by_role("button", name="Audit again").click()
    page.wait_for_url("**/cofi/task/*")
    asked = tasks.newest(site.engine, 1)[0]
    assert (asked.kind, asked.request["stages"], asked.request["batch_id"]) == (TaskKind.REAUDIT, ["llm2"], batch)
    assert sorted(asked.request["audio_names"]) == sorted(calls)
    check_but_refusals(window)
