"""Running an ad-hoc task in this process, as a Dagster run like any other."""

from types import TracebackType
from typing import Self

import dagster as dg
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run
from dagster._core.utils import make_new_run_id

from cofi_dagster.adhoc.tasks import TaskKind
from cofi_dagster.definitions import build_defs
from cofi_dagster.orchestration.adhoc_jobs import TASK_TAG, audit_upload, reaudit_job
from cofi_dagster.orchestration.foreground import QUIET, origin_of
from cofi_dagster.orchestration.launcher import process_tags
from cofi_dagster.orchestration.resources import TrackingResource

_JOBS = {TaskKind.UPLOAD: audit_upload.name, TaskKind.REAUDIT: reaudit_job.name}


class ForegroundRun:
    """A Dagster run of this process, for a task that is queued as its own, so that no sensor takes it.

    A context manager: a run that was never executed leaves nothing behind.
    """

    def __init__(self, instance: dg.DagsterInstance, tracking: TrackingResource, kind: TaskKind) -> None:
        self.run_id = make_new_run_id()
        self._instance = instance
        self._job = build_defs({"tracking": tracking}).resolve_job_def(_JOBS[kind])
        self._executed = False

    def __enter__(self) -> Self:
        self._run = self._instance.create_run_for_job(
            self._job,
            run_id=self.run_id,
            run_config=QUIET,
            tags={**self._job.run_tags, **self._job.tags, **process_tags(self.run_id)},
            remote_job_origin=origin_of(self._job.name),
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._executed:
            self._instance.delete_run(self.run_id)

    def execute(self, task_id: str) -> None:
        """Run the task to its end; how it ended is in its row."""
        self._executed = True
        self._instance.add_run_tags(self.run_id, {TASK_TAG: task_id})
        execute_run(InMemoryJob(self._job), self._run, self._instance)
