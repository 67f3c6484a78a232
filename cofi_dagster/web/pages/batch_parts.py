"""What the page of a batch shows beside how it stands: failures, machines, rates, calls, events. Reads only."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Any

import sqlalchemy as sa

from cofi_dagster.database import tables as t
from cofi_dagster.pipeline.pending import JOINED
from cofi_dagster.pipeline.standing import Standing
from cofi_dagster.stages import BY_NAME, STAGES

_MOST_FAILURES = 30_000
_EVENTS = 15
_POINTS = 120
_NUMBER = re.compile(r"(?<!HTTP )(?<![\w.])\d+(?:\.\d+)?")
_RATE_EVENTS = ("stage_start", "stage_progress", "stage_complete")
_LOG = t.processing_logs.c
_EVENT = t.batch_execution_log.c


@dataclass(frozen=True, slots=True)
class FailedFile:
    """A file that failed in a stage and has not come through it since."""

    call_id: int
    file: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """The files that failed in a stage for one reason; reasons that differ in a number alone are one."""

    stage: str
    reason: str
    files: Sequence[FailedFile]

    @property
    def mark(self) -> str:
        """What an address names the group by."""
        return blake2b(f"{self.stage} {_alike(self.reason)}".encode(), digest_size=6).hexdigest()


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine's part in a batch: files placed on it, requests in flight, and why it is set aside."""

    name: str
    files: int
    in_flight: int | None
    aside: str | None


@dataclass(frozen=True, slots=True)
class Event:
    """A line of the batch's log."""

    at: datetime
    stage: str | None
    kind: str
    status: str | None
    detail: Mapping[str, Any]


def failures(connection: sa.Connection, batch_id: int) -> list[FailureGroup]:
    """The batch's failures that stand, by stage and reason, the commonest first."""
    files = t.file_distribution.c
    flags = [stage.done_flag for stage in STAGES if stage.done_flag]
    query = (
        sa.select(_LOG.call_id, _LOG.stage_name, _LOG.error_message, _LOG.created_at, t.call.c.audioName)
        .add_columns(*(files[flag] for flag in flags))
        .select_from(t.processing_logs.join(JOINED, t.call.c.id == _LOG.call_id))
        .where(_LOG.batch_id == batch_id, _LOG.status == "failed")
        .order_by(_LOG.id.desc())
        .limit(_MOST_FAILURES)
    )
    newest: dict[tuple[str, int], tuple[str, FailedFile]] = {}
    for row in connection.execute(query).mappings():
        stage = BY_NAME.get(row["stage_name"])
        if stage is None or not stage.done_flag or row[stage.done_flag]:
            continue
        reason = str(row["error_message"] or "no reason is known").removeprefix(f"{row['audioName']}: ")
        failed = FailedFile(row["call_id"], row["audioName"], reason, row["created_at"])
        newest.setdefault((stage.name, row["call_id"]), (stage.name, failed))
    groups: dict[tuple[str, str], list[FailedFile]] = defaultdict(list)
    for stage_name, failed in newest.values():
        groups[stage_name, _alike(failed.reason)].append(failed)
    found = [
        FailureGroup(stage, its[0].reason, sorted(its, key=lambda one: one.file)) for (stage, _), its in groups.items()
    ]
    return sorted(found, key=lambda group: -len(group.files))


def _alike(reason: str) -> str:
    """A reason without its numbers (but with an HTTP status, which tells reasons apart)."""
    return _NUMBER.sub("…", reason)


def machines(connection: sa.Connection, found: Standing) -> list[Machine]:
    """The machines that have files of the batch, or that its stage at work knows."""
    files = t.file_distribution.c
    placed = sa.select(files.ip, sa.func.count().label("files")).where(files.batchId == found.batch_id)
    counts = {row.ip: row.files for row in connection.execute(placed.group_by(files.ip)) if row.ip}
    pace = next((state.pace for state in found.stages.values() if state.pace), None) or {}
    flying, aside = pace.get("inFlight", {}), pace.get("aside", {})
    names = sorted({*counts, *flying, *aside})
    return [
        Machine(name, counts.get(name, 0), flying.get(name, 0) if pace else None, aside.get(name)) for name in names
    ]


def calls(connection: sa.Connection, batch_id: int) -> list[tuple[str, int]]:
    """How many calls are in which state, the commonest first: they add up to the files that are registered."""
    call = t.call.c
    query = sa.select(call.status, sa.func.count().label("calls")).where(call.batchId == batch_id).group_by(call.status)
    return sorted(((row.status, row.calls) for row in connection.execute(query)), key=lambda one: -one[1])


def rates(connection: sa.Connection, batch_id: int) -> dict[str, list[tuple[datetime, float]]]:
    """Files per second over time of each stage, from the progress that its runs noted: at most so many points each."""
    query = sa.select(_EVENT.stage, _EVENT.eventType, _EVENT.processedFiles, _EVENT.createdAt).where(
        _EVENT.batchId == batch_id, _EVENT.stage.in_(BY_NAME), _EVENT.eventType.in_(_RATE_EVENTS)
    )
    noted: dict[str, list[tuple[datetime, int]]] = defaultdict(list)
    for row in connection.execute(query.order_by(_EVENT.id)):
        is_start = row.eventType == "stage_start"
        noted[row.stage].append((row.createdAt, -1 if is_start else row.processedFiles or 0))
    return {stage: points for stage, its in noted.items() if (points := _points(its))}


def _points(noted: Sequence[tuple[datetime, int]]) -> list[tuple[datetime, float]]:
    """Rates between notes; a start (-1) begins a new stretch, where no files are counted."""
    every = max(1, len(noted) // _POINTS)
    points: list[tuple[datetime, float]] = []
    last: tuple[datetime, int] | None = None
    for place, (at, done) in enumerate(noted):
        if done < 0:
            last = (at, 0)
            continue
        if last is None or (place % every and place + 1 < len(noted)):
            continue
        seconds = (at - last[0]).total_seconds()
        if seconds > 0 and done > last[1]:
            points.append((at, (done - last[1]) / seconds))
        last = (at, done)
    return points


def events(connection: sa.Connection, batch_id: int) -> list[Event]:
    """The newest lines of the batch's log, without progress and without those of single files."""
    query = (
        sa.select(_EVENT.createdAt, _EVENT.stage, _EVENT.eventType, _EVENT.status, _EVENT.metadata)
        .where(_EVENT.batchId == batch_id, _EVENT.fileName.is_(None), _EVENT.eventType != "stage_progress")
        .order_by(_EVENT.id.desc())
        .limit(_EVENTS)
    )
    return [
        Event(row.createdAt, row.stage, row.eventType, row.status, row.metadata or {})
        for row in connection.execute(query)
    ]


def open_alerts(connection: sa.Connection, batch_id: int) -> list[str]:
    """What alerts say of the batch now."""
    alert = t.alert.c
    query = sa.select(alert.message).where(alert.batchId == batch_id, alert.openKey.is_not(None)).order_by(alert.id)
    return [str(message) for message in connection.execute(query).scalars()]
