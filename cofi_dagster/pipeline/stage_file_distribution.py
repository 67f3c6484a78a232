"""File distribution: every audio file of the directory gets its rows, and is uploaded to a machine, round robin."""

from __future__ import annotations

from functools import partial
from typing import Any

import orjson
import sqlalchemy as sa

from cofi_dagster.database import tables as t
from cofi_dagster.database.transactions import transact
from cofi_dagster.pipeline.batches import AUDIO_SUFFIXES, BatchError, Found
from cofi_dagster.pipeline.pending import pending_works
from cofi_dagster.pipeline.run import StageContext
from cofi_dagster.pipeline.work import FileStage, Outcome, Plan, PutFile, Request, State, Work

_ROWS = 2000


def make(context: StageContext) -> FileStage:
    """The stage for a batch."""
    return FileDistribution(context)


class FileDistribution:
    """Pending is what has no machine yet: ``fileDistribution.ip`` is NULL."""

    def __init__(self, context: StageContext) -> None:
        self.stage = context.stage
        self._context = context
        self._timeout = context.settings.request_timeout_seconds

    def plan(self, connection: sa.Connection) -> Plan:
        """Register what is new in the directory; the files that no machine has are pending.

        Raises:
            BatchError: the directory cannot be read, or holds no audio.
        """
        batch = self._context.batch
        found = {item.name: item for item in batch.files()}
        if not found:
            suffixes = ", ".join(sorted(AUDIO_SUFFIXES))
            raise BatchError(f"the batch directory {batch.directory} holds no audio files ({suffixes})")
        table = t.file_distribution
        known = set(connection.execute(sa.select(table.c.file).where(table.c.batchId == batch.id)).scalars())
        self._register([item for name, item in found.items() if name not in known], len(known | found.keys()))
        works = pending_works(connection, batch.id, table.c.ip.is_(None), detail=lambda row: None)
        plan = Plan([], done=len(known | found.keys()) - len(works))
        for work in works:
            fault = _fault(found.get(work.file))
            if fault is None:
                plan.works.append(work)
            else:
                plan.decided.append(Outcome(work, State.FAILED, error=fault))
        return plan

    def _register(self, new: list[Found], total: int) -> None:
        """Insert the rows of new files, and set the batch's number of files."""
        batch_id = self._context.batch.id
        for start in range(0, len(new), _ROWS):
            transact(self._context.engine, partial(_insert, batch_id=batch_id, group=new[start : start + _ROWS]))
        change = t.batch_status.update().where(t.batch_status.c.id == batch_id).values(totalFiles=total)
        transact(self._context.engine, lambda connection: connection.execute(change))

    async def request(self, work: Work) -> Request:
        """Upload the file itself."""
        return PutFile(self._context.batch.path_of(work.file), self._timeout)

    def outcome(self, work: Work, body: bytes) -> Outcome:
        """The machine has the file: that is its ``ip``, with the content's checksum as proof of what was sent."""
        uploaded = orjson.loads(body)
        return Outcome(
            work, State.DONE, file_row={"ip": work.home, "bytes": uploaded["bytes"], "sha256": uploaded["sha256"]}
        )


def _insert(connection: sa.Connection, batch_id: int, group: list[Found]) -> None:
    files: list[dict[str, Any]] = [{"batchId": batch_id, "file": f.name, "bytes": f.size} for f in group]
    connection.execute(t.file_distribution.insert(), files)
    connection.execute(t.call.insert(), [{"batchId": batch_id, "audioName": f.name} for f in group])


def _fault(found: Found | None) -> str | None:
    return "the file is no longer in the batch directory" if found is None else found.fault
