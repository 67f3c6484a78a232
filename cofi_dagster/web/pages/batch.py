"""The page of one batch: how it stands, when it will be done, what is slow, what failed and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel
from starlette.responses import Response

from cofi_dagster.database.engine import reading
from cofi_dagster.pipeline.pace import Remaining
from cofi_dagster.pipeline.remaining import estimate
from cofi_dagster.pipeline.standing import StageState, Standing, standing
from cofi_dagster.pipeline.status import BatchStatus, CallStatus, StageStatus
from cofi_dagster.web.pages import batch_figures, batch_parts
from cofi_dagster.web.pages.batch_actions import offered
from cofi_dagster.web.pages.batch_figures import seconds_of
from cofi_dagster.web.pages.dagster_links import runs_of_batch
from cofi_dagster.web.pages.desk import Desk, Id, Offset

_FILES_SHOWN = 20
_PAGE = 100
_SLOWLY = 10


@dataclass(frozen=True, slots=True)
class StageLine:
    """A stage as the page shows it. ``left`` are the files that have no outcome yet; None where nothing was counted."""

    state: StageState
    seconds: float | None
    left: int | None
    per_second: float | None
    remaining: Remaining | None
    may_retry: bool
    may_skip: bool


class FilesChosen(BaseModel, frozen=True):
    """Which of a batch's files are asked for."""

    status: str = ""
    offset: Offset = 0


class GroupChosen(BaseModel, frozen=True):
    """Which failures are asked for: the mark of a group."""

    group: str = ""
    offset: Offset = 0


def routes(desk: Desk) -> APIRouter:
    """``/cofi/batch/{id}``, its live parts, and the lists behind its numbers."""
    router = APIRouter()
    zone = ZoneInfo(desk.settings.time_zone)

    @router.get("/cofi/batch/{batch_id}")
    def page(batch_id: Id, request: Request) -> Response:
        """The whole page."""
        return desk.show(request, "batch.html", page="batches", **(now(batch_id) | then(batch_id)))

    @router.get("/cofi/batch/{batch_id}/now")
    def live_now(batch_id: Id, request: Request) -> Response:
        """How it stands: asked for often while it is at work."""
        return desk.live(request, "batch_now.html", batch_id, lambda: now(batch_id))

    @router.get("/cofi/batch/{batch_id}/then")
    def live_then(batch_id: Id, request: Request) -> Response:
        """How it came there: figures, machines, failures."""
        return desk.live(request, "batch_then.html", batch_id, lambda: then(batch_id), every=_SLOWLY)

    def now(batch_id: int) -> dict[str, Any]:
        with reading(desk.engine) as connection:
            found = standing(connection, batch_id)
            left = estimate(connection, desk.settings, found, desk.reads.past(connection, found))
            calls = batch_parts.calls(connection, batch_id)
            alerts = batch_parts.open_alerts(connection, batch_id)
        shown = desk.reads.shown(found)
        began = min((state.started for state in found.stages.values() if state.started), default=None)
        ended = max((state.ended for state in found.stages.values() if state.ended), default=None)
        is_over = found.state not in (BatchStatus.PENDING, BatchStatus.RUNNING)
        until = ended if is_over else found.now
        current = _current(found, shown)
        return {
            "batch": found,
            "lines": [_line(found, state, left.stages.get(state.stage.name)) for state in shown],
            "progress": desk.reads.progress(found),
            "current": current,
            "remaining": left.batch,
            "stage_remaining": left.stages.get(current.stage.name) if current else None,
            "next": desk.reads.current(found),
            "began": began,
            "ended": ended if is_over else None,
            "elapsed": (until - began).total_seconds() if began and until else None,
            "calls": calls,
            "unregistered": max(0, found.total_files - sum(count for _, count in calls)),
            "alerts": alerts,
            "buttons": offered(found),
            "runs": runs_of_batch(found.key),
        }

    def then(batch_id: int) -> dict[str, Any]:
        with reading(desk.engine) as connection:
            found = standing(connection, batch_id)
            groups = batch_parts.failures(connection, batch_id)
            machines = batch_parts.machines(connection, found)
            rates = batch_parts.rates(connection, batch_id)
            events = batch_parts.events(connection, batch_id)
        shown = desk.reads.shown(found)
        has_begun = any(state.started for state in shown)
        return {
            "batch": found,
            "groups": groups,
            "files_shown": _FILES_SHOWN,
            "machines": machines,
            "placed": sum(machine.files for machine in machines),
            "events": events,
            "timeline": batch_figures.timeline(found, shown, zone) if has_begun else None,
            "shares": batch_figures.shares(found, shown) if has_begun else None,
            "rate": batch_figures.rate(rates, zone) if rates else None,
            "timed": [(state, seconds_of(state, found.now)) for state in shown if state.started],
        }

    @router.get("/cofi/batch/{batch_id}/files")
    def files(batch_id: Id, request: Request, chosen: Annotated[FilesChosen, Query()]) -> Response:
        """All files of the batch, with what each stage made of them."""
        with reading(desk.engine) as connection:
            found = standing(connection, batch_id)
        reply = desk.reads.files(batch_id, _PAGE, chosen.offset, chosen.status or None)
        flagged = [state.stage for state in desk.reads.shown(found) if state.stage.done_flag]
        context: dict[str, Any] = {"chosen": chosen, "reply": reply, "stages": flagged, "statuses": tuple(CallStatus)}
        return desk.show(request, "batch_files.html", page="batches", batch=found, limit=_PAGE, **context)

    @router.get("/cofi/batch/{batch_id}/failures")
    def failed_files(batch_id: Id, request: Request, chosen: Annotated[GroupChosen, Query()]) -> Response:
        """All files behind one reason."""
        with reading(desk.engine) as connection:
            found = standing(connection, batch_id)
            groups = batch_parts.failures(connection, batch_id)
        group = next((one for one in groups if one.mark == chosen.group), None)
        context: dict[str, Any] = {"chosen": chosen, "group": group, "batch": found, "limit": _PAGE}
        return desk.show(request, "batch_failures.html", page="batches", **context)

    return router


def _line(found: Standing, state: StageState, remaining: Remaining | None) -> StageLine:
    at_work = state.status is StageStatus.IN_PROGRESS
    left = None if state.total is None else max(0, state.total - state.ended_items)
    rests = found.state not in (BatchStatus.CANCELLED, BatchStatus.PAUSED) and found.kind != "upload"
    may_skip = state.stage.optional and state.status in (StageStatus.PENDING, StageStatus.PAUSED, StageStatus.FAILED)
    is_open = found.state not in (BatchStatus.COMPLETED, BatchStatus.CANCELLED)
    return StageLine(
        state=state,
        seconds=seconds_of(state, found.now),
        left=left if state.total else None,
        per_second=state.worked / state.seconds if state.worked and state.seconds else None,
        remaining=remaining if found.state is BatchStatus.RUNNING else None,
        may_retry=rests and not at_work and (state.status is StageStatus.FAILED or bool(state.failed)),
        may_skip=may_skip and is_open and found.kind != "upload" and state.skip_reason is None,
    )


def _current(found: Standing, shown: Sequence[StageState]) -> StageState | None:
    """The stage that is at work, paused or failed."""
    words = (StageStatus.IN_PROGRESS, StageStatus.PAUSED, StageStatus.FAILED)
    return next((state for word in words for state in shown if state.status is word), None)
