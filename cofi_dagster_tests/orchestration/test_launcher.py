"""Whether a run's process lives, and who is told to end it: real processes, real runs of a real instance."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator

import dagster as dg
import psutil
import pytest
from dagster._core.launcher.base import WorkerStatus

from cofi_dagster.orchestration.instance import runs_of
from cofi_dagster.orchestration.launcher import CofiRunLauncher, is_dead, process_tags
from cofi_dagster.settings import Settings

RUN = "3f0a6c52-1111-4222-8333-944445555666"
KEY = "2026-01-15_1"


def run_with(tags: dict[str, str], run_id: str = RUN) -> dg.DagsterRun:
    """A run with these tags."""
    return dg.DagsterRun("batch_pipeline", run_id=run_id, tags=tags)


def tags_of(process: subprocess.Popen[bytes], run_id: str = RUN) -> dict[str, str]:
    """The tags that a run in that process has."""
    started = f"{psutil.Process(process.pid).create_time():.2f}"
    return {**process_tags(run_id), "cofi/pid": str(process.pid), "cofi/process_started": started}


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that does nothing until it is told to end."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        yield process
        process.kill()


def test_a_run_whose_process_lives_is_not_dead() -> None:
    assert not is_dead(run_with(process_tags(RUN)))


def test_a_run_whose_process_was_killed_is_dead_before_and_after_its_parent_noticed(
    sleeper: subprocess.Popen[bytes],
) -> None:
    run = run_with(tags_of(sleeper))
    assert not is_dead(run)
    sleeper.kill()
    while psutil.Process(sleeper.pid).status() != psutil.STATUS_ZOMBIE:
        pass
    assert is_dead(run)
    sleeper.wait()
    assert is_dead(run)


def test_another_process_with_the_same_number_is_not_the_runs() -> None:
    assert is_dead(run_with({**process_tags(RUN), "cofi/process_started": "1000000.00"}))


NOT_KNOWN = [
    ("of another host", {"cofi/host": "gpu-host-7", "cofi/pid": "1"}),
    ("without tags", None),
    ("with the tags of the run before it", {"cofi/process_run": "another", "cofi/pid": "999999999"}),
]


@pytest.mark.parametrize("tags", [row[1] for row in NOT_KNOWN], ids=[row[0] for row in NOT_KNOWN])
def test_what_cannot_be_known_is_not_called_dead(tags: dict[str, str] | None) -> None:
    assert not is_dead(run_with({} if tags is None else {**process_tags(RUN), **tags}))


# -- on an instance ------------------------------------------------------------------------------------------------


@pytest.fixture
def instance(
    settings: Callable[..., Settings], instance_of: Callable[[Settings], dg.DagsterInstance]
) -> dg.DagsterInstance:
    return instance_of(settings())


def test_the_instance_has_cofis_launcher_and_watches_processes(
    instance: dg.DagsterInstance, sleeper: subprocess.Popen[bytes]
) -> None:
    launcher = instance.run_launcher
    assert isinstance(launcher, CofiRunLauncher)
    assert launcher.supports_check_run_worker_health
    assert instance.run_monitoring_enabled
    run = run_with(tags_of(sleeper))
    assert launcher.check_run_worker_health(run).status is WorkerStatus.RUNNING
    sleeper.kill()
    sleeper.wait()
    health = launcher.check_run_worker_health(run)
    assert (health.status, health.msg) == (WorkerStatus.FAILED, f"process {sleeper.pid} of the run died")


def test_a_run_in_a_terminal_is_terminated_by_a_signal(
    instance: dg.DagsterInstance, sleeper: subprocess.Popen[bytes]
) -> None:
    instance.add_run(
        dg.DagsterRun("batch_pipeline", run_id=RUN, tags=tags_of(sleeper), status=dg.DagsterRunStatus.STARTED)
    )
    assert instance.run_launcher.terminate(RUN)
    assert sleeper.wait(10) == -15
    run = instance.get_run_by_id(RUN)
    assert run is not None
    assert run.status is dg.DagsterRunStatus.CANCELING


def test_a_finished_run_is_not_terminated_and_its_process_is_left_alone(
    instance: dg.DagsterInstance, sleeper: subprocess.Popen[bytes]
) -> None:
    instance.add_run(
        dg.DagsterRun("batch_pipeline", run_id=RUN, tags=tags_of(sleeper), status=dg.DagsterRunStatus.SUCCESS)
    )
    assert not instance.run_launcher.terminate(RUN)
    assert not instance.run_launcher.terminate("no such run")
    assert sleeper.poll() is None


@pytest.mark.parametrize("lives", [True, False])
def test_a_batchs_dead_runs_are_closed_and_living_ones_stand_in_the_way(
    instance: dg.DagsterInstance, sleeper: subprocess.Popen[bytes], lives: bool
) -> None:
    tags = {**tags_of(sleeper), "dagster/partition": KEY}
    instance.add_run(dg.DagsterRun("batch_pipeline", run_id=RUN, tags=tags, status=dg.DagsterRunStatus.STARTED))
    if not lives:
        sleeper.kill()
        sleeper.wait()
    assert [run.run_id for run in runs_of(instance, KEY)] == ([RUN] if lives else [])
    assert runs_of(instance, "2026-01-15_2") == []
    run = instance.get_run_by_id(RUN)
    assert run is not None
    assert run.status is (dg.DagsterRunStatus.STARTED if lives else dg.DagsterRunStatus.FAILURE)


def test_process_tags_name_this_process() -> None:
    tags = process_tags(RUN)
    assert (tags["cofi/host"], tags["cofi/pid"]) == (socket.gethostname(), str(os.getpid()))
