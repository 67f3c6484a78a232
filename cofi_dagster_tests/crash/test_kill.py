"""A run that is killed without a word, in every stage of files: the same command goes on where it stood."""

from __future__ import annotations

from collections import Counter

import pytest
import sqlalchemy as sa

from cofi_dagster.database import tables as t
from cofi_dagster.stages import BY_NAME, DONE_FLAGS, NAMES
from cofi_dagster_tests.crash.conftest import Installation
from cofi_dagster_tests.fleet_simulator import FleetSimulator, trades_of
from cofi_dagster_tests.pipeline.site import Site

FILE_STAGES = ("file_distribution", "denoise", "ivr", "lid", "stt", "llm1", "llm2")
SERVICE = {name: "files" if name == "file_distribution" else name for name in FILE_STAGES}
FILES = 80
HELD = "call_00000[67].wav"


def done(here: Site, batch: int, stage: str) -> set[str]:
    """The files that are through a stage, by what is committed."""
    flag = BY_NAME[stage].done_flag
    return {file for file, row in here.files(batch).items() if (row[flag] if flag else row["ip"] is not None)}


def per_file(here: Site, table: sa.Table) -> Counter[str]:
    query = sa.select(t.call.c.audioName, sa.func.count()).join(table, table.c.callId == t.call.c.id)
    return Counter({name: number for name, number in here.rows(query.group_by(t.call.c.audioName))})


def assert_nothing_doubled(here: Site, batch: int) -> None:
    names = set(here.calls(batch))
    assert per_file(here, t.transcript) == dict.fromkeys(names, 4)
    assert per_file(here, t.ivr_segment) == dict.fromkeys(names, 1)
    assert per_file(here, t.audit_answer) == dict.fromkeys(names, 20)
    assert per_file(here, t.call_conversation) == {name: len(trades_of(name)) for name in names}
    assert Counter(row.file for row in here.rows(sa.select(t.lid_status.c.file))) == dict.fromkeys(names, 1)
    for stage in FILE_STAGES:
        assert {len(statuses) for statuses in here.logged(batch, stage).values()} == {1}


def test_a_batch_survives_a_kill_in_each_stage_of_files(installation: Installation, slow_fleet: FleetSimulator) -> None:
    here = installation.site
    batch = here.make(FILES)
    before: dict[str, set[str]] = {}
    homes: dict[str, str | None] = {}
    started, marks = {}, {}
    for stage in FILE_STAGES:
        slow_fleet.fault("hang", service=SERVICE[stage], file=HELD, times=None)
        run = installation.run(batch)
        run.until(lambda stage=stage: len(done(here, batch, stage)) >= 20)  # type: ignore[misc]
        run.kill()
        slow_fleet.clear_faults()
        before[stage], started[stage] = done(here, batch, stage), here.stage(batch, stage).started
        homes = homes or {file: row["ip"] for file, row in here.files(batch).items()}
        marks[stage] = len(slow_fleet.requests())
        assert here.stage(batch, stage).status == "InProgress"
        assert 20 <= len(before[stage]) < FILES

    assert installation.run(batch).wait() == 0
    assert here.status(batch) == "Completed"
    taken = {file for file, row in here.files(batch).items() if row["ip"] != homes[file]}  # by an idle machine, later
    for stage in FILE_STAGES:
        again = {request.file for request in slow_fleet.requests(marks[stage]) if request.service == SERVICE[stage]}
        if stage == "file_distribution":
            again -= taken & before[stage]
        assert again == set(here.files(batch)) - before[stage]
        state = here.stage(batch, stage)
        assert (state.status, state.started) == ("Complete", started[stage])
        assert state.ended > state.started
    assert all(row[flag] for row in here.files(batch).values() for flag in DONE_FLAGS)
    assert {row["status"] for row in here.calls(batch).values()} == {"Complete"}
    assert [event["stage"] for event in here.events(batch, "run_lost")] == list(FILE_STAGES)
    assert_nothing_doubled(here, batch)


@pytest.mark.parametrize("database_url", ["mariadb"], indirect=True)
def test_a_batch_survives_the_death_of_a_machine(installation: Installation, slow_fleet: FleetSimulator) -> None:
    here = installation.site
    batch = here.make(60)
    run = installation.run(batch)
    run.until(lambda: len(done(here, batch, "stt")) >= 10)
    slow_fleet.kill(0)
    assert run.wait() == 0
    assert here.status(batch) == "Completed"
    moved = {file for file, row in here.files(batch).items() if row["ip"] == slow_fleet.machines[1]}
    assert {f"{batch}/{file}" for file in moved} == set(slow_fleet.files(1))
    assert here.events(batch, "machine_aside")
    assert_nothing_doubled(here, batch)


@pytest.mark.parametrize("database_url", ["mariadb"], indirect=True)
def test_of_two_runs_at_once_the_second_says_so_and_harms_nothing(
    installation: Installation, slow_fleet: FleetSimulator
) -> None:
    here = installation.site
    batch = here.make(40)
    slow_fleet.fault("hang", service="denoise", file=HELD, times=None)
    first = installation.run(batch)
    first.until(lambda: len(done(here, batch, "denoise")) >= 10)
    second = installation.run(batch)
    assert second.wait() == 1
    assert second.err.startswith("cofi: batch 2026-01-15_1")
    assert len(second.err.splitlines()) == 1
    assert here.stage(batch, "denoise").status == "InProgress"
    assert not first.is_over
    first.kill()
    slow_fleet.clear_faults()
    assert installation.run(batch).wait() == 0


def test_a_thousand_files_reach_completed_with_all_sums_right(
    installation: Installation, slow_fleet: FleetSimulator
) -> None:
    here = installation.site
    files = 1000
    slow_fleet.set_latency(dict.fromkeys(("denoise", "ivr", "lid", "stt", "llm1", "llm2"), 0))
    batch = here.make(files)
    run = installation.run(batch, COFI_COMMIT_FILES="250", COFI_COMMIT_SECONDS="0.5", COFI_CONCURRENCY_PER_MACHINE="16")
    assert run.wait() == 0, run.err
    assert run.out.splitlines()[-1] == f"batch {batch} Completed"
    states = list(here.tracker.stages(batch).values())
    assert [state.status for state in states] == ["Complete"] * len(NAMES)
    assert all(state.started <= state.ended for state in states)
    assert here.pipeline.batch(batch).total_files == files
    for stage in FILE_STAGES:
        (event,) = here.events(batch, "stage_complete", stage)
        assert (event["totalFiles"], event["processedFiles"], event["metadata"]["failed"]) == (files, files, 0)
        assert len(here.events(batch, "stage_progress", stage)) == files // 100
    asked = Counter(service for (service, _), times in slow_fleet.counts().items() for _ in range(times))
    assert {name: number for name, number in asked.items() if name != "files"} == dict.fromkeys(FILE_STAGES[1:], files)
    assert asked["files"] < 1.5 * files
    assert_nothing_doubled(here, batch)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_finished_batch_again_changes_nothing(installation: Installation, slow_fleet: FleetSimulator) -> None:
    here = installation.site
    batch = here.make(10)
    assert installation.run(batch).wait() == 0
    before, count = here.tracker.stages(batch), len(slow_fleet.requests())
    again = installation.run(batch)
    assert again.wait() == 0
    assert again.out.splitlines()[-1] == f"batch {batch} Completed"
    assert here.tracker.stages(batch) == before
    assert len(slow_fleet.requests()) == count
