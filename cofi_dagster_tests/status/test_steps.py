"""The state machines of batches and stages: every step of the tables, and no other."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import pytest
import sqlalchemy as sa

from cofi_dagster.database import tables as t
from cofi_dagster.pipeline.control import Control, ready_batches
from cofi_dagster.pipeline.status import (
    BATCH_STEPS,
    STAGE_STEPS,
    BatchStatus,
    IllegalStep,
    StageStatus,
    check_batch_step,
    check_stage_step,
)
from cofi_dagster.pipeline.tracker import BatchBusy, StageRefused
from cofi_dagster_tests.pipeline.site import Site

Opening = Callable[..., Site]
SEED_004 = {
    "pending": {"running", "cancelled"},
    "running": {"paused", "completed", "failed", "cancelled"},
    "paused": {"running", "cancelled"},
    "failed": {"running"},
    "completed": set(),
    "cancelled": set(),
}


def test_a_batch_has_the_steps_of_the_seed_and_of_the_decisions() -> None:
    assert {str(state): {str(after) for after in steps} for state, steps in BATCH_STEPS.items()} == SEED_004


def test_any_other_step_of_a_batch_is_illegal() -> None:
    for before, after in product(BatchStatus, BatchStatus):
        if after in SEED_004[before]:
            check_batch_step("batch 1", before, after)
            continue
        with pytest.raises(IllegalStep, match=f"batch 1 is {before} and cannot become {after}"):
            check_batch_step("batch 1", before, after)


def test_any_other_step_of_a_stage_is_illegal() -> None:
    for before, after in product(StageStatus, StageStatus):
        if after in STAGE_STEPS[before]:
            check_stage_step("stt", before, after)
            continue
        with pytest.raises(IllegalStep):
            check_stage_step("stt", before, after)


def test_an_illegal_step_changes_nothing(each_site: Opening) -> None:
    here = each_site()
    batch = here.make(1)
    control = Control(here.engine, here.settings)
    everything = [sa.select(t.batch_status), sa.select(t.stage_detail), sa.select(t.batch_execution_log)]
    before = [here.rows(query) for query in everything]
    for verb in (control.pause, control.resume):
        with pytest.raises(IllegalStep):
            verb(batch)
    with pytest.raises(IllegalStep):
        here.tracker.complete_stage(batch, "file_distribution")
    with pytest.raises(StageRefused):
        control.skip(batch, "stt")
    assert [here.rows(query) for query in everything] == before


def test_the_verbs_of_the_tracker(each_site: Opening) -> None:
    here = each_site(COFI_STAGES_DISABLED="denoise,ivr,callmetadata,trademetadata,triaging,triaging_step2,llm1,llm2")
    batch, tracker = here.make(1), here.tracker
    assert (tracker.get_progress(batch), tracker.get_current_stage(batch)) == (0.0, "file_distribution")
    tracker.start_stage(batch, "file_distribution")
    with pytest.raises(IllegalStep, match="is InProgress and cannot become InProgress"):
        tracker.start_stage(batch, "file_distribution")
    with pytest.raises(BatchBusy):
        tracker.start_stage(batch, "lid", "another run")
    tracker.update_progress(batch, "file_distribution", 3, failed=1, metadata={"pages": 4})
    state = here.stage(batch, "file_distribution")
    assert (state.done, state.failed, state.metadata) == (3, 1, {"pages": 4})
    tracker.complete_stage(batch, "file_distribution", {"total": 4})
    assert (tracker.get_progress(batch), tracker.get_current_stage(batch)) == (33.33, "lid")
    assert tracker.get_stage_duration(batch, "file_distribution") is not None
    assert (tracker.can_start_stage(batch, "lid"), tracker.can_start_stage(batch, "stt")) == (True, False)
    tracker.start_stage(batch, "lid")
    tracker.fail_stage(batch, "lid", "no machine")
    assert (here.stage(batch, "lid").error, here.status(batch)) == ("no machine", "Failed")
    for name in ("lid", "stt"):
        tracker.start_stage(batch, name)
        tracker.complete_stage(batch, name)
    assert (tracker.get_progress(batch), tracker.get_current_stage(batch)) == (100.0, None)
    assert here.status(batch) == "Completed"


def test_every_change_of_a_status_is_an_event(site: Opening) -> None:
    here = site(COFI_STAGES_DISABLED="denoise,ivr,callmetadata,trademetadata,triaging,triaging_step2,llm1,llm2")
    batch, tracker = here.make(1), here.tracker
    tracker.start_stage(batch, "file_distribution")
    tracker.fail_stage(batch, "file_distribution", "full disk")
    for name in ("file_distribution", "lid", "stt"):
        tracker.start_stage(batch, name)
        tracker.complete_stage(batch, name)
    log = t.batch_execution_log.c
    events = [tuple(row) for row in here.rows(sa.select(log.stage, log.eventType).order_by(log.id))]
    assert events == [
        (None, "batch_start"),
        ("file_distribution", "stage_start"),
        ("file_distribution", "stage_failed"),
        ("file_distribution", "batch_failed"),
        (None, "batch_retried"),
        ("file_distribution", "stage_start"),
        ("file_distribution", "stage_complete"),
        ("lid", "stage_start"),
        ("lid", "stage_complete"),
        ("stt", "stage_start"),
        ("stt", "stage_complete"),
        (None, "batch_complete"),
    ]


def test_a_skipped_stage_is_passed_over_until_it_is_retried(each_site: Opening) -> None:
    here = each_site()
    batch = here.make(1)
    control = Control(here.engine, here.settings)
    for name in ("denoise", "callmetadata"):
        control.skip(batch, name, by="anna", reason="the service is down")
        assert here.stage(batch, name).status == "Skipped"
        assert here.run(batch, name).disabled
        assert here.stage(batch, name).started is None
    with pytest.raises(IllegalStep):
        control.skip(batch, "denoise")
    control.retry(batch, "denoise")
    assert here.stage(batch, "denoise").skip_reason is None
    assert [event["metadata"] for event in here.events(batch, "stage_skipped")] == [
        {"reason": "the service is down"}
    ] * 2


def test_batches_that_are_ready_for_a_stage(each_site: Opening) -> None:
    here = each_site(COFI_STAGES_DISABLED="denoise,ivr,trademetadata")
    ready, begun, cancelled, waiting = (here.make(1, key=f"2026-01-15_{number}") for number in range(1, 5))
    for batch in (ready, begun, cancelled):
        here.tracker.start_stage(batch, "file_distribution")
        here.tracker.complete_stage(batch, "file_distribution")
    Control(here.engine, here.settings).cancel(cancelled)
    here.tracker.start_stage(begun, "lid")
    assert ready_batches(here.engine, here.settings, "lid") == [ready]
    assert ready_batches(here.engine, here.settings, "file_distribution") == [waiting]
    assert ready_batches(here.engine, here.settings, "trademetadata") == []
    assert ready_batches(here.engine, here.settings, "triaging") == []
