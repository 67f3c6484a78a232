"""Running a batch in this process, as a Dagster run like any other: the UI shows, terminates and re-executes it."""

import os
import sys

import dagster as dg
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run
from dagster._core.remote_origin import (
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.storage.tags import PARTITION_NAME_TAG
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.utils import make_new_run_id

from cofi_dagster.definitions import build_defs
from cofi_dagster.orchestration.instance import runs_of
from cofi_dagster.orchestration.jobs import BATCH_PIPELINE, BATCH_TAG
from cofi_dagster.orchestration.launcher import process_tags
from cofi_dagster.orchestration.partitions import BATCHES
from cofi_dagster.orchestration.resources import TrackingResource
from cofi_dagster.pipeline.batches import Batch
from cofi_dagster.pipeline.progress import Observer
from cofi_dagster.pipeline.tracker import BatchBusy

LOCATION = "cofi"
MODULE = "cofi_dagster.definitions"
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def run_batch(
    instance: dg.DagsterInstance, tracking: TrackingResource, batch: Batch, observer: Observer, stage: str | None = None
) -> dg.DagsterRun:
    """Run the batch's pipeline to its end here, or one stage; what is done is not done again. Returns the finished run.

    Raises:
        BatchBusy: another run of the batch is queued or at work.
    """
    for other in runs_of(instance, batch.key):
        raise BatchBusy(f"batch {batch.key} ({batch.id}) already has run {other.run_id}, which is {other.status.value}")
    instance.add_dynamic_partitions(str(BATCHES.name), [batch.key])
    tracking.watch(observer)
    job = build_defs({"tracking": tracking}).resolve_job_def(BATCH_PIPELINE)
    chosen = frozenset({dg.AssetKey(stage)}) if stage else None
    if chosen:
        job = job.get_subset(asset_selection=chosen)
    run_id = make_new_run_id()
    run = instance.create_run_for_job(
        job,
        run_id=run_id,
        run_config=QUIET,
        asset_selection=chosen,
        tags={**job.run_tags, PARTITION_NAME_TAG: batch.key, BATCH_TAG: batch.key, **process_tags(run_id)},
        remote_job_origin=origin_of(BATCH_PIPELINE),
    )
    execute_run(InMemoryJob(job), run, instance)
    finished = instance.get_run_by_id(run.run_id)
    assert finished is not None
    return finished


def origin_of(job_name: str) -> RemoteJobOrigin:
    """Where a job is defined, as the web server's workspace knows it: what the UI needs to show and re-execute it."""
    target = LoadableTargetOrigin(executable_path=sys.executable, module_name=MODULE, working_directory=os.getcwd())
    location = ManagedGrpcPythonEnvCodeLocationOrigin(target, LOCATION)
    return RemoteJobOrigin(RemoteRepositoryOrigin(location, "__repository__"), job_name)
