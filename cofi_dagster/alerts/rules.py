"""The rules: when something is worth an alert. Pure functions over how a batch stands; nothing is read or sent here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from cofi_dagster.pipeline.pace import Remaining
from cofi_dagster.pipeline.standing import StageState, Standing
from cofi_dagster.pipeline.status import BatchStatus, StageStatus
from cofi_dagster.settings import Settings

_LEAST_SECONDS = 60.0
"""A stage slower than its history by less than this is noise."""


class Kind(StrEnum):
    """What an alert is about."""

    TOO_LONG = "stage_too_long"
    SLOWER = "stage_slower_than_history"
    STUCK = "stage_stuck"
    FAILURES = "failure_share"
    LATE = "batch_late"
    ASIDE = "machine_aside"


@dataclass(frozen=True, slots=True)
class Alert:
    """Something wrong: ``key`` tells it from all others, for as long as it lasts."""

    key: str
    kind: Kind
    batch_id: int
    stage: str | None
    message: str


@dataclass(frozen=True, slots=True)
class Seen:
    """A batch, and what each of its stages takes by the history of similar batches."""

    key: str
    standing: Standing
    expected: Mapping[str, Remaining | None]


def alerts_of(seen: Seen, settings: Settings) -> list[Alert]:
    """All that is wrong with a batch now."""
    return [
        *_late(seen, settings),
        *(a for state in seen.standing.stages.values() for a in _of_stage(seen, state, settings)),
    ]


def _of_stage(seen: Seen, state: StageState, settings: Settings) -> Iterator[Alert]:
    for rule in _RULES:
        yield from rule(seen, state, settings)


def _alert(seen: Seen, kind: Kind, state: StageState, message: str, subject: str = "") -> Alert:
    batch_id = seen.standing.batch_id
    key = f"{kind}:{batch_id}:{state.stage.name}:{subject}"[:255]
    return Alert(key, kind, batch_id, state.stage.name, f"{state.stage.title} of batch {seen.key} {message}")


def _at_work(state: StageState) -> bool:
    return state.status is StageStatus.IN_PROGRESS


def _seconds(seen: Seen, state: StageState) -> float:
    """Seconds that the stage has taken or takes by now: at work, where that is known, else since its start."""
    if state.started is None:
        return 0.0
    since = ((state.ended or seen.standing.now) - state.started).total_seconds()
    return state.seconds or since


def _too_long(seen: Seen, state: StageState, settings: Settings) -> Iterator[Alert]:
    limits = dict(pair.split("=", 1) for pair in settings.alert_stage_minutes)
    minutes = float(limits.get(state.stage.name, 0))
    if minutes and _at_work(state) and _seconds(seen, state) > minutes * 60:
        yield _alert(seen, Kind.TOO_LONG, state, f"takes longer than {minutes:g} minutes")


def _slower(seen: Seen, state: StageState, settings: Settings) -> Iterator[Alert]:
    factor, usual = settings.alert_slower_than_history, seen.expected.get(state.stage.name)
    if not factor or usual is None or state.status not in (StageStatus.IN_PROGRESS, StageStatus.COMPLETE):
        return
    left = float(state.pace["seconds"]) if state.pace and "seconds" in state.pace else 0.0
    takes = _seconds(seen, state) + left
    if takes > factor * usual.high and takes - usual.high > _LEAST_SECONDS:
        said = "takes" if _at_work(state) else "took"
        yield _alert(
            seen, Kind.SLOWER, state, f"{said} {takes / 60:.0f} minutes, batches of this size {usual.seconds / 60:.0f}"
        )


def _stuck(seen: Seen, state: StageState, settings: Settings) -> Iterator[Alert]:
    if not settings.alert_stuck_minutes or not _at_work(state) or not state.pace or state.pace_at is None:
        return
    idle = float(state.pace.get("idle", 0.0)) + (seen.standing.now - state.pace_at).total_seconds()
    if idle >= settings.alert_stuck_minutes * 60:
        minutes = settings.alert_stuck_minutes
        yield _alert(
            seen, Kind.STUCK, state, f"has done no file for {minutes:g} minutes, with {state.pace['left']} left"
        )


def _failures(seen: Seen, state: StageState, settings: Settings) -> Iterator[Alert]:
    if not state.total or not state.failed or settings.alert_failure_share >= 1:
        return
    share = state.failed / state.total
    if share > settings.alert_failure_share:
        yield _alert(seen, Kind.FAILURES, state, f"failed for {state.failed} of {state.total} files ({share:.1%})")


def _aside(seen: Seen, state: StageState, settings: Settings) -> Iterator[Alert]:
    if not _at_work(state) or not state.pace:
        return
    for machine, reason in (state.pace.get("aside") or {}).items():
        yield _alert(seen, Kind.ASIDE, state, f"goes on without {machine}, which is set aside: {reason}", machine)


_RULES: tuple[Callable[[Seen, StageState, Settings], Iterator[Alert]], ...] = (
    _too_long,
    _slower,
    _stuck,
    _failures,
    _aside,
)


def _late(seen: Seen, settings: Settings) -> Iterator[Alert]:
    found = seen.standing
    if not settings.alert_done_by or found.created is None or found.kind != "batch":
        return
    due = due_at(found.created, settings.alert_done_by, settings.time_zone)
    if found.state not in (BatchStatus.COMPLETED, BatchStatus.CANCELLED) and found.now > due:
        by = f"{settings.alert_done_by} ({settings.time_zone})"
        message = f"batch {seen.key} was to be completed by {by} and is {found.state}"
        yield Alert(f"{Kind.LATE}:{found.batch_id}", Kind.LATE, found.batch_id, None, message)


def due_at(created: datetime, done_by: str, zone: str) -> datetime:
    """The first time of day ``done_by`` (``HH:MM`` in ``zone``) after ``created``; both times UTC without zone."""
    hour, minute = (int(part) for part in done_by.split(":"))
    local = created.replace(tzinfo=UTC).astimezone(ZoneInfo(zone))
    due = datetime.combine(local.date(), time(hour, minute), ZoneInfo(zone))
    if due <= local:
        due = datetime.combine(local.date() + timedelta(days=1), time(hour, minute), ZoneInfo(zone))
    return due.astimezone(UTC).replace(tzinfo=None)
