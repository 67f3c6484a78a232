"""The page of a call: what was said, which orders it is the evidence of, what was answered, and what was before."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from cofi_dagster.adhoc import reaudit
from cofi_dagster.adhoc.reaudit import RequestRefused
from cofi_dagster.audit.exception_kinds import OF_ANSWERS, OF_TRADES
from cofi_dagster.audit.exceptions import of_call
from cofi_dagster.audit.findings import Finding
from cofi_dagster.audit.reviews import SUGGESTIONS
from cofi_dagster.database.engine import reading
from cofi_dagster.stages import BY_NAME
from cofi_dagster.web.pages.audio import recording
from cofi_dagster.web.pages.call_answers import answers
from cofi_dagster.web.pages.call_head import head
from cofi_dagster.web.pages.call_history import history
from cofi_dagster.web.pages.call_trades import trades
from cofi_dagster.web.pages.call_transcript import transcript
from cofi_dagster.web.pages.desk import Desk, Id

_CHOSEN = "stage."
"""What the names of the boxes of stages begin with."""


def routes(desk: Desk) -> APIRouter:
    """``/cofi/call/{id}`` and the form that reaudits it."""
    router = APIRouter()

    @router.get("/cofi/call/{call_id}")
    def page(call_id: Id, request: Request) -> Response:
        """The whole page."""
        return desk.show(request, "call.html", page="calls", **context(call_id))

    @router.post("/cofi/call/{call_id}/reaudit")
    async def reaudit_call(call_id: Id, request: Request) -> Response:
        """Queue a reaudit of the call, and go to its task."""
        fields = await desk.form(request)
        stages = [name.removeprefix(_CHOSEN) for name in fields if name.startswith(_CHOSEN)]
        return await run_in_threadpool(_queue, call_id, stages, desk.who(request))

    def _queue(call_id: int, stages: list[str], by: str) -> Response:
        call = head(desk.engine, desk.settings, call_id).call
        try:
            wanted = reaudit.request_of(desk.engine, desk.settings, [call["audioName"]], stages, call["batchId"])
        except RequestRefused as refused:
            return desk.back(f"/cofi/call/{call_id}", f"Nothing was queued: {refused}.", is_error=True)
        task_id = reaudit.queue(desk.engine, wanted, by=by)
        return desk.back(f"/cofi/task/{task_id}", f"The reaudit of {call['audioName']} will begin in a moment.")

    def context(call_id: int) -> dict[str, Any]:
        about = head(desk.engine, desk.settings, call_id)
        with reading(desk.engine) as connection:
            said = transcript(connection, call_id, about.script)
            answered = answers(connection, call_id, about.batch, said)
            traded = trades(connection, about.call, said)
            past = history(connection, call_id, about.script, said.segments)
            findings, reviewed = of_call(connection, call_id)
        return {
            "head": about,
            "call": about.call,
            "recording": recording(about.batch, about.call["audioName"]),
            "segments": said.segments,
            "answers": answered,
            "trades": traded,
            "history": past,
            "reviewed": reviewed,
            "findings": [one for one in findings if one.kind not in OF_TRADES | OF_ANSWERS],
            "of_trades": _by_trade(findings),
            "suggestions": SUGGESTIONS,
            "stages": [BY_NAME[name] for name in reaudit.STAGE_NAMES if desk.settings.is_enabled(BY_NAME[name])],
        }

    return router


def _by_trade(findings: list[Finding]) -> dict[int, list[Finding]]:
    found: dict[int, list[Finding]] = {}
    for one in findings:
        if one.kind in OF_TRADES and one.trade_id is not None:
            found.setdefault(one.trade_id, []).append(one)
    return found
