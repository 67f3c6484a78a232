"""Batch directories as they arrive below the batch root: which there are, which are complete, which are known already.

Looking only; starting a batch of them is the sensor's, or a person's.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy as sa

from cofi_dagster.database.engine import reading
from cofi_dagster.database.tables import batch_status
from cofi_dagster.pipeline.batches import SUCCESS_MARK
from cofi_dagster.settings import parse_batch_key


@dataclass(frozen=True, slots=True)
class Arrival:
    """A directory below the batch root.

    Attributes:
        key: its name.
        has_mark: whether it holds ``_SUCCESS``.
        changed_at: when something in it last changed (Unix seconds); None while it is empty, for nothing has arrived.
    """

    key: str
    has_mark: bool
    changed_at: float | None


@dataclass(slots=True)
class Listing:
    """What the batch root holds, and what could not be read: an unreadable directory is not an empty one."""

    arrivals: list[Arrival] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    other: list[str] = field(default_factory=list)


def new_batches(listing: Listing, known: Collection[str], now: float, quiet_seconds: float) -> list[str]:
    """The keys of the directories that are complete and that no batch has come from yet, oldest key first."""

    def is_complete(arrival: Arrival) -> bool:
        is_quiet = arrival.changed_at is not None and now - arrival.changed_at >= quiet_seconds
        return arrival.has_mark or is_quiet

    found = [arrival.key for arrival in listing.arrivals if arrival.key not in known and is_complete(arrival)]
    return sorted(found, key=parse_batch_key)


def list_batch_root(root: Path, known: Collection[str]) -> Listing:
    """Look at the directories below the root; those that are known already are left out.

    Raises:
        OSError: the root itself cannot be read, or is not there: a share that is not mounted is not an empty one.
    """
    listing = Listing()
    with os.scandir(root) as entries:
        for entry in entries:
            if entry.name in known:
                continue
            try:
                if not entry.is_dir():
                    continue
                if _is_key(entry.name):
                    listing.arrivals.append(_look(Path(entry.path)))
                else:
                    listing.other.append(entry.name)
            except OSError as error:
                listing.unreadable.append(f"{entry.name}: {error.strerror}")
    return listing


def _is_key(name: str) -> bool:
    try:
        parse_batch_key(name)
    except ValueError:
        return False
    return True


def _look(directory: Path) -> Arrival:
    with os.scandir(directory) as entries:
        found = list(entries)
    if any(entry.name == SUCCESS_MARK for entry in found):
        return Arrival(directory.name, True, None)
    times = [entry.stat(follow_symlinks=False).st_mtime for entry in found]
    return Arrival(directory.name, False, max(*times, directory.stat().st_mtime) if times else None)


def known_keys(engine: sa.Engine, kind: str | None = None) -> set[str]:
    """The keys of all batches, or of those of a kind."""
    query = sa.select(batch_status.c.batchDate, batch_status.c.batchNumber)
    if kind is not None:
        query = query.where(batch_status.c.kind == kind)
    with reading(engine) as connection:
        return {f"{day.isoformat()}_{number}" for day, number in connection.execute(query)}
