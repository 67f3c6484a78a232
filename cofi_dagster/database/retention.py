"""What is kept how long: removing transcripts, payloads and audio of old batches, and the legal holds that forbid it.

What an audit found stays: batches, calls, trades, mappings, answers with the words that they quote, and who failed why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from cofi_dagster.database import tables as t
from cofi_dagster.database.engine import writing
from cofi_dagster.database.faults import patiently
from cofi_dagster.database.transactions import inquire, transact

PURGED = "purged"
_ENDED = ("Completed", "Failed", "Cancelled")
_CALLS = 100
"""Calls whose rows go in one transaction: a few thousand rows, so that nobody waits long for their locks."""

_SAID = (t.transcript, t.transcript_history)
_PAYLOADS = ("input_payload", "output_payload")

PathsOf = Callable[[int], Callable[[str], Path]]
"""Where a batch's files are: by its id, a function from a file's name to its path."""


class HoldError(RuntimeError):
    """A hold that cannot be set or released; the message says why."""


@dataclass(frozen=True, slots=True)
class Hold:
    """A legal hold that stands. ``audio_name`` None: the whole batch."""

    batch_id: int
    audio_name: str | None
    reason: str
    held_by: str
    held_at: Any


@dataclass(slots=True)
class Removal:
    """What a purge removed from a batch, or would remove; ``kept`` why it left the batch, or calls of it, alone."""

    batch_id: int
    batch: str
    segments: int = 0
    payloads: int = 0
    files: int = 0
    bytes: int = 0
    held_calls: int = 0
    kept: str | None = None
    faults: list[str] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether there was nothing to remove."""
        return not (self.segments or self.payloads or self.files)


# -- holds -------------------------------------------------------------------------------------------------------


def hold(engine: sa.Engine, batch_id: int, audio_name: str | None, *, reason: str, by: str) -> None:
    """Put a batch, or one call of it, on legal hold: no purge touches it until the hold is released.

    Raises:
        HoldError: there is no such batch or call, it is on hold already, or the reason is empty.
    """
    if not reason.strip():
        raise HoldError("a legal hold needs a reason")

    def set_hold(connection: sa.Connection) -> None:
        _lock(connection, batch_id)
        if audio_name is not None and not _has_call(connection, batch_id, audio_name):
            raise HoldError(f"batch {batch_id} has no call {audio_name}")
        if any(found.audio_name == audio_name for found in _standing(connection, batch_id)):
            raise HoldError(f"{_named(batch_id, audio_name)} is on hold already")
        values = {"batchId": batch_id, "audioName": audio_name, "reason": reason, "heldBy": by}
        connection.execute(t.legal_hold.insert().values(values))
        _log(connection, batch_id, "legal_hold", {"audioName": audio_name, "reason": reason, "by": by})

    transact(engine, set_hold)


def release(engine: sa.Engine, batch_id: int, audio_name: str | None, *, reason: str, by: str) -> None:
    """Release a hold; that it stood, and who released it why, stays on record.

    Raises:
        HoldError: there is none, or the reason is empty.
    """
    if not reason.strip():
        raise HoldError("the release of a legal hold needs a reason")
    table = t.legal_hold
    its_name = table.c.audioName.is_(None) if audio_name is None else table.c.audioName == audio_name
    standing = sa.and_(table.c.batchId == batch_id, its_name, table.c.releasedAt.is_(None))
    values = {"releasedAt": t.utcnow(), "releasedBy": by, "releaseReason": reason}

    def end_hold(connection: sa.Connection) -> None:
        _lock(connection, batch_id)
        if not connection.execute(table.update().where(standing).values(values)).rowcount:
            raise HoldError(f"{_named(batch_id, audio_name)} is not on hold")
        _log(connection, batch_id, "legal_hold_released", {"audioName": audio_name, "reason": reason, "by": by})

    transact(engine, end_hold)


def holds(engine: sa.Engine, batch_id: int | None = None) -> list[Hold]:
    """The holds that stand, oldest first: of a batch, or all."""
    return inquire(engine, lambda connection: _standing(connection, batch_id))


def _standing(connection: sa.Connection, batch_id: int | None) -> list[Hold]:
    table = t.legal_hold
    query = sa.select(table).where(table.c.releasedAt.is_(None)).order_by(table.c.id)
    rows = connection.execute(query if batch_id is None else query.where(table.c.batchId == batch_id))
    return [Hold(row.batchId, row.audioName, row.reason, row.heldBy, row.heldAt) for row in rows]


def _named(batch_id: int, audio_name: str | None) -> str:
    return f"batch {batch_id}" if audio_name is None else f"{audio_name} of batch {batch_id}"


def _lock(connection: sa.Connection, batch_id: int) -> None:
    """Lock the batch's row: a hold and a purge of the same batch wait for each other.

    Raises:
        HoldError: there is no such batch.
    """
    query = sa.select(t.batch_status.c.id).where(t.batch_status.c.id == batch_id).with_for_update()
    if connection.execute(query).one_or_none() is None:
        raise HoldError(f"there is no batch {batch_id}")


def _has_call(connection: sa.Connection, batch_id: int, audio_name: str) -> bool:
    query = sa.select(t.call.c.id).where(t.call.c.batchId == batch_id, t.call.c.audioName == audio_name)
    return connection.execute(query).first() is not None


def _log(
    connection: sa.Connection, batch_id: int, kind: str, said: Mapping[str, Any], status: str | None = None
) -> None:
    values = {"batchId": batch_id, "eventType": kind, "status": status, "metadata": dict(said)}
    connection.execute(t.batch_execution_log.insert().values(values))


# -- purge -------------------------------------------------------------------------------------------------------


def purge(engine: sa.Engine, before: date, paths_of: PathsOf, *, by: str, dry_run: bool = False) -> Iterator[Removal]:
    """Remove transcripts, payloads and audio of batches from before a day, batch by batch, and log what was removed.

    Only batches that are at their end are touched, and nothing on legal hold. It may be interrupted and repeated.

    Raises:
        DatabaseError: the database failed; what was removed before stays removed.
    """
    for batch_id, key, status in _old(engine, before):
        removal = Removal(batch_id, key)
        whole = [found for found in holds(engine, batch_id) if found.audio_name is None]
        if whole:
            removal.kept = f"on legal hold by {whole[0].held_by}: {whole[0].reason}"
        elif status not in _ENDED:
            removal.kept = f"it is not at its end ({status})"
        else:
            _purge_batch(engine, removal, paths_of(batch_id), dry_run=dry_run)
            if not dry_run and removal.kept is None:
                _record(engine, removal, before, by)
        yield removal


def _old(engine: sa.Engine, before: date) -> list[tuple[int, str, str]]:
    """The batches from before a day that no purge went through wholly, oldest first: id, key, status."""
    batch, log = t.batch_status, t.batch_execution_log
    wholly = sa.exists().where(log.c.batchId == batch.c.id, log.c.eventType == PURGED, log.c.status == "Complete")
    query = sa.select(batch.c.id, batch.c.batchDate, batch.c.batchNumber, batch.c.status)
    query = query.where(batch.c.batchDate < before, ~wholly).order_by(batch.c.batchDate, batch.c.id)
    rows = inquire(engine, lambda connection: connection.execute(query).all())
    return [(row.id, f"{row.batchDate}_{row.batchNumber}", row.status) for row in rows]


def _purge_batch(engine: sa.Engine, removal: Removal, path_of: Callable[[str], Path], *, dry_run: bool) -> None:
    query = sa.select(t.call.c.id, t.call.c.audioName).where(t.call.c.batchId == removal.batch_id)
    rows = inquire(engine, lambda connection: connection.execute(query.order_by(t.call.c.id)).all())
    calls = [(row.id, row.audioName) for row in rows]
    for start in range(0, len(calls), _CALLS):
        group = calls[start : start + _CALLS]
        purge_group = partial(_purge_calls, engine, removal.batch_id, group, path_of, dry_run=dry_run)
        part = patiently(purge_group, engine.url)
        removal.segments += part.segments
        removal.payloads += part.payloads
        removal.files += part.files
        removal.bytes += part.bytes
        removal.held_calls += part.held_calls
        removal.faults += part.faults
        if part.kept is not None:
            removal.kept = part.kept
            return


def _purge_calls(
    engine: sa.Engine,
    batch_id: int,
    calls: Sequence[tuple[int, str]],
    path_of: Callable[[str], Path],
    *,
    dry_run: bool,
) -> Removal:
    """One transaction: the rows of some calls, and their audio while the batch's row is locked against new holds."""
    part = Removal(batch_id, "")
    with writing(engine) as connection:
        _lock(connection, batch_id)
        held = {found.audio_name for found in _standing(connection, batch_id)}
        if None in held:
            part.kept = "put on legal hold meanwhile"
            return part
        free = [(call_id, name) for call_id, name in calls if name not in held]
        part.held_calls = len(calls) - len(free)
        ids = [call_id for call_id, _ in free]
        part.segments = sum(_delete(connection, table, table.c.callId.in_(ids), dry_run=dry_run) for table in _SAID)
        part.payloads = _empty(connection, t.processing_logs.c.call_id.in_(ids), dry_run=dry_run)
        for path in _audio(free, path_of):
            _remove(path, part, dry_run=dry_run)
    return part


def _delete(connection: sa.Connection, table: sa.Table, chosen: sa.ColumnElement[bool], *, dry_run: bool) -> int:
    if dry_run:
        return int(connection.execute(sa.select(sa.func.count()).select_from(table).where(chosen)).scalar_one())
    return connection.execute(table.delete().where(chosen)).rowcount


def _empty(connection: sa.Connection, chosen: sa.ColumnElement[bool], *, dry_run: bool) -> int:
    """Empty the payloads of log rows; the rows stay."""
    log = t.processing_logs
    filled = sa.and_(chosen, sa.or_(*(log.c[name].is_not(None) for name in _PAYLOADS)))
    if dry_run:
        return int(connection.execute(sa.select(sa.func.count()).select_from(log).where(filled)).scalar_one())
    return connection.execute(log.update().where(filled).values(dict.fromkeys(_PAYLOADS))).rowcount


def _audio(calls: Iterable[tuple[int, str]], path_of: Callable[[str], Path]) -> Iterator[Path]:
    """The files of calls that are there; a name that leads elsewhere, or a link, is none."""
    for _, name in calls:
        path = path_of(name)
        if Path(name).name == name and path.is_file() and not path.is_symlink():
            yield path


def _remove(path: Path, part: Removal, *, dry_run: bool) -> None:
    size = path.stat().st_size
    if not dry_run:
        try:
            path.unlink()
        except OSError as error:
            part.faults.append(f"{path}: {error.strerror}")
            return
    part.files += 1
    part.bytes += size


def _record(engine: sa.Engine, removal: Removal, before: date, by: str) -> None:
    """Log what was removed; a batch of which nothing was kept is not looked at again."""
    is_whole = not removal.held_calls and not removal.faults
    if removal.is_empty and not is_whole:
        return
    said = {
        "before": before.isoformat(),
        "by": by,
        "transcriptSegments": removal.segments,
        "payloads": removal.payloads,
        "audioFiles": removal.files,
        "audioBytes": removal.bytes,
        "heldCalls": removal.held_calls,
    }
    status = "Complete" if is_whole else "Partial"
    transact(engine, lambda connection: _log(connection, removal.batch_id, PURGED, said, status))
