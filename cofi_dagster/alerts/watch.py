"""The watch: looks at the batches, opens and resolves alerts in the database, and tells the sinks what is new to them.

What was told to whom is kept with each alert, so that a restart repeats nothing, and a sink that could not be reached
is told later.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from cofi_dagster.alerts.rules import Alert, Seen, alerts_of
from cofi_dagster.alerts.sinks import NotTold, Sink, Unreachable
from cofi_dagster.database import tables as t
from cofi_dagster.database.engine import reading, writing
from cofi_dagster.pipeline.remaining import expected, history
from cofi_dagster.pipeline.standing import Standing, standing
from cofi_dagster.pipeline.status import CANCELLED, COMPLETED
from cofi_dagster.settings import Settings
from cofi_dagster.stages import STAGES

_LAST_BATCHES = 200
_WATCHED = timedelta(days=7)
_AFTER_THE_END = timedelta(days=1)
_TELL_FOR = timedelta(days=1)
_LOG = logging.getLogger("cofi.alerts")


@dataclass(slots=True)
class Watched:
    """What a look found: all alerts that are open now, those of them that are new, and those that are over."""

    open: list[Alert] = field(default_factory=list)
    raised: list[Alert] = field(default_factory=list)
    resolved: list[str] = field(default_factory=list)
    not_told: list[str] = field(default_factory=list)


def watch(engine: sa.Engine, settings: Settings, sinks: Sequence[Sink]) -> Watched:
    """One look at everything, and all that follows from it."""
    found = Watched(open=look(engine, settings))
    _book(engine, found)
    _tell(engine, sinks, found)
    return found


def look(engine: sa.Engine, settings: Settings) -> list[Alert]:
    """What is wrong now, by the rules."""
    with reading(engine) as connection:
        return [alert for seen in _seen(connection) for alert in alerts_of(seen, settings)]


def _seen(connection: sa.Connection) -> list[Seen]:
    """The batches of the last days that are not over, or have been for less than a day."""
    batch = t.batch_status
    now = connection.execute(sa.select(sa.type_coerce(t.utcnow(), sa.DateTime()))).scalar_one()
    rows = connection.execute(sa.select(batch).order_by(batch.c.id.desc()).limit(_LAST_BATCHES)).mappings().all()
    seen = []
    for row in rows:
        ends = [row[stage.end_column] for stage in STAGES if row[stage.end_column] is not None]
        is_over = row["status"] in (COMPLETED, CANCELLED)
        touched = max([*ends, row["createdAt"] or now])
        if now - touched < (_AFTER_THE_END if is_over else _WATCHED):
            found = standing(connection, row["id"])
            seen.append(Seen(f"{row['batchDate'].isoformat()}_{row['batchNumber']}", found, _usual(connection, found)))
    return seen


def _usual(connection: sa.Connection, found: Standing) -> dict[str, Any]:
    past = history(connection, found)
    return {name: expected(found, state.stage, past) for name, state in found.stages.items()}


def _book(engine: sa.Engine, found: Watched) -> None:
    """Open what is new and resolve what is over; one open alert of a key, whoever looks at the same time."""
    alert = t.alert
    keys = {one.key: one for one in found.open}
    with reading(engine) as connection:
        open_now = {
            row.openKey: row for row in connection.execute(sa.select(alert).where(alert.c.openKey.is_not(None)))
        }
    for key, one in keys.items():
        if key in open_now:
            continue
        values = {"alertKey": key, "openKey": key, "kind": one.kind, "batchId": one.batch_id, "stage": one.stage}
        try:
            with writing(engine) as connection:
                connection.execute(alert.insert().values(**values, message=one.message, toldRaised=[], toldResolved=[]))
        except sa.exc.IntegrityError:
            continue  # another look opened it at the same moment
        found.raised.append(one)
    for key, row in open_now.items():
        if key not in keys:
            with writing(engine) as connection:
                over = alert.update().where(alert.c.id == row.id, alert.c.openKey == key)
                if connection.execute(over.values(openKey=None, resolvedAt=t.utcnow())).rowcount:
                    found.resolved.append(row.message)


def _tell(engine: sa.Engine, sinks: Sequence[Sink], found: Watched) -> None:
    """Tell every sink what it has not been told: that an alert is raised, and that it is over.

    One that cannot be reached is left until the next look: waiting for it once is enough.
    """
    alert = t.alert
    deaf: set[str] = set()
    now = sa.select(sa.type_coerce(t.utcnow(), sa.DateTime()))
    with reading(engine) as connection:
        since = connection.execute(now).scalar_one() - _TELL_FOR
        recent = sa.or_(alert.c.resolvedAt.is_(None), alert.c.resolvedAt > since)
        rows = connection.execute(sa.select(alert).where(recent).order_by(alert.c.id)).all()
    for row in rows:
        raised, resolved = list(row.toldRaised or []), list(row.toldResolved or [])
        if row.resolvedAt is None:
            raised += _told(sinks, {*raised, *deaf}, f"COFI: {row.message}", found, deaf)
        else:
            knowing = [sink for sink in sinks if sink.name in raised]
            resolved += _told(knowing, {*resolved, *deaf}, f"COFI: over: {row.message}", found, deaf)
        if raised != (row.toldRaised or []) or resolved != (row.toldResolved or []):
            with writing(engine) as connection:
                told = alert.update().where(alert.c.id == row.id)
                connection.execute(told.values(toldRaised=raised, toldResolved=resolved))


def _told(sinks: Sequence[Sink], passed_over: Collection[str], text: str, found: Watched, deaf: set[str]) -> list[str]:
    """The sinks that took it."""
    told = []
    for sink in sinks:
        if sink.name in passed_over:
            continue
        try:
            sink.tell(text)
        except NotTold as error:
            found.not_told.append(f"{sink.name}: {error}")
            _LOG.error("an alert could not be told: %s", error)
            if isinstance(error, Unreachable):
                deaf.add(sink.name)
            continue
        told.append(sink.name)
    return told
