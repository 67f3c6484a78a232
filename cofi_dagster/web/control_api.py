"""The endpoints by which a person changes how a batch goes on. What they mean is the pipeline's."""

from __future__ import annotations

from typing import Annotated, Protocol

from fastapi import FastAPI, Path, Query, Request
from pydantic import BaseModel

from cofi_dagster.pipeline.control import Control, Done, UnknownStage
from cofi_dagster.pipeline.status import IllegalStep
from cofi_dagster.pipeline.tracker import StageRefused

STATUS_CODES: dict[type[Exception], int] = {IllegalStep: 409, StageRefused: 409, UnknownStage: 422}
"""What the verbs refuse, as HTTP status codes."""

_Id = Annotated[int, Path(ge=1, le=2**53, description="The batch's id.")]
_Stage = Annotated[str, Query(min_length=1, max_length=64, description="A stage's name.")]
_Reason = Annotated[str | None, Query(max_length=200, description="Why, for the log.")]
_REFUSALS = {404: "No such batch.", 409: "The batch has no such step now; the detail says why.", 422: "Bad input."}


class Refusal(BaseModel):
    """Why not."""

    detail: str


class ControlReply(BaseModel):
    """How the batch stands after the request: ``status`` as in seed 004; a pause that is under way is ``running``."""

    batch_id: int
    status: str


class Verbs(Protocol):
    """What a person may do to a batch."""

    def launch(self, batch_id: int, *, by: str | None = None) -> Done:
        """Let it begin."""
        ...

    def pause(self, batch_id: int, *, by: str | None = None) -> Done:
        """Let it come to rest."""
        ...

    def resume(self, batch_id: int, *, by: str | None = None, launch: bool = True) -> Done:
        """Let it go on."""
        ...

    def cancel(self, batch_id: int, *, by: str | None = None) -> Done:
        """Give it up."""
        ...

    def retry(self, batch_id: int, stage: str | None = None, *, by: str | None = None, launch: bool = True) -> Done:
        """Try again what failed."""
        ...

    def skip(self, batch_id: int, stage: str, *, by: str | None = None, reason: str | None = None) -> Done:
        """Pass over a stage."""
        ...


class DatabaseVerbs:
    """The verbs where no Dagster instance is at hand: a run heeds them, or finds them when it begins."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def launch(self, batch_id: int, *, by: str | None = None) -> Done:
        """As :meth:`Control.launch`."""
        return self._control.launch(batch_id, by=by)

    def pause(self, batch_id: int, *, by: str | None = None) -> Done:
        """As :meth:`Control.pause`."""
        return self._control.pause(batch_id, by=by)

    def resume(self, batch_id: int, *, by: str | None = None, launch: bool = True) -> Done:
        """As :meth:`Control.resume`."""
        return self._control.resume(batch_id, by=by, launch=launch)

    def cancel(self, batch_id: int, *, by: str | None = None) -> Done:
        """As :meth:`Control.cancel`."""
        return self._control.cancel(batch_id, by=by)

    def retry(self, batch_id: int, stage: str | None = None, *, by: str | None = None, launch: bool = True) -> Done:
        """As :meth:`Control.retry`."""
        return self._control.retry(batch_id, stage, by=by, launch=launch)

    def skip(self, batch_id: int, stage: str, *, by: str | None = None, reason: str | None = None) -> Done:
        """As :meth:`Control.skip`."""
        return self._control.skip(batch_id, stage, by=by, reason=reason)


def add_control(app: FastAPI, verbs: Verbs) -> None:
    """Add ``POST /api/batch/{id}/launch``, ``/pause``, ``/resume``, ``/cancel``, ``/retry`` and ``/skip``."""
    refusals: dict[int | str, dict[str, object]] = {
        code: {"model": Refusal, "description": text} for code, text in _REFUSALS.items()
    }
    base = "/api/batch/{batch_id}"

    @app.post(f"{base}/launch", status_code=202, tags=["control"], responses=refusals)
    def launch(batch_id: _Id, request: Request) -> ControlReply:
        """A batch that has not begun gets its run."""
        return _reply(verbs.launch(batch_id, by=_who(request)))

    @app.post(f"{base}/pause", status_code=202, tags=["control"], responses=refusals)
    def pause(batch_id: _Id, request: Request) -> ControlReply:
        """Nothing more is sent; what is in flight ends and is kept; then the batch is paused in its stage."""
        return _reply(verbs.pause(batch_id, by=_who(request)))

    @app.post(f"{base}/resume", status_code=202, tags=["control"], responses=refusals)
    def resume(batch_id: _Id, request: Request) -> ControlReply:
        """A new run goes on where the batch was paused."""
        return _reply(verbs.resume(batch_id, by=_who(request)))

    @app.post(f"{base}/cancel", status_code=202, tags=["control"], responses=refusals)
    def cancel(batch_id: _Id, request: Request) -> ControlReply:
        """The batch is given up for good; its run ends, its files keep the state that they have."""
        return _reply(verbs.cancel(batch_id, by=_who(request)))

    @app.post(f"{base}/retry", status_code=202, tags=["control"], responses=refusals)
    def retry(batch_id: _Id, request: Request, stage: _Stage | None = None) -> ControlReply:
        """A new run tries again what failed, of the whole batch or of one stage."""
        return _reply(verbs.retry(batch_id, stage, by=_who(request)))

    @app.post(f"{base}/skip", status_code=202, tags=["control"], responses=refusals)
    def skip(batch_id: _Id, request: Request, stage: _Stage, reason: _Reason = None) -> ControlReply:
        """An optional stage of this batch is passed over, until it is retried."""
        return _reply(verbs.skip(batch_id, stage, by=_who(request), reason=reason))


def _reply(done: Done) -> ControlReply:
    return ControlReply(batch_id=done.batch_id, status=done.state.value)


def _who(request: Request) -> str:
    """The name of the key that the request came with."""
    key = getattr(request.state, "key", None)
    return key.name if key is not None else "the API"
