"""What a person wants of a batch and a run has not heeded yet: a row of ``batchControl``. Reads and writes only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import sqlalchemy as sa

from cofi_dagster.database import tables as t

ALL = "all"
_CONTROL = t.batch_control


class Wish(StrEnum):
    """What the run that is at work on a batch is asked for."""

    PAUSE = "pause"
    CANCEL = "cancel"


@dataclass(frozen=True, slots=True)
class Launch:
    """A run that the daemon is asked to start: of the whole batch, or of one stage. ``number`` tells launches apart."""

    batch_id: int
    key: str
    stage: str | None
    number: int


def wish_of(connection: sa.Connection, batch_id: int) -> Wish | None:
    """What the batch's run is asked for."""
    query = sa.select(_CONTROL.c.request).where(_CONTROL.c.batchId == batch_id)
    word = connection.execute(query).scalar_one_or_none()
    return Wish(word) if word else None


def ask(connection: sa.Connection, batch_id: int, wish: Wish | None, by: str | None = None) -> None:
    """Set what the batch's run is asked for; None: nothing. A launch that has not happened is called off."""
    _put(connection, batch_id, {"request": wish, "launch": None, "requestedBy": by, "requestedAt": t.utcnow()})


def clear(connection: sa.Connection, batch_id: int) -> None:
    """What the batch's run was asked for has been heeded, or no longer matters."""
    connection.execute(_CONTROL.update().where(_CONTROL.c.batchId == batch_id).values(request=None))


def ask_launch(connection: sa.Connection, batch_id: int, stage: str | None, by: str | None = None) -> None:
    """Ask the daemon for a run of the batch, or of one stage of it."""
    row: dict[str, object] = {"request": None, "launch": stage or ALL, "requestedBy": by, "requestedAt": t.utcnow()}
    _put(connection, batch_id, row)
    mine = _CONTROL.update().where(_CONTROL.c.batchId == batch_id)
    connection.execute(mine.values(launches=_CONTROL.c.launches + 1))


def is_launch_asked(connection: sa.Connection, batch_id: int) -> bool:
    """Whether the daemon is asked for a run of the batch that it has not started yet."""
    query = sa.select(_CONTROL.c.launch).where(_CONTROL.c.batchId == batch_id)
    return connection.execute(query).scalar_one_or_none() is not None


def launches(connection: sa.Connection) -> list[Launch]:
    """The runs that the daemon is asked for, the oldest request first."""
    batch = t.batch_status
    query = (
        sa.select(_CONTROL.c.batchId, _CONTROL.c.launch, _CONTROL.c.launches, batch.c.batchDate, batch.c.batchNumber)
        .join(batch, batch.c.id == _CONTROL.c.batchId)
        .where(_CONTROL.c.launch.is_not(None))
        .order_by(_CONTROL.c.requestedAt)
    )
    return [
        Launch(
            row.batchId,
            f"{row.batchDate.isoformat()}_{row.batchNumber}",
            None if row.launch == ALL else row.launch,
            row.launches,
        )
        for row in connection.execute(query)
    ]


def launched(connection: sa.Connection, launch: Launch) -> None:
    """The run has been started: do not ask for it again."""
    mine = (_CONTROL.c.batchId == launch.batch_id) & (_CONTROL.c.launches == launch.number)
    connection.execute(_CONTROL.update().where(mine).values(launch=None))


def _put(connection: sa.Connection, batch_id: int, values: dict[str, object]) -> None:
    changed = connection.execute(_CONTROL.update().where(_CONTROL.c.batchId == batch_id).values(values))
    if not changed.rowcount:
        connection.execute(_CONTROL.insert().values(batchId=batch_id, **values))
