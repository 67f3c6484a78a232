"""Human review: a person accepts what the machine found, or overrides it with a reason. Rows are only ever added.

The machine's own answer is never touched: it stands beside each review as it was then, and where it is another one
later, the review is shown as one of an earlier answer, and the finding is open again.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import sqlalchemy as sa

from cofi_dagster.audit.exception_kinds import ACCEPTED, OF_TRADES, OVERRIDDEN, Kind
from cofi_dagster.audit.exceptions import find
from cofi_dagster.audit.findings import Finding, Subject, UnknownFinding
from cofi_dagster.audit.questionnaire import CHOICES, YES_NO
from cofi_dagster.database import tables as t
from cofi_dagster.database.transactions import transact
from cofi_dagster.triage.grading import CONFIRMED, DISCREPANCIES

LONGEST = 4000
"""Characters that a verdict or a reason may have."""


class Decision(StrEnum):
    """What a person decides on a finding."""

    ACCEPTED = ACCEPTED
    OVERRIDDEN = OVERRIDDEN


class ReviewRefused(ValueError):
    """A review that says too little or too much; the message says what is missing."""


class AnswerChanged(RuntimeError):
    """The machine says something else than what the person was shown."""


_VERDICTS = tuple(verdict.replace("_", " ") for verdict in (CONFIRMED, *DISCREPANCIES))
SUGGESTIONS: Mapping[Kind, tuple[str, ...]] = {
    Kind.TRADE_WITHOUT_EVIDENCE: ("there is evidence elsewhere", "no evidence is needed", *_VERDICTS),
    Kind.WEAK_EVIDENCE: ("sufficient", *_VERDICTS),
    Kind.DISCREPANCY: _VERDICTS,
    Kind.UNVERIFIED_QUOTE: CHOICES[YES_NO],
    Kind.ANSWER: CHOICES[YES_NO],
    Kind.CALL_WITHOUT_TRADE: ("no order was given", "an order was given and not executed", "it belongs to a trade"),
    Kind.CALL_NOT_AUDITED: ("listened to: no order was given", "listened to: an order was given"),
}
"""What a person may want to say instead of the machine; any other words will do."""


def review(
    engine: sa.Engine,
    subjects: Mapping[Subject, str | None],
    decision: Decision,
    *,
    by: str,
    value: str = "",
    reason: str = "",
) -> list[Finding]:
    """Add a person's review of these findings, in one transaction; the findings as they were reviewed.

    Args:
        engine: the database.
        subjects: what is reviewed, each with the mark of what the person was shown (None: not checked).
        decision: accepted, or overridden.
        by: who.
        value: the person's own verdict or answer, where the machine's is overridden.
        reason: why; an override needs one.

    Raises:
        ReviewRefused: nothing is reviewed, or an override says not what or why.
        UnknownFinding: one of them is no finding (any more); nothing was kept.
        AnswerChanged: the machine says something else now than the person was shown; nothing was kept.
    """
    value, reason = value.strip(), reason.strip()
    _check(subjects, decision, value, reason)
    said = {"value": (value or None) if decision is Decision.OVERRIDDEN else None, "reason": reason or None}

    def add(connection: sa.Connection) -> list[Finding]:
        found = find(connection, subjects.keys())
        for subject, mark in subjects.items():
            if subject not in found:
                raise UnknownFinding(f"{subject.key} is no finding any more: the machine's answer has changed")
            if mark is not None and mark != found[subject].mark:
                raise AnswerChanged("the machine's answer has changed meanwhile: look at it again")
        rows = [{**_row(one), **said, "decision": decision.value, "reviewedBy": by} for one in found.values()]
        connection.execute(t.human_review.insert(), rows)
        return list(found.values())

    return transact(engine, add)


def _check(subjects: Mapping[Subject, str | None], decision: Decision, value: str, reason: str) -> None:
    if not subjects:
        raise ReviewRefused("nothing is chosen: tick what you accept")
    if decision is Decision.OVERRIDDEN and not reason:
        raise ReviewRefused("an override needs a reason")
    if decision is Decision.OVERRIDDEN and not value:
        raise ReviewRefused("an override needs your own verdict or answer")
    if len(value) > LONGEST or len(reason) > LONGEST:
        raise ReviewRefused(f"a verdict or a reason may have {LONGEST:,} characters")


def _row(found: Finding) -> dict[str, object]:
    is_trade = found.kind in OF_TRADES
    return {
        "batchId": found.batch_id,
        "callId": found.call_id,
        "tradeMetadataId": found.trade_id if is_trade else None,
        "questionId": found.subject.question_id,
        "kind": found.kind.value,
        "machineValue": found.machine,
    }
