"""Pause, resume and cancel of a batch whose stage is at work, and what two people at once come to."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from cofi_dagster.database import tables as t
from cofi_dagster.pipeline.control import Control
from cofi_dagster.pipeline.status import IllegalStep
from cofi_dagster.pipeline.tracker import StageCancelled, StagePaused
from cofi_dagster_tests.fleet_simulator import FleetSimulator
from cofi_dagster_tests.pipeline.site import Site

Opening = Callable[..., Site]
FILES = 200


def at_work(
    here: Site, files: int = FILES, key: str = "2026-01-15_1"
) -> tuple[int, Callable[[], StagePaused | StageCancelled | None]]:
    """A batch whose stt is under way in a thread; how the stage was stopped, if it was, once it has ended."""
    batch = here.make(files, key=key, trades=False)
    here.up_to(batch, "triaging")
    raised: list[StagePaused | StageCancelled] = []

    def work() -> None:
        try:
            here.run(batch, "stt")
        except (StagePaused, StageCancelled) as error:
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    while len(here.flagged(batch, "sttDone")) < 10:
        time.sleep(0.02)

    def ended() -> StagePaused | StageCancelled | None:
        thread.join(30)
        assert not thread.is_alive()
        return raised[0] if raised else None

    return batch, ended


def opened(opening: Opening, fleet: FleetSimulator, **values: Any) -> tuple[Site, Control]:
    here = opening(COFI_CONCURRENCY_PER_MACHINE=1, COFI_COMMIT_SECONDS=0.1, **fleet.environment(), **values)
    return here, Control(here.engine, here.settings)


def test_a_pause_keeps_what_was_in_flight_and_a_resume_goes_on_there(
    each_site: Opening, slow_stt: FleetSimulator
) -> None:
    here, control = opened(each_site, slow_stt)
    batch, ended = at_work(here)
    asked = time.monotonic()
    assert control.pause(batch, by="anna").state == "running"
    assert isinstance(ended(), StagePaused)
    assert time.monotonic() - asked < 5
    state, done = here.stage(batch, "stt"), here.flagged(batch, "sttDone")
    assert (here.status(batch), state.status, state.ended is None) == ("Paused", "Paused", False)
    assert 10 <= len(done) == (state.done or 0) < FILES
    assert set(here.transcripts(batch)) == done
    assert here.tracker.holder(batch) is None
    with pytest.raises(IllegalStep, match="is paused and cannot become paused"):
        control.pause(batch)
    sent = len(slow_stt.requests())
    assert control.resume(batch).state == "running"
    assert here.run(batch, "stt", run="another").done == FILES
    again = {request.file for request in slow_stt.requests(sent) if request.service == "stt"}
    assert again == set(here.files(batch)) - done
    assert here.stage(batch, "stt").started == state.started


def test_a_cancel_ends_the_stage_and_leaves_the_files_as_they_are(each_site: Opening, slow_stt: FleetSimulator) -> None:
    here, control = opened(each_site, slow_stt)
    batch, ended = at_work(here)
    asked = time.monotonic()
    assert control.cancel(batch).state == "cancelled"
    assert isinstance(ended(), StageCancelled)
    assert time.monotonic() - asked < 5
    state = here.stage(batch, "stt")
    assert (here.status(batch), state.status, state.error) == ("Cancelled", "Failed", "cancelled")
    assert state.ended >= state.started
    assert 10 <= len(here.flagged(batch, "sttDone")) < FILES
    for verb in (control.pause, control.resume, control.cancel, control.retry):
        with pytest.raises(IllegalStep):
            verb(batch)


def test_a_pause_between_two_stages_holds_before_the_next(each_site: Opening, slow_stt: FleetSimulator) -> None:
    here, control = opened(each_site, slow_stt)
    batch = here.make(3)
    here.up_to(batch, "lid")
    control.pause(batch, has_run=True)
    assert here.status(batch) == "lidDone"
    with pytest.raises(StagePaused, match="paused before triaging"):
        here.run(batch, "triaging")
    assert (here.status(batch), here.stage(batch, "triaging").status) == ("Paused", "Pending")
    here.run(batch, run="a new run is a resume")
    assert here.status(batch) == "Completed"


def test_a_pause_as_the_last_file_ends_leaves_the_batch_completed_or_paused_and_never_both(
    site: Opening, slow_stt: FleetSimulator
) -> None:
    here, control = opened(site, slow_stt, COFI_STAGES_DISABLED="llm1,llm2,triaging_step2")
    seen = set()
    for number in range(6):
        batch, ended = at_work(here, 14, f"2026-01-15_{number + 1}")
        time.sleep(0.02 * number)
        with contextlib.suppress(IllegalStep):
            control.pause(batch)
        ended()
        states = here.stage(batch, "stt")
        seen.add((here.status(batch), str(states.status)))
        left = set(here.files(batch)) - here.flagged(batch, "sttDone")
        assert bool(left) == (states.status == "Paused")
    assert seen <= {("Completed", "Complete"), ("Paused", "Paused")}


def test_a_cancel_as_the_last_file_ends_leaves_the_batch_cancelled_or_refuses(
    site: Opening, slow_stt: FleetSimulator
) -> None:
    here, control = opened(site, slow_stt, COFI_STAGES_DISABLED="llm1,llm2,triaging_step2")
    for number in range(4):
        batch, ended = at_work(here, 14, f"2026-01-15_{number + 1}")
        time.sleep(0.03 * number)
        with contextlib.suppress(IllegalStep):
            control.cancel(batch)
        ended()
        state = here.stage(batch, "stt")
        left = set(here.files(batch)) - here.flagged(batch, "sttDone")
        assert (here.status(batch), str(state.status), state.error) in {
            ("Completed", "Complete", None),
            ("Cancelled", "Complete", None),
            ("Cancelled", "Failed", "cancelled"),
        }
        assert not left or state.status == "Failed"
        assert here.tracker.holder(batch) is None


def both(batch: int, *verbs: Callable[[int], object]) -> list[str]:
    """Ask for two things at once; what was refused, and why."""
    gate = threading.Barrier(len(verbs))
    refused: list[str] = []

    def ask(verb: Callable[[int], object]) -> None:
        gate.wait()
        try:
            verb(batch)
        except IllegalStep as error:
            refused.append(str(error))

    threads = [threading.Thread(target=ask, args=(verb,)) for verb in verbs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return refused


def test_of_a_pause_and_a_cancel_at_once_the_cancel_stays(each_site: Opening, slow_stt: FleetSimulator) -> None:
    here, control = opened(each_site, slow_stt)
    batch, ended = at_work(here)
    refused = both(batch, control.pause, control.cancel)
    ended()
    assert here.status(batch) == "Cancelled"
    assert refused in ([], [f"batch {batch} is cancelled and cannot become paused"])


def test_of_two_at_once_one_is_first_and_the_other_is_judged_by_what_it_left(each_site: Opening) -> None:
    here = each_site(COFI_STAGES_DISABLED="callmetadata,trademetadata,denoise,ivr")
    control = Control(here.engine, here.settings)
    resume, retry = partial(control.resume, launch=True), partial(control.retry, launch=True)
    batch = here.make(1)
    here.tracker.start_stage(batch, "file_distribution")
    here.tracker.fail_stage(batch, "file_distribution", "no machine")
    assert both(batch, retry, retry) == [f"a run of batch {batch} is on its way"]
    assert here.status(batch) == "Pending"
    assert both(batch, control.pause, control.pause) == [f"batch {batch} is paused and cannot become paused"]
    assert both(batch, resume, resume) == [f"batch {batch} is running: only a paused one is resumed"]
    assert [row.launches for row in here.rows(t.batch_control.select())] == [2]
    control.pause(batch)
    assert len(both(batch, resume, control.cancel)) <= 1
    assert here.status(batch) == "Cancelled"
    assert [row.launch for row in here.rows(t.batch_control.select())] == [None]


def test_a_paused_batch_can_be_cancelled(site: Opening, slow_stt: FleetSimulator) -> None:
    here, control = opened(site, slow_stt)
    batch, ended = at_work(here)
    control.pause(batch)
    ended()
    control.cancel(batch)
    assert (here.status(batch), here.stage(batch, "stt").status) == ("Cancelled", "Paused")


def test_one_failed_stage_is_retried_and_nothing_else(site: Opening, slow_stt: FleetSimulator) -> None:
    here, control = opened(site, slow_stt, COFI_STAGES_DISABLED="denoise,ivr")
    batch = here.make(4)
    here.up_to(batch, "lid")
    with pytest.raises(IllegalStep, match="nothing of lid of batch 1 failed"):
        control.retry(batch, "lid")
    slow_stt.fault("status", service="stt", status=400, times=4)
    with pytest.raises(Exception, match="all 4 files failed"):
        here.run(batch, "triaging", "stt")
    assert here.status(batch) == "Failed"
    assert control.retry(batch, "stt").state == "running"
    assert here.run(batch, "stt").done == 4
    assert here.status(batch) == "sttDone"
