"""The jobs and sensors on a real Dagster instance: each queued task once, selected ops again, a dead run found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import create_execution_plan, execute_run
from dagster._core.storage.tags import PARENT_RUN_ID_TAG, ROOT_RUN_ID_TAG, RUN_KEY_TAG

from cofi_dagster.adhoc import tasks
from cofi_dagster.adhoc.tasks import Task, TaskStatus
from cofi_dagster.adhoc.uploads import Upload
from cofi_dagster.database import tables as t
from cofi_dagster.definitions import build_defs
from cofi_dagster.orchestration.adhoc_jobs import TASK_TAG
from cofi_dagster.orchestration.adhoc_sensors import audit_upload_sensor, reaudit_sensor
from cofi_dagster.orchestration.resources import TrackingResource
from cofi_dagster_tests.adhoc.doing import batch_row, history, queue, states
from cofi_dagster_tests.fleet_simulator import FleetSimulator
from cofi_dagster_tests.orchestration.conftest import links
from cofi_dagster_tests.pipeline.site import Site

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
FIRST, SECOND = "call_000000.wav", "call_000001.wav"


class _Tracking(TrackingResource):
    """COFI's database of a test."""

    def __init__(self, site: Site) -> None:
        super().__init__()
        self.settings = site.settings
        self.engine = site.engine
        self.tracker = site.tracker


class _Fleet:
    def __init__(self, site: Site) -> None:
        self.endpoints = site.pipeline.endpoints


class Dagster:
    """The definitions on an instance."""

    def __init__(self, site: Site, instance: dg.DagsterInstance) -> None:
        self.site = site
        self.instance = instance
        self.resources = {"tracking": _Tracking(site), "fleet": _Fleet(site)}
        self.defs = build_defs(self.resources)

    def run(self, job: str, config: dict[str, Any] | None = None, **how: Any) -> dg.ExecuteInProcessResult:
        """Run a job here."""
        return self.defs.resolve_job_def(job).execute_in_process(
            run_config={**QUIET, **(config or {})}, instance=self.instance, raise_on_error=False, **how
        )

    def again(self, before: dg.ExecuteInProcessResult, steps: list[str]) -> dg.DagsterRun:
        """Re-execute selected ops of a run, as the UI does; the new run."""
        tags = {**self.instance.get_run_by_id(before.run_id).tags}
        tags |= {PARENT_RUN_ID_TAG: before.run_id, ROOT_RUN_ID_TAG: before.run_id}
        job = self.defs.resolve_job_def(before.job_def.name)
        run = self.instance.create_run_for_job(
            job,
            execution_plan=create_execution_plan(job, run_config=QUIET, step_keys_to_execute=steps),
            run_config=QUIET,
            tags=tags,
            parent_run_id=before.run_id,
            root_run_id=before.run_id,
        )
        execute_run(InMemoryJob(job), run, self.instance)
        return self.instance.get_run_by_id(run.run_id)

    def tick(self, sensor: dg.SensorDefinition) -> list[dg.RunRequest]:
        """Evaluate a sensor once."""
        with dg.build_sensor_context(instance=self.instance, resources=self.resources) as context:
            return list(sensor.evaluate_tick(context).run_requests or [])

    def task(self, task: Task) -> Task:
        """The task as it is now."""
        return tasks.get(self.site.engine, task.id)


@pytest.fixture
def dagster(site: Site) -> Iterator[Dagster]:
    """COFI on an ephemeral instance."""
    with dg.DagsterInstance.ephemeral() as instance:
        yield Dagster(site, instance)


@pytest.fixture
def upload(site: Site, audio: Callable[[str], Path]) -> Task:
    """A queued upload of two files."""
    with Upload(site.settings) as sent:
        sent.add(audio("a.wav"))
        sent.add(audio("b.wav"))
        return tasks.get(site.engine, sent.queue(site.engine, 1, 1))


def test_a_queued_upload_is_launched_once_and_carried_out(dagster: Dagster, upload: Task) -> None:
    (request,) = dagster.tick(audit_upload_sensor)
    assert (request.run_key, request.tags[TASK_TAG]) == (f"task:{upload.id}", upload.id)
    result = dagster.run("audit_upload", tags={**request.tags, RUN_KEY_TAG: f"task:{upload.id}"})
    assert result.success
    ended = dagster.task(upload)
    assert (ended.status, ended.run_id) == (TaskStatus.COMPLETED, result.run_id)
    assert links(dagster.instance, result.run_id) == [f"/cofi/task/{upload.id}"]
    assert dagster.tick(audit_upload_sensor) == []
    assert dagster.site.status(ended.batch_id or 0) == "Completed"


def test_a_person_launches_both_jobs_with_typed_config(dagster: Dagster, audio: Callable[[str], Path]) -> None:
    config = {"ops": {"upload_begin": {"config": {"files": [str(audio("mine.wav"))]}}}}
    assert dagster.run("audit_upload", config).success
    config = {"ops": {"reaudit_begin": {"config": {"audio_names": ["mine.wav"], "stages": ["llm2"]}}}}
    assert dagster.run("reaudit", config).success
    kinds = [(task.kind.value, task.status.value) for task in tasks.newest(dagster.site.engine, 5)]
    assert sorted(kinds) == [("reaudit", "completed"), ("upload", "completed")]


def test_selected_ops_of_a_reaudit_are_done_again_and_no_others(
    dagster: Dagster, site: Site, machines: FleetSimulator
) -> None:
    batch = site.make(2)
    site.run(batch)
    before = batch_row(site, batch)
    task = queue(site, [FIRST], ["stt", "llm1", "llm2"])
    first = dagster.run("reaudit", tags={TASK_TAG: task.id})
    assert first.success
    machines.forget_records()
    again = dagster.again(first, ["reaudit_llm2"])
    assert again.is_success
    assert [(service, count) for (service, _), count in machines.counts().items()] == [("llm2", 1)]
    replaced = Counter(row.questionId for row in history(site, t.audit_answer_history, task))
    assert set(replaced.values()) == {2}
    assert dagster.task(task).status is TaskStatus.COMPLETED
    assert batch_row(site, batch) == before


def test_a_failed_op_is_resumed_for_what_it_did_not_do(dagster: Dagster, site: Site, machines: FleetSimulator) -> None:
    batch = site.make(2)
    site.run(batch)
    task = queue(site, [FIRST, SECOND], ["stt", "llm1", "llm2"])
    for machine in range(2):
        machines.fault("status", service="llm1", machine=machine, times=None, status=422, detail="no")
    first = dagster.run("reaudit", tags={TASK_TAG: task.id})
    assert not first.success
    assert dagster.task(task).status is TaskStatus.FAILED
    machines.clear_faults()
    machines.forget_records()
    again = dagster.again(first, ["reaudit_llm1", "reaudit_llm2", "reaudit_finish"])
    assert again.is_success
    assert machines.counts()["stt", FIRST] == 0
    assert states(site, dagster.task(task)) == {FIRST: ("completed", None), SECOND: ("completed", None)}


def test_a_task_whose_runs_die_goes_on_in_another_twice_and_then_waits_for_a_person(
    dagster: Dagster, upload: Task
) -> None:
    job = dagster.defs.resolve_job_def("audit_upload")
    runs = []
    for attempt in range(1, 4):
        key = dagster.task(upload).run_key
        runs.append(dagster.instance.create_run_for_job(job, tags={TASK_TAG: upload.id, RUN_KEY_TAG: key}))
        tasks.begin(dagster.site.engine, upload.id, runs[-1].run_id)
        assert dagster.tick(audit_upload_sensor) == []
        assert dagster.task(upload).status is TaskStatus.PROCESSING
        dagster.instance.report_run_failed(runs[-1], "killed")
        assert [request.run_key for request in dagster.tick(audit_upload_sensor)] == (
            [f"task:{upload.id}:{attempt + 1}"] if attempt < 3 else []
        )
        assert runs[-1].run_id in (dagster.task(upload).error or "")
    assert dagster.task(upload).status is TaskStatus.FAILED
    again = tasks.retry(dagster.site.engine, upload.id)
    (request,) = dagster.tick(audit_upload_sensor)
    assert request.run_key == again.run_key == f"task:{upload.id}:4"


def test_a_task_whose_run_a_person_marked_as_canceled_is_not_tried_again(dagster: Dagster, upload: Task) -> None:
    run = dagster.instance.create_run_for_job(
        dagster.defs.resolve_job_def("audit_upload"), tags={TASK_TAG: upload.id, RUN_KEY_TAG: upload.run_key}
    )
    tasks.begin(dagster.site.engine, upload.id, run.run_id)
    dagster.instance.report_run_canceled(run)
    assert dagster.tick(audit_upload_sensor) == []
    ended = dagster.task(upload)
    assert (ended.status, ended.error) == (
        TaskStatus.FAILED, f"its run {run.run_id} ended as CANCELED before it was through; retry it"
    )  # fmt: skip


def test_a_run_that_ended_before_it_began_is_not_waited_for(dagster: Dagster, upload: Task) -> None:
    job = dagster.defs.resolve_job_def("audit_upload")
    run = dagster.instance.create_run_for_job(job, tags={TASK_TAG: upload.id, RUN_KEY_TAG: upload.run_key})
    assert dagster.tick(audit_upload_sensor) == [], "its run is on its way"
    dagster.instance.report_run_canceled(run)
    dagster.tick(audit_upload_sensor)
    assert dagster.task(upload).status is TaskStatus.FAILED


def test_a_reaudit_waits_in_the_queue_while_its_batch_is_worked_on(dagster: Dagster, site: Site) -> None:
    batch = site.make(1)
    site.up_to(batch, "lid")
    task = queue(site, [FIRST], ["stt"])
    with site.tracker.stage(batch, "triaging", "batch-run"):
        assert dagster.tick(reaudit_sensor) == []
        result = dagster.run("reaudit", tags={TASK_TAG: task.id})
        assert not result.success
        assert dagster.task(task).status is TaskStatus.QUEUED, "launched all the same, it is put back"
    (request,) = dagster.tick(reaudit_sensor)
    assert request.run_key == f"task:{task.id}:2"
