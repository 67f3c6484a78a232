"""What the page of the fleet shows: which services there are, what machines do now, and what they did last."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from cofi_dagster.database import tables as t
from cofi_dagster.fleet.endpoints import NoFleet, endpoints
from cofi_dagster.fleet.health import Question
from cofi_dagster.settings import Settings
from cofi_dagster.stages import BY_NAME, STAGES, Kind, Stage

_LAST_BATCHES = 20
_SILENT_SECONDS = 30.0
_BATCH, _DETAIL = t.batch_status.c, t.stage_detail.c


@dataclass(frozen=True, slots=True)
class Service:
    """A service on a machine, or of an LLM server: how its health is asked for."""

    machine: str
    name: str
    question: Question


@dataclass(frozen=True, slots=True)
class AtWork:
    """A machine in a stage at work, by the engine's last word. What an older engine does not say is None.

    Attributes:
        in_flight: requests that wait for their reply; it is given ``limit`` at once by now, ``most`` at most.
        per_minute: files answered in the last minute.
        errors: by kind.
        aside_since: since when it gets nothing (UTC), where that is known, and ``aside`` why; None in service.
    """

    machine: str
    in_flight: int
    limit: int | None
    most: int | None
    per_minute: float | None
    answered: int | None
    errors: Mapping[str, int]
    last_error: str | None
    aside: str | None
    aside_since: datetime | None

    @property
    def failed(self) -> int:
        """All errors."""
        return sum(self.errors.values())


@dataclass(frozen=True, slots=True)
class StageAtWork:
    """A stage at work and its machines; ``silent`` seconds without a word of the engine where those are many."""

    batch_id: int
    batch: str
    stage: Stage
    left: int | None
    silent: float | None
    machines: Sequence[AtWork]


@dataclass(frozen=True, slots=True)
class Did:
    """A machine in a stage that is over: files answered, seconds of a request per file, and errors by kind."""

    machine: str
    files: int
    seconds_per_file: float | None
    errors: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class StageOver:
    """The last batch in which machines worked on a stage; ``ended`` is UTC."""

    batch_id: int
    batch: str
    stage: Stage
    ended: datetime | None
    machines: Sequence[Did]
    set_aside: Sequence[str]


@dataclass(slots=True)
class Machine:
    """A machine in all: its services, and its part in every stage at work."""

    name: str
    is_configured: bool
    services: dict[str, Question] = field(default_factory=dict)
    work: list[tuple[StageAtWork, AtWork]] = field(default_factory=list)

    @property
    def in_flight(self) -> int:
        """Requests that wait for their reply."""
        return sum(one.in_flight for _, one in self.work)

    @property
    def limit(self) -> float | None:
        """How many requests it is given at once by now."""
        return _sum(one.limit for _, one in self.work)

    @property
    def per_minute(self) -> float | None:
        """Files answered in the last minute, by the engines that gave word of late."""
        return _sum(one.per_minute for stage, one in self.work if stage.silent is None)

    @property
    def answered(self) -> float | None:
        """Files answered in the stages at work."""
        return _sum(one.answered for _, one in self.work)

    @property
    def failed(self) -> int:
        """Errors in the stages at work."""
        return sum(one.failed for _, one in self.work)

    @property
    def aside(self) -> list[tuple[StageAtWork, AtWork]]:
        """The stages that it is set aside in."""
        return [(stage, one) for stage, one in self.work if one.aside is not None]


def services(settings: Settings) -> list[Service]:
    """Every service of the enabled stages on every machine of the settings."""
    found: dict[tuple[str, str], Service] = {}
    for stage in STAGES:
        if stage.kind is not Kind.FILES or not settings.is_enabled(stage):
            continue
        try:
            places = endpoints(settings, stage)
        except NoFleet:
            continue
        for place in places:
            name = stage.service or stage.name
            question = Question(place.health, with_key=name == "llm")
            found.setdefault((place.name, name), Service(place.name, name, question))
    return list(found.values())


def machines(known: Sequence[Service], work: Sequence[StageAtWork]) -> list[Machine]:
    """A machine of the settings or of a stage at work, each once: those of the settings first."""
    found: dict[str, Machine] = {}
    for service in known:
        machine = found.setdefault(service.machine, Machine(service.machine, is_configured=True))
        machine.services[service.name] = service.question
    for stage in work:
        for one in stage.machines:
            machine = found.setdefault(one.machine, Machine(one.machine, is_configured=False))
            machine.work.append((stage, one))
    return list(found.values())


def at_work(connection: sa.Connection) -> list[StageAtWork]:
    """The stages that a run is at work on over machines, oldest batch first."""
    joined = t.stage_detail.join(t.batch_lease, t.batch_lease.c.batchId == _DETAIL.batchId)
    joined = joined.join(t.batch_status, _BATCH.id == _DETAIL.batchId)
    now = sa.type_coerce(t.utcnow(), sa.DateTime()).label("now")
    query = sa.select(
        _DETAIL.batchId, _BATCH.batchDate, _BATCH.batchNumber, _DETAIL.stage, _DETAIL.pace, _DETAIL.paceAt, now
    )
    rows = connection.execute(query.select_from(joined).order_by(_DETAIL.batchId))
    return [_at_work(row) for row in rows if row.pace is not None and row.stage in BY_NAME]


def _at_work(row: Any) -> StageAtWork:
    pace: Mapping[str, Any] = row.pace
    said_at = row.paceAt or row.now
    silence = (row.now - said_at).total_seconds()
    flying, aside, did = (pace.get(name) or {} for name in ("inFlight", "aside", "machines"))
    names = dict.fromkeys([*did, *flying, *aside])
    return StageAtWork(
        row.batchId,
        f"{row.batchDate.isoformat()}_{row.batchNumber}",
        BY_NAME[row.stage],
        pace.get("left"),
        silence if silence > _SILENT_SECONDS else None,
        [_machine(name, int(flying.get(name, 0)), aside.get(name), did.get(name, {}), said_at) for name in names],
    )


def _machine(name: str, in_flight: int, aside: str | None, did: Mapping[str, Any], at: datetime) -> AtWork:
    seconds = did.get("asideSeconds")
    return AtWork(
        name,
        in_flight,
        did.get("limit"),
        did.get("most"),
        did.get("perMinute"),
        did.get("answered"),
        did.get("errors") or {},
        did.get("lastError"),
        aside,
        at - timedelta(seconds=seconds) if aside is not None and seconds is not None else None,
    )


def last_over(connection: sa.Connection) -> list[StageOver]:
    """Of each stage the newest of the last batches in which machines worked on it and that is over, in order."""
    ends = [_BATCH[stage.end_column] for stage in STAGES]
    newest = sa.select(_BATCH.id, _BATCH.batchDate, _BATCH.batchNumber, *ends).order_by(_BATCH.id.desc())
    batches = {row["id"]: row for row in connection.execute(newest.limit(_LAST_BATCHES)).mappings()}
    details = sa.select(_DETAIL.batchId, _DETAIL.stage, _DETAIL.metadata)
    details = details.where(_DETAIL.batchId.in_(list(batches)), _DETAIL.pace.is_(None), _DETAIL.metadata.is_not(None))
    found: dict[str, StageOver] = {}
    for row in connection.execute(details.order_by(_DETAIL.batchId.desc())):
        if row.stage in BY_NAME and row.stage not in found and (row.metadata or {}).get("machines"):
            found[row.stage] = _over(batches[row.batchId], BY_NAME[row.stage], row.metadata)
    return [found[stage.name] for stage in STAGES if stage.name in found]


def _over(batch: Mapping[Any, Any], stage: Stage, metadata: Mapping[str, Any]) -> StageOver:
    key = f"{batch['batchDate'].isoformat()}_{batch['batchNumber']}"
    did = list(_did(metadata["machines"]))
    return StageOver(batch["id"], key, stage, batch[stage.end_column], did, metadata.get("setAside") or [])


def _did(machines: Mapping[str, Mapping[str, Any]]) -> Iterator[Did]:
    for name, did in machines.items():
        files = int(did.get("files") or 0)
        seconds = float(did.get("seconds") or 0.0) / files if files else None
        yield Did(name, files, seconds, did.get("errors") or {})


def _sum(values: Iterable[float | None]) -> float | None:
    """The sum of what is known; None where nothing is."""
    known = [value for value in values if value is not None]
    return math.fsum(known) if known else None
