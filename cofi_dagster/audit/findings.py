"""A finding of the machine as a person meets it: what it is about, what the machine says, and its newest review.

Plain values; they are read in :mod:`cofi_dagster.audit.exceptions` and reviewed in :mod:`cofi_dagster.audit.reviews`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Any

from cofi_dagster.audit.evidence import NONE, UNVERIFIED
from cofi_dagster.audit.exception_kinds import OF_ANSWERS, OF_TRADES, OPEN_STATES, Kind

_KEY = re.compile(r"([a-z_]{1,32})\.(\d{1,18})(?:\.(\d{1,9}))?")
_QUOTE = 300


class UnknownFinding(LookupError):
    """There is no such finding, or it is none any more."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What a finding is about: a trade, a call, or the answer to a question about a call; by ids."""

    kind: Kind
    id: int
    question_id: int | None = None

    @property
    def key(self) -> str:
        """As one word, for forms and addresses: ``discrepancy.17``, ``unverified_quote.55.7``."""
        return f"{self.kind}.{self.id}" + (f".{self.question_id}" if self.question_id is not None else "")

    @classmethod
    def parse(cls, key: str) -> Subject:
        """The subject that a key names.

        Raises:
            UnknownFinding: it names none.
        """
        found = _KEY.fullmatch(key)
        if found is None or found[1] not in tuple(Kind) or (Kind(found[1]) in OF_ANSWERS) != (found[3] is not None):
            raise UnknownFinding(f"{key[:80]!r} names no finding")
        return cls(Kind(found[1]), int(found[2]), int(found[3]) if found[3] else None)


@dataclass(frozen=True, slots=True)
class Review:
    """What a person said of a finding. ``machine_value`` is what the machine had said then."""

    id: int
    kind: Kind
    call_id: int | None
    trade_id: int | None
    question_id: int | None
    decision: str
    value: str | None
    reason: str | None
    machine_value: str | None
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding with what a person has to know of it; ``detail`` is a sentence more than ``reason``.

    ``at`` is the order's time or the call's start, as the files gave it. ``audio_name`` is the call that it is about:
    of a trade without evidence the one that came nearest to it. ``review`` is the newest.
    """

    subject: Subject
    batch_id: int
    trade_id: int | None
    call_id: int | None
    order_id: str | None
    fill_id: str | None
    client: str | None
    symbol: str | None
    side: str | None
    quantity: float | None
    price: float | None
    at: datetime | None
    audio_name: str | None
    tier: str | None
    score: float | None
    question: str | None
    answer: str | None
    reason: str
    detail: str | None
    machine: str
    state: str
    review: Review | None

    @property
    def kind(self) -> Kind:
        """Its kind."""
        return self.subject.kind

    @property
    def is_open(self) -> bool:
        """Whether nobody has reviewed it, or the machine has said something else since."""
        return self.state in OPEN_STATES

    @property
    def mark(self) -> str:
        """Stands for what the machine says: a form brings it back, so that nobody reviews what was not shown."""
        return blake2b(self.machine.encode(), digest_size=8).hexdigest()


def machine_answer(answer: str | None, evidence_status: str | None) -> str:
    """What the machine says in an answer, as it is kept beside a review: another status is another answer."""
    return f"{answer or ''} ({evidence_status or NONE})"


def finding(kind: Kind, row: Mapping[Any, Any], failure: str | None) -> Finding:
    """A row of a kind's source; ``failure`` is why its call is not through."""
    trade_id, call_id = row["tradeMetadataId"], row["callId"]
    subject = Subject(kind, trade_id if kind in OF_TRADES else call_id, row["questionId"])
    shown = {
        name: row.get(name) for name in ("symbol", "side", "quantity", "price", "tier", "score", "question", "answer")
    }
    return Finding(
        subject=subject,
        batch_id=row["batchId"],
        trade_id=trade_id,
        call_id=call_id,
        order_id=row.get("orderId"),
        fill_id=row.get("tradeId"),
        client=row["client"],
        at=row["at"],
        audio_name=row["audioName"],
        reason=row["reason"],
        detail=failure or _said(row.get("comparison")) or _quotes(row.get("evidence")),
        machine=row["machine"],
        state=row["state"],
        review=_review(row, kind, trade_id, call_id),
        **shown,
    )


def _review(row: Mapping[Any, Any], kind: Kind, trade_id: int | None, call_id: int | None) -> Review | None:
    if row["review_id"] is None:
        return None
    return Review(
        id=row["review_id"],
        kind=kind,
        call_id=call_id,
        trade_id=trade_id,
        question_id=row["questionId"],
        decision=row["review_decision"],
        value=row["review_value"],
        reason=row["review_reason"],
        machine_value=row["review_machineValue"],
        by=row["review_reviewedBy"],
        at=row["review_reviewedAt"],
    )


def _said(comparison: Any) -> str | None:
    """What was heard, from a mapping's ``detail``; and why step 2 settled as it did."""
    if not isinstance(comparison, dict):
        return None
    parts = [str(comparison["reason"])] if comparison.get("reason") else []
    said = comparison.get("said")
    if isinstance(said, dict):
        price = said.get("price")
        quantity = said.get("quantity")
        words = (
            said.get("side"),
            f"{quantity:g}" if isinstance(quantity, int | float) else None,
            said.get("symbol"),
            f"at {price:g}" if isinstance(price, int | float) else "at market" if price else None,
        )
        parts.append("said: " + " ".join(str(word) for word in words if word))
    return "; ".join(parts) or None


def _quotes(evidence: Any) -> str | None:
    """The quotes of an answer that were not found in the transcript."""
    items = [item for item in evidence if isinstance(item, dict)] if isinstance(evidence, list) else []
    quotes = [str(item.get("quote", ""))[:_QUOTE] for item in items if item.get("status") == UNVERIFIED]
    return "not found: " + " | ".join(f"“{quote}”" for quote in quotes) if quotes else None
