"""The sensor that starts arriving batches: a thin shell around ``pipeline.arrivals``, which looks and decides."""

import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg

from cofi_dagster.orchestration.jobs import BATCH_TAG, batch_pipeline
from cofi_dagster.orchestration.partitions import BATCHES
from cofi_dagster.orchestration.resources import TrackingResource
from cofi_dagster.pipeline.arrivals import Listing, known_keys, list_batch_root, new_batches
from cofi_dagster.pipeline.batches import UPLOAD


@dg.sensor(
    job=batch_pipeline,
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Starts a batch when its directory below COFI_BATCH_ROOT is complete; each directory once, ever.",
)
def batch_directory_sensor(
    context: dg.SensorEvaluationContext, tracking: dg.ResourceParam[TrackingResource]
) -> Iterator[dg.SensorResult | dg.SkipReason]:
    """One run per complete directory. The run key keeps it at one even where the run failed before it left a trace."""
    settings = tracking.settings
    known = known_keys(tracking.engine)
    try:
        listing = list_batch_root(settings.batches, known)
    except OSError as error:
        yield dg.SkipReason(f"the batch root {settings.batches} cannot be read: {error.strerror}")
        return
    for key in sorted(known_keys(tracking.engine, UPLOAD)):
        if (settings.batches / key).is_dir():
            context.log.error("batch directory %s has the key of an upload: give it the next free number", key)
    for unreadable in listing.unreadable:
        context.log.error("batch directory cannot be read: %s", unreadable)
    keys = new_batches(listing, known, time.time(), settings.batch_quiet_seconds)
    if not keys:
        yield dg.SkipReason(_said(listing, settings.batches))
        return
    yield dg.SensorResult(
        run_requests=[dg.RunRequest(run_key=f"batch:{key}", partition_key=key, tags={BATCH_TAG: key}) for key in keys],
        dynamic_partitions_requests=[BATCHES.build_add_request(keys)],
    )


def _said(listing: Listing, root: Path) -> str:
    parts = [f"no new complete batch directory in {root}"]
    if listing.arrivals:
        parts.append(f"{len(listing.arrivals)} still arriving")
    if listing.unreadable:
        parts.append(f"{len(listing.unreadable)} unreadable ({'; '.join(listing.unreadable)})")
    if listing.other:
        parts.append(f"no batch keys: {', '.join(sorted(listing.other)[:10])}")
    return ", ".join(parts)
