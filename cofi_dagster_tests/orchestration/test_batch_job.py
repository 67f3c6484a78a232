"""`batch_pipeline` on a real instance: what a person sees of a batch, when its checks warn, and how it is resumed."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest

from cofi_dagster.orchestration.assets import ACCOUNTED, FAILURE_SHARE, stage_checks
from cofi_dagster.pipeline.progress import StageReport
from cofi_dagster.stages import BY_NAME, NAMES, Kind
from cofi_dagster_tests.batches import make_batch
from cofi_dagster_tests.fleet_simulator import FleetSimulator
from cofi_dagster_tests.orchestration.conftest import KEY, Installation, links

Make = Callable[..., Installation]
FILES = 4


def metadata(done: dg.ExecuteInProcessResult) -> dict[str, dict[str, Any]]:
    """What each stage's materialisation carries, as plain values."""
    return {
        event.materialization.asset_key.to_user_string(): {
            name: value.value for name, value in event.materialization.metadata.items()
        }
        for event in (found.event_specific_data for found in done.get_asset_materialization_events())
    }


def checks(done: dg.ExecuteInProcessResult) -> dict[tuple[str, str], bool]:
    """Whether each asset check passed."""
    return {
        (result.asset_key.to_user_string(), result.check_name): result.passed
        for result in done.get_asset_check_evaluations()
    }


def failed_step(done: dg.ExecuteInProcessResult) -> tuple[str, str]:
    """The step that failed, and what it says."""
    (event,) = (event for event in done.all_events if event.is_step_failure)
    error = event.step_failure_data.error
    while error.cause is not None and "Failure" not in str(error.cls_name):
        error = error.cause
    said = event.step_failure_data.user_failure_data
    return str(event.step_key), said.description if said else error.message


def test_a_batch_goes_through_all_stages_and_says_what_was_done(
    installation: Make, database_url: str, fleet: FleetSimulator
) -> None:
    here = installation(on_disk=True, COFI_DATABASE_URL=database_url, **fleet.environment())
    make_batch(here.site.settings.batches, KEY, FILES)
    done = here.run()
    assert done.success
    assert here.site.status(1) == "Completed"
    said = metadata(done)
    assert list(said) == list(NAMES)
    for name, values in said.items():
        assert values["pages"] == "/cofi/batch/1"
        assert values["state"] == "ran"
        assert (values["failed"], values["skipped"], values["failed_share"]) == (0, 0, 0.0)
        assert values["duration_seconds"] == pytest.approx(
            (here.site.stage(1, name).ended - here.site.stage(1, name).started).total_seconds(), abs=0.01
        )
        if BY_NAME[name].kind is Kind.FILES:
            assert (values["files"], values["done"]) == (FILES, FILES)
            assert values["files_per_second"] * values["seconds_per_file"] == pytest.approx(1, rel=1e-4)
            assert 0 < values["seconds_per_file"] * FILES < values["duration_seconds"] + 0.1
    hours = {name: values["audio_hours"] for name, values in said.items() if "audio_hours" in values}
    assert list(hours) == ["stt", "llm1", "llm2"]
    assert FILES * 20 / 3600 < hours["stt"] < FILES * 120 / 3600
    assert checks(done) == {(name, check): True for name in NAMES for check in (ACCOUNTED, FAILURE_SHARE)}


def test_a_run_names_its_process_so_that_its_death_is_noticed(installation: Make, fleet: FleetSimulator) -> None:
    here = installation(**fleet.environment())
    make_batch(here.site.settings.batches, KEY, 1)
    run = here.instance.get_run_by_id(here.run().run_id)
    assert run is not None
    assert run.tags["cofi/pid"] == str(os.getpid())
    assert run.tags["cofi/process_run"] == run.run_id


def test_the_last_stage_has_a_table_of_all_that_the_ui_shows_at_once(installation: Make, fleet: FleetSimulator) -> None:
    here = installation(COFI_STAGES_DISABLED="denoise,llm2", COFI_TIME_ZONE="Asia/Kolkata", **fleet.environment())
    make_batch(here.site.settings.batches, KEY, FILES)
    said = metadata(here.run())
    assert [name for name, values in said.items() if "timing" in values] == ["triaging_step2"]
    table = said["triaging_step2"]["timing"]
    zone, _, _, _, *rows = table.splitlines()
    assert zone.endswith("times in Asia/Kolkata")
    assert [row.split("|")[1] for row in rows] == [
        BY_NAME[name].title for name in NAMES if name not in ("denoise", "llm2")
    ]
    cells = {row.split("|")[1]: row.split("|")[3:7] for row in rows}
    assert cells["Speech to text"][1:3] == [str(FILES), "0"]
    assert sum(int(share.split()[0]) for *_, share in cells.values()) == pytest.approx(100, abs=len(rows) / 2)
    assert len(table) + 2 * len(max(rows, key=len)) + 11 * len("10,000") < 1000


def test_a_second_run_sends_nothing_and_says_so(installation: Make, fleet: FleetSimulator) -> None:
    here = installation(**fleet.environment())
    make_batch(here.site.settings.batches, KEY, FILES)
    first = here.run()
    assert first.success
    assert links(here.instance, first.run_id) == ["/cofi/batch/1"]
    before, sent = here.site.tracker.stages(1), len(fleet.requests())
    again = here.run()
    assert again.success
    assert len(fleet.requests()) == sent
    assert {values["state"] for values in metadata(again).values()} == {"nothing was pending"}
    for name, values in metadata(first).items():
        plotted = {key: value for key, value in values.items() if isinstance(value, int | float)}
        assert {key: metadata(again)[name][key] for key in plotted} == plotted
    assert all(checks(again).values())
    assert here.site.tracker.stages(1) == before


def test_a_stage_that_fails_fails_its_step_and_those_after_do_not_run(
    installation: Make, fleet: FleetSimulator
) -> None:
    here = installation(COFI_MAX_ATTEMPTS=1, **fleet.environment())
    make_batch(here.site.settings.batches, KEY, FILES)
    fleet.fault("status", service="lid", status=422, detail="no speech in it", times=None)
    done = here.run()
    assert not done.success
    step, sentence = failed_step(done)
    assert step == "lid"
    assert f"lid of batch {KEY}: all {FILES} files failed, {FILES} of them with" in sentence
    assert "no speech in it" in sentence
    assert list(metadata(done)) == list(NAMES[: NAMES.index("lid")])
    assert links(here.instance, done.run_id) == ["/cofi/batch/1", "/cofi/batch/1"]
    assert {request.service for request in fleet.requests()}.isdisjoint({"stt", "llm1", "llm2"})
    assert here.site.status(1) == "Failed"
    run = here.instance.get_run_by_id(done.run_id)
    assert run is not None
    assert run.status is dg.DagsterRunStatus.FAILURE


def test_re_execution_sends_only_what_is_pending(installation: Make, fleet: FleetSimulator) -> None:
    here = installation(COFI_MAX_ATTEMPTS=1, **fleet.environment())
    make_batch(here.site.settings.batches, KEY, FILES)
    fleet.fault("status", service="stt", file="call_000001.wav", status=422, times=None)
    fleet.fault("status", service="llm1", status=422, times=None)
    assert not here.run().success
    fleet.clear_faults()
    sent = len(fleet.requests())
    assert here.run().success
    again = [(request.service, request.file) for request in fleet.requests(sent) if request.service != "files"]
    names = set(here.site.files(1))
    assert sorted(again) == sorted(
        [("stt", "call_000001.wav"), *((service, name) for service in ("llm1", "llm2") for name in names)]
    )
    assert here.site.status(1) == "Completed"


def test_many_failures_in_a_stage_are_a_warning_and_no_failure(installation: Make, fleet: FleetSimulator) -> None:
    here = installation(COFI_MAX_ATTEMPTS=1, **fleet.environment())
    make_batch(here.site.settings.batches, KEY, FILES)
    fleet.fault("status", service="ivr", file="call_00000[12].wav", status=422, times=None)
    done = here.run()
    assert done.success
    (found,) = (result for result in done.get_asset_check_evaluations() if not result.passed)
    assert (found.asset_key.to_user_string(), found.check_name) == ("ivr", FAILURE_SHARE)
    assert found.severity is dg.AssetCheckSeverity.WARN
    assert found.metadata["share"].value == 0.5


def test_a_disabled_stage_materialises_as_such(installation: Make, fleet: FleetSimulator) -> None:
    here = installation(COFI_STAGES_DISABLED="denoise,llm2", **fleet.environment())
    make_batch(here.site.settings.batches, KEY, 2)
    done = here.run()
    assert done.success
    said = metadata(done)
    assert {name for name, values in said.items() if values["state"].startswith("disabled")} == {"denoise", "llm2"}
    assert "duration_seconds" not in said["denoise"]
    assert {request.service for request in fleet.requests()}.isdisjoint({"denoise", "llm2"})


def test_a_partition_without_a_directory_fails_with_its_name(installation: Make, fleet: FleetSimulator) -> None:
    here = installation(**fleet.environment())
    step, sentence = failed_step(here.run("2026-02-01_7"))
    assert step == "file_distribution"
    assert sentence == f"there is no batch 2026-02-01_7 and no directory {here.site.settings.batches / '2026-02-01_7'}"


def test_a_partition_whose_name_is_no_batch_key_fails_with_what_one_looks_like(
    installation: Make, fleet: FleetSimulator
) -> None:
    here = installation(**fleet.environment())
    _, sentence = failed_step(here.run("yesterday"))
    assert "'yesterday' is no batch key: it must be <batchDate>_<batchNumber>" in sentence


ACCOUNTS = [
    (StageReport(BY_NAME["stt"], total=10, done=7, failed=1, skipped=2), True),
    (StageReport(BY_NAME["stt"], total=10, done=7, failed=1, skipped=1), False),
    (StageReport(BY_NAME["stt"], total=10, done=11), False),
    (StageReport(BY_NAME["stt"], total=0), True),
    (StageReport(BY_NAME["stt"], disabled=True), True),
    (StageReport(BY_NAME["stt"], total=10, unchanged=True), True),
]


@pytest.mark.parametrize(("report", "passes"), ACCOUNTS)
def test_every_file_is_accounted_for_or_the_check_fails(report: StageReport, passes: bool) -> None:
    found = {result.check_name: result for result in stage_checks(report, warn_at=1.0)}
    assert found[ACCOUNTED].passed is passes
    assert found[ACCOUNTED].severity is dg.AssetCheckSeverity.ERROR


@pytest.mark.parametrize(("failed", "passes"), [(0, True), (5, True), (6, False), (100, False)])
def test_the_failure_share_warns_above_its_setting(failed: int, passes: bool) -> None:
    report = StageReport(BY_NAME["lid"], total=100, done=100 - failed, failed=failed)
    found = {result.check_name: result for result in stage_checks(report, warn_at=0.05)}
    assert found[FAILURE_SHARE].passed is passes
    assert found[FAILURE_SHARE].severity is dg.AssetCheckSeverity.WARN
