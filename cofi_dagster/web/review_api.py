"""The endpoints of exceptions and of human review. What they mean is the audit's."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import sqlalchemy as sa
from fastapi import FastAPI, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from cofi_dagster.audit import exceptions, reviews
from cofi_dagster.audit.exception_kinds import EXCEPTIONS
from cofi_dagster.audit.exceptions import Wanted
from cofi_dagster.audit.findings import Finding, Review, Subject, UnknownFinding
from cofi_dagster.audit.reviews import AnswerChanged, Decision, ReviewRefused
from cofi_dagster.database import tables as t
from cofi_dagster.database.engine import reading
from cofi_dagster.pipeline.batches import BatchError
from cofi_dagster.web.control_api import Refusal
from cofi_dagster.web.models import Time

REVIEW_CODES: dict[type[Exception], int] = {UnknownFinding: 404, AnswerChanged: 409, ReviewRefused: 422}
"""What a review is refused with, as HTTP status codes."""

_MOST = 2**63 - 1
_Id = Annotated[int, Path(ge=1, le=_MOST, description="The batch's id.")]
_Limit = Annotated[int, Query(ge=1, le=500, description="How many, at most.")]
_Offset = Annotated[int, Query(ge=0, le=_MOST, description="How many to pass over.")]
_REFUSALS = {
    401: "No key, or an unknown one.", 403: "The key may only look.", 404: "There is no such thing.",
    409: "The machine says something else now.", 422: "Bad input: which field, and why.", 429: "Too many requests.",
    503: "The database cannot be used.",
}  # fmt: skip

ExceptionKind = Literal[
    "trade_without_evidence", "discrepancy", "weak_evidence", "unverified_quote", "call_without_trade",
    "call_not_audited",
]  # fmt: skip
ReviewState = Literal["open", "reviewed", "changed", "accepted", "overridden"]


class ReviewShown(BaseModel):
    """What a person said of a finding, and what the machine had said then."""

    decision: Literal["accepted", "overridden"]
    value: str | None
    reason: str | None
    machine_value: str | None
    reviewed_by: str
    reviewed_at: Time


class ExceptionShown(BaseModel):
    """A finding; ``subject`` names it to ``POST /api/review``, ``mark`` stands for what the machine says now.

    ``state`` is ``open``, ``accepted``, ``overridden``, or ``changed`` where the machine has said something else since
    the newest review. ``time`` is the order's or the call's, as the files gave it.
    """

    subject: str
    mark: str
    kind: str
    batch_id: int
    trade_id: int | None
    call_id: int | None
    question_id: int | None
    order_id: str | None
    client: str | None
    symbol: str | None
    side: str | None
    quantity: float | None
    price: float | None
    time: str | None
    file: str | None
    match_tier: str | None
    score: float | None
    question: str | None
    answer: str | None
    reason: str
    detail: str | None
    machine_value: str
    state: str
    review: ReviewShown | None


class ExceptionsReply(BaseModel):
    """A page of a batch's exceptions, and how many there are of each kind."""

    batch_id: int
    total: int
    counts: dict[str, int]
    exceptions: list[ExceptionShown]


class ReviewRequest(BaseModel):
    """A person's review of one finding. An override needs the person's own ``value`` and a ``reason``."""

    model_config = ConfigDict(extra="forbid", strict=True)

    subject: str = Field(
        min_length=1, max_length=64, description="As the exceptions name it, or `answer.<call>.<question>`."
    )
    decision: Literal["accepted", "overridden"]
    value: str = Field("", max_length=reviews.LONGEST)
    reason: str = Field("", max_length=reviews.LONGEST)
    mark: str | None = Field(
        None, max_length=64, description="Refuse with 409 where the machine says something else now."
    )


def add_reviews(app: FastAPI, engine: sa.Engine) -> None:
    """Add ``GET /api/batch/{id}/exceptions`` and ``POST /api/review``."""

    @app.get("/api/batch/{batch_id}/exceptions", tags=["review"], responses=_may(404, 422))
    def batch_exceptions(
        batch_id: _Id,
        kind: ExceptionKind | None = None,
        state: ReviewState | None = None,
        limit: _Limit = 100,
        offset: _Offset = 0,
    ) -> ExceptionsReply:
        """What an auditor has to look at in a batch, and what people said of it."""
        with reading(engine) as connection:
            if (
                connection.execute(sa.select(t.batch_status.c.id).where(t.batch_status.c.id == batch_id)).first()
                is None
            ):
                raise BatchError(f"there is no batch {batch_id}")
            chosen = next((one for one in EXCEPTIONS if one == kind), None)
            wanted = Wanted((batch_id,), kind=chosen, state=state or "")
            counts = exceptions.counts(connection, wanted)
            found = exceptions.page(connection, wanted, limit, offset)
        return ExceptionsReply(
            batch_id=batch_id,
            total=sum(counts.values()) if chosen is None else counts[chosen],
            counts={one.value: number for one, number in counts.items()},
            exceptions=[_shown(one) for one in found],
        )

    @app.post("/api/review", status_code=201, tags=["review"], responses=_may(403, 404, 409, 422))
    def review(body: ReviewRequest, request: Request) -> ExceptionShown:
        """Accept a finding, or override it with a reason; the machine's answer stays. The finding as it stands then."""
        subject = Subject.parse(body.subject)
        words = {"value": body.value, "reason": body.reason}
        reviews.review(engine, {subject: body.mark}, Decision(body.decision), by=_who(request), **words)
        with reading(engine) as connection:
            found = exceptions.find(connection, [subject])
        if subject not in found:
            raise UnknownFinding(f"{subject.key} is no finding any more")
        return _shown(found[subject])


def _may(*codes: int) -> dict[int | str, dict[str, Any]]:
    return {code: {"model": Refusal, "description": _REFUSALS[code]} for code in (401, *codes, 429, 503)}


def _shown(found: Finding) -> ExceptionShown:
    return ExceptionShown(
        subject=found.subject.key,
        mark=found.mark,
        kind=found.kind.value,
        batch_id=found.batch_id,
        trade_id=found.trade_id,
        call_id=found.call_id,
        question_id=found.subject.question_id,
        order_id=found.order_id,
        client=found.client,
        symbol=found.symbol,
        side=found.side,
        quantity=found.quantity,
        price=found.price,
        time=found.at.isoformat() if found.at else None,
        file=found.audio_name,
        match_tier=found.tier,
        score=found.score,
        question=found.question,
        answer=found.answer,
        reason=found.reason,
        detail=found.detail,
        machine_value=found.machine,
        state=found.state,
        review=_reviewed(found.review),
    )


def _reviewed(review: Review | None) -> ReviewShown | None:
    if review is None:
        return None
    decision: Any = review.decision
    return ReviewShown(
        decision=decision,
        value=review.value,
        reason=review.reason,
        machine_value=review.machine_value,
        reviewed_by=review.by,
        reviewed_at=review.at,
    )


def _who(request: Request) -> str:
    """The name of the key that the request came with."""
    key = getattr(request.state, "key", None)
    return key.name if key is not None else "the API"
