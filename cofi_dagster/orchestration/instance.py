"""COFI's Dagster instance: its home, its files, and the runs that a dead process left behind."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

import dagster as dg
from dagster._core.storage.dagster_run import IN_PROGRESS_RUN_STATUSES, DagsterRunStatus
from dagster._core.storage.tags import PARTITION_NAME_TAG

from cofi_dagster.orchestration.jobs import BATCH_PIPELINE
from cofi_dagster.orchestration.launcher import is_dead
from cofi_dagster.settings import Settings

_FILES = ("dagster.yaml", "workspace.yaml")


def prepare_home(settings: Settings) -> Path:
    """Make Dagster's home below ``COFI_HOME``, with this version's ``dagster.yaml``, and name it to this process.

    The default batch root is made too; a configured one is a share of someone else's, to be there or not.
    """
    home = settings.dagster_home
    home.mkdir(parents=True, exist_ok=True)
    if settings.batch_root is None:
        settings.batches.mkdir(exist_ok=True)
    packaged = resources.files("cofi_dagster.orchestration") / "instance_files"
    for name in _FILES:
        fresh = home / f".{name}.{os.getpid()}"
        with resources.as_file(packaged / name) as source:
            shutil.copyfile(source, fresh)
        fresh.replace(home / name)
    os.environ["DAGSTER_HOME"] = str(home)
    return home


def make_storage(settings: Settings) -> Path:
    """Make Dagster's home and its storage, before several processes open it at once; the home.

    Two that make its SQLite files at the same moment leave one with two heads, and Dagster refuses it from then on.
    """
    home = prepare_home(settings)
    with dg.DagsterInstance.get() as instance:
        for storage in (instance.run_storage, instance.event_log_storage, instance.schedule_storage):
            assert storage is not None
    return home


@contextmanager
def open_instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """The instance of ``COFI_HOME``."""
    prepare_home(settings)
    with dg.DagsterInstance.get() as instance:
        yield instance


def runs_of(instance: dg.DagsterInstance, batch_key: str) -> list[dg.DagsterRun]:
    """The batch's runs that are queued or in progress; those whose process died are reported as failed on the way."""
    wanted = dg.RunsFilter(
        job_name=BATCH_PIPELINE,
        tags={PARTITION_NAME_TAG: batch_key},
        statuses=[DagsterRunStatus.QUEUED, *IN_PROGRESS_RUN_STATUSES],
    )
    living = []
    for run in instance.get_runs(filters=wanted):
        if is_dead(run):
            bury(instance, run)
        else:
            living.append(run)
    return living


def bury(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    """Report a run whose process died as failed, so that the run retries go on with it, and free its place in pools."""
    if not run.is_finished:
        instance.report_run_failed(run, "The run's process died.")
    instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
