"""The sensors: pure functions that decide, in thin shells that read and launch."""

import os
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
import sqlalchemy as sa

from cofi_dagster.database.engine import reading
from cofi_dagster.database.tables import batch_status
from cofi_dagster.orchestration.jobs import BATCH_TAG, batch_pipeline
from cofi_dagster.orchestration.partitions import BATCHES
from cofi_dagster.orchestration.resources import TrackingResource
from cofi_dagster.pipeline.batches import SUCCESS_MARK
from cofi_dagster.settings import parse_batch_key


@dataclass(frozen=True, slots=True)
class Arrival:
    """A directory below the batch root: its name, whether it holds ``_SUCCESS``, and when it last changed (epoch)."""

    key: str
    has_mark: bool
    changed_at: float


@dataclass(slots=True)
class Listing:
    """What the batch root holds, and what could not be read: an unreadable directory is not an empty one."""

    arrivals: list[Arrival] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    other: list[str] = field(default_factory=list)


def new_batches(listing: Listing, known: Collection[str], now: float, quiet_seconds: float) -> list[str]:
    """The keys of the directories that are complete and that no batch has come from yet, oldest key first."""
    return sorted(
        arrival.key
        for arrival in listing.arrivals
        if arrival.key not in known and (arrival.has_mark or now - arrival.changed_at >= quiet_seconds)
    )


def list_batch_root(root: Path, known: Collection[str]) -> Listing:
    """Look at the directories below the root; those that are known already are left out.

    Raises:
        OSError: the root itself cannot be read.
    """
    listing = Listing()
    if not root.exists():
        return listing
    with os.scandir(root) as entries:
        for entry in entries:
            if not entry.is_dir():
                continue
            try:
                parse_batch_key(entry.name)
            except ValueError:
                listing.other.append(entry.name)
                continue
            if entry.name in known:
                continue
            try:
                listing.arrivals.append(_look(Path(entry.path)))
            except OSError as error:
                listing.unreadable.append(f"{entry.name}: {error.strerror}")
    return listing


def _look(directory: Path) -> Arrival:
    changed_at = directory.stat().st_mtime
    has_mark = False
    with os.scandir(directory) as entries:
        for entry in entries:
            has_mark = has_mark or entry.name == SUCCESS_MARK
            changed_at = max(changed_at, entry.stat(follow_symlinks=False).st_mtime)
    return Arrival(directory.name, has_mark, changed_at)


def known_keys(engine: sa.Engine) -> set[str]:
    """The keys of all batches."""
    query = sa.select(batch_status.c.batchDate, batch_status.c.batchNumber)
    with reading(engine) as connection:
        return {f"{day.isoformat()}_{number}" for day, number in connection.execute(query)}


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
