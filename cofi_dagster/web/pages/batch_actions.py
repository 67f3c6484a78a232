"""What a person does to batches from the pages: the forms behind the buttons. What a verb means is the pipeline's."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from cofi_dagster.pipeline import batches
from cofi_dagster.pipeline.arrivals import known_keys
from cofi_dagster.pipeline.batches import BatchError
from cofi_dagster.pipeline.control import Done, UnknownStage
from cofi_dagster.pipeline.standing import Standing
from cofi_dagster.pipeline.status import BatchStatus, IllegalStep
from cofi_dagster.pipeline.tracker import StageRefused
from cofi_dagster.settings import parse_batch_key
from cofi_dagster.web.pages.desk import Desk, Id, own_address

_SAID = {
    "launch": "Batch {} will begin in a moment.",
    "pause": "Batch {} comes to rest: what is in flight ends first.",
    "resume": "Batch {} goes on in a moment.",
    "cancel": "Batch {} is cancelled.",
    "retry": "Batch {} is tried again in a moment.",
    "skip": "The stage is passed over in batch {}.",
}
_REFUSALS = (IllegalStep, StageRefused, UnknownStage, BatchError)

BUTTONS: dict[BatchStatus, tuple[str, ...]] = {
    BatchStatus.PENDING: ("launch", "cancel"),
    BatchStatus.RUNNING: ("pause", "cancel"),
    BatchStatus.PAUSED: ("resume", "cancel"),
    BatchStatus.FAILED: ("retry",),
    BatchStatus.COMPLETED: (),
    BatchStatus.CANCELLED: (),
}
"""What a person may do to a batch in each state."""


def buttons(state: str, kind: str, *, failed: int = 0) -> tuple[str, ...]:
    """The verbs that a batch offers: an upload is retried through its task, a completed batch where files failed."""
    if kind == batches.UPLOAD:
        return ("cancel",) if state in (BatchStatus.PENDING, BatchStatus.RUNNING) else ()
    offered = BUTTONS[BatchStatus(state)]
    return (*offered, "retry") if state == BatchStatus.COMPLETED and failed else offered


def offered(found: Standing) -> tuple[str, ...]:
    """The verbs that a batch offers now."""
    return buttons(found.state, found.kind, failed=sum(state.failed or 0 for state in found.stages.values()))


def routes(desk: Desk) -> APIRouter:
    """``POST /cofi/batch/{id}/<verb>`` and ``POST /cofi/arrivals/{key}``."""
    router = APIRouter()

    @router.post("/cofi/batch/{batch_id}/{verb}")
    async def act(batch_id: Id, verb: str, request: Request) -> Response:
        """Do it, and go back to the page with a sentence."""
        fields = await desk.form(request)
        to = own_address(fields.get("to", ""), f"/cofi/batch/{batch_id}")
        if verb not in _SAID:
            raise UnknownStage(f"there is no such step: {', '.join(_SAID)}")
        done = _verb(batch_id, verb, fields, desk.who(request))
        return await run_in_threadpool(_try, to, _SAID[verb].format(batch_id), done)

    def _verb(batch_id: int, verb: str, fields: dict[str, str], by: str) -> Callable[[], Done]:
        stage, verbs = fields.get("stage") or None, desk.verbs
        if verb == "skip":
            return lambda: verbs.skip(batch_id, stage or "", by=by, reason=fields.get("reason") or None)
        if verb == "retry":
            return lambda: verbs.retry(batch_id, stage, by=by)
        simple = {"launch": verbs.launch, "pause": verbs.pause, "resume": verbs.resume, "cancel": verbs.cancel}
        return lambda: simple[verb](batch_id, by=by)

    def _try(to: str, sentence: str, verb: Callable[[], Done]) -> Response:
        try:
            verb()
        except _REFUSALS as refused:
            return desk.back(to, str(refused), is_error=True)
        return desk.back(to, sentence)

    @router.post("/cofi/arrivals/{key}")
    async def launch_arrival(key: str, request: Request) -> Response:
        """Start a directory that has arrived, without waiting until nothing in it changes any more."""
        await desk.form(request)
        done = _arrived(key, desk.who(request))
        return await run_in_threadpool(_try, "/cofi", f"Batch {key} will begin in a moment.", done)

    def _arrived(key: str, by: str) -> Callable[[], Done]:
        def launch() -> Done:
            try:
                parse_batch_key(key)
            except ValueError as error:
                raise BatchError(str(error)) from None
            root = desk.settings.batches
            if key in known_keys(desk.engine) or not (root / key).is_dir():
                raise BatchError(f"there is no directory {key} that waits to be started")
            return desk.verbs.launch(batches.register(desk.engine, root / key, root).id, by=by)

        return launch

    return router
