"""The form of a human review, wherever it stands: templates write it by ``review.html``, and it comes back here."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from cofi_dagster.audit.findings import Subject, UnknownFinding
from cofi_dagster.audit.reviews import AnswerChanged, Decision, ReviewRefused, review
from cofi_dagster.web.pages.desk import Desk, own_address

PICK = "pick."
"""What the names of the boxes begin with that are ticked to be reviewed together; then comes the subject's key."""
_REFUSALS = (ReviewRefused, UnknownFinding, AnswerChanged)


def routes(desk: Desk) -> APIRouter:
    """``POST /cofi/review``."""
    router = APIRouter()

    @router.post("/cofi/review")
    async def add(request: Request) -> Response:
        """Keep the review, and go back to where the form stood."""
        fields = await desk.form(request)
        return await run_in_threadpool(_add, fields, desk.who(request))

    def _add(fields: Mapping[str, str], by: str) -> Response:
        to = own_address(fields.get("to", ""), "/cofi/exceptions")
        try:
            decision = _decision(fields.get("decision", ""))
            words = {name: fields.get(name, "") for name in ("value", "reason")}
            found = review(desk.engine, _subjects(fields), decision, by=by, **words)
        except _REFUSALS as refused:
            sentence = str(refused)
            return desk.back(to, sentence[:1].upper() + sentence[1:] + ".", is_error=True)
        what = "1 finding is" if len(found) == 1 else f"{len(found)} findings are"
        return desk.back(to, f"{what} {decision.value}.")

    return router


def _subjects(fields: Mapping[str, str]) -> dict[Subject, str | None]:
    """The finding of a row's own form, or those that are ticked; each with the mark of what was shown."""
    if "subject" in fields:
        return {Subject.parse(fields["subject"]): fields.get("mark") or None}
    return {
        Subject.parse(name.removeprefix(PICK)): mark or None for name, mark in fields.items() if name.startswith(PICK)
    }


def _decision(word: str) -> Decision:
    if word not in tuple(Decision):
        raise ReviewRefused(f"a finding is {' or '.join(Decision)}")
    return Decision(word)
