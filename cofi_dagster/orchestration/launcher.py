"""Launching runs, and knowing whether a run's process lives: Dagster's own launcher with eyes.

Every run carries its process in its tags, wherever it was started. So the daemon's run monitoring fails a run whose
process died (and the run retries go on with it), and a run in a terminal can be terminated from the UI.
"""

import os
import signal
import socket

import dagster as dg
import psutil
from dagster._core.launcher.base import CheckRunHealthResult, WorkerStatus
from dagster._core.launcher.default_run_launcher import DefaultRunLauncher
from dagster._core.storage.tags import GRPC_INFO_TAG

HOST_TAG = "cofi/host"
PID_TAG = "cofi/pid"
STARTED_TAG = "cofi/process_started"
RUN_TAG = "cofi/process_run"
"""Whose process the tags name: a run that is launched again inherits the tags of the one before."""


def process_tags(run_id: str) -> dict[str, str]:
    """The tags that say that this process does the run."""
    started = psutil.Process().create_time()
    return {
        HOST_TAG: socket.gethostname(),
        PID_TAG: str(os.getpid()),
        STARTED_TAG: f"{started:.2f}",
        RUN_TAG: run_id,
    }


def is_here(run: dg.DagsterRun) -> bool:
    """Whether the run's own process is, or was, on this host."""
    return run.tags.get(RUN_TAG) == run.run_id and run.tags.get(HOST_TAG) == socket.gethostname()


def is_dead(run: dg.DagsterRun) -> bool:
    """Whether the run's process was on this host and is no more; False where that cannot be known."""
    if not is_here(run):
        return False
    tags = run.tags
    try:
        process = psutil.Process(int(tags[PID_TAG]))
        same = abs(process.create_time() - float(tags[STARTED_TAG])) < 1.0
        return not same or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


class CofiRunLauncher(DefaultRunLauncher):
    """The launcher of ``dagster.yaml``."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Yes: by the process in the run's tags."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Failed once the run's process is no more."""
        if is_dead(run):
            return CheckRunHealthResult(WorkerStatus.FAILED, msg=f"process {run.tags[PID_TAG]} of the run died")
        return CheckRunHealthResult(WorkerStatus.RUNNING)

    def terminate(self, run_id: str) -> bool:
        """Terminate a run: one in a terminal on this host by a signal, any other as Dagster does."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        if GRPC_INFO_TAG in run.tags or not is_here(run) or is_dead(run):
            return bool(super().terminate(run_id))  # type: ignore[no-untyped-call]
        self._instance.report_run_canceling(run)
        os.kill(int(run.tags[PID_TAG]), signal.SIGTERM)
        return True
