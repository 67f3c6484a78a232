"""Human review: what a person says is added and never changed, and the machine's answer stays beside it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from cofi_dagster.audit import exceptions
from cofi_dagster.audit.exception_kinds import Kind
from cofi_dagster.audit.exceptions import Wanted
from cofi_dagster.audit.findings import Finding, Subject, UnknownFinding, machine_answer
from cofi_dagster.audit.reviews import LONGEST, AnswerChanged, Decision, ReviewRefused, review
from cofi_dagster.database import tables as t
from cofi_dagster.database.engine import reading, writing
from cofi_dagster.database.retention import purge
from cofi_dagster.export import exceptions_table, export
from cofi_dagster.pipeline.batches import by_id
from cofi_dagster.sheets import csv_text
from cofi_dagster_tests.audit.day import EVIL, Day


def find(engine: sa.Engine, subject: Subject) -> Finding:
    with reading(engine) as connection:
        return exceptions.find(connection, [subject])[subject]


def rows(engine: sa.Engine, day: Day) -> list[Any]:
    table = t.human_review
    with reading(engine) as connection:
        return list(connection.execute(sa.select(table).where(table.c.batchId == day.batch).order_by(table.c.id)))


def reaudited(engine: sa.Engine, day: Day, verdict: str) -> None:
    """The trade whose quantity is wrong gets another verdict."""
    mapping = t.trade_audio_mapping
    its = (mapping.c.tradeMetadataId == day.trades["wrong quantity"]) & (mapping.c.step == 2)
    with writing(engine) as connection:
        connection.execute(mapping.update().where(its).values(verdict=verdict))


def test_the_newest_review_counts_and_the_earlier_ones_stay(engine: sa.Engine, day: Day) -> None:
    subject = Subject(Kind.DISCREPANCY, day.trades["wrong quantity"])
    review(engine, {subject: find(engine, subject).mark}, Decision.ACCEPTED, by="anna")
    accepted = find(engine, subject)
    assert (accepted.state, accepted.is_open) == ("accepted", False)
    words = {"value": "confirmed", "reason": "she says ten, not five"}
    review(engine, {subject: None}, Decision.OVERRIDDEN, by="bela", **words)
    found = find(engine, subject)
    assert found.review is not None
    assert (found.state, found.review.value, found.review.by) == ("overridden", "confirmed", "bela")
    assert found.reason == "wrong quantity", "the machine's answer stays"
    assert [(row.decision, row.reviewedBy, row.machineValue, row.reason) for row in rows(engine, day)] == [
        ("accepted", "anna", "wrong quantity in kept.wav", None),
        ("overridden", "bela", "wrong quantity in kept.wav", "she says ten, not five"),
    ]
    with reading(engine) as connection:
        counts = exceptions.counts(connection, Wanted((day.batch,), state="open"))
        history = exceptions.reviews_of_call(connection, day.calls["kept.wav"])
    assert (counts[Kind.DISCREPANCY], sum(counts.values())) == (1, 15)
    assert [one.by for one in history] == ["bela", "anna"]


def test_a_reaudit_that_changes_the_answer_opens_the_exception_again(engine: sa.Engine, day: Day) -> None:
    subject = Subject(Kind.DISCREPANCY, day.trades["wrong quantity"])
    shown = find(engine, subject).mark
    review(engine, {subject: shown}, Decision.ACCEPTED, by="anna")
    reaudited(engine, day, "wrong_side")
    found = find(engine, subject)
    assert found.review is not None
    assert (found.state, found.is_open, found.review.machine_value) == ("changed", True, "wrong quantity in kept.wav")
    with pytest.raises(AnswerChanged, match="look at it again"):
        review(engine, {subject: shown}, Decision.ACCEPTED, by="anna")
    reaudited(engine, day, "confirmed")
    with pytest.raises(UnknownFinding, match="no finding any more"):
        review(engine, {subject: shown}, Decision.ACCEPTED, by="anna")
    reaudited(engine, day, "wrong_quantity")
    assert find(engine, subject).state == "accepted", "it says again what was reviewed"
    assert len(rows(engine, day)) == 1


@pytest.mark.parametrize(
    ("decision", "value", "reason", "says"),
    [
        (Decision.OVERRIDDEN, "confirmed", " ", "needs a reason"),
        (Decision.OVERRIDDEN, "", "listened", "needs your own verdict"),
        (Decision.ACCEPTED, "", "x" * (LONGEST + 1), "4,000 characters"),
    ],
)
def test_a_review_that_says_too_little_or_too_much_is_refused(
    engine: sa.Engine, new_day: Callable[[], Day], decision: Decision, value: str, reason: str, says: str
) -> None:
    with pytest.raises(ReviewRefused, match=says):
        review(engine, {Subject(Kind.CALL_WITHOUT_TRADE, 1): None}, decision, by="anna", value=value, reason=reason)
    with pytest.raises(ReviewRefused, match="nothing is chosen"):
        review(engine, {}, Decision.ACCEPTED, by="anna")


def test_many_are_reviewed_together_or_none_of_them(engine: sa.Engine, day: Day) -> None:
    subjects: dict[Subject, str | None] = {
        Subject(Kind.CALL_WITHOUT_TRADE, number): None for number in day.calls.values()
    }
    with pytest.raises(UnknownFinding):
        review(engine, subjects, Decision.ACCEPTED, by="anna")
    assert rows(engine, day) == []
    del subjects[Subject(Kind.CALL_WITHOUT_TRADE, day.calls["kept.wav"])]
    assert len(review(engine, subjects, Decision.ACCEPTED, by="anna", reason="no orders")) == 5
    assert {row.kind for row in rows(engine, day)} == {"call_without_trade"}


def test_any_answer_can_be_reviewed_and_one_that_loses_its_evidence_is_another(engine: sa.Engine, day: Day) -> None:
    subject = Subject(Kind.ANSWER, day.calls["kept.wav"], 1)
    review(engine, {subject: None}, Decision.OVERRIDDEN, by="anna", value="No", reason="he says no")
    assert rows(engine, day)[0].machineValue == machine_answer("Yes", "verified") == "Yes (verified)"
    answer = t.audit_answer
    with writing(engine) as connection:
        lost = (answer.c.callId == subject.id) & (answer.c.questionId == 1)
        connection.execute(answer.update().where(lost).values(evidenceStatus="unverified"))
    assert find(engine, subject).state == "changed"
    assert find(engine, Subject(Kind.UNVERIFIED_QUOTE, subject.id, 1)).state == "changed", "one answer, one review"


def test_the_export_has_the_review_at_the_end_of_each_row(engine: sa.Engine, day: Day) -> None:
    subject = Subject(Kind.TRADE_WITHOUT_EVIDENCE, day.trades["no call"])
    review(engine, {subject: None}, Decision.OVERRIDDEN, by="anna", value="by letter", reason="=letter of 14 January")
    table = exceptions_table(engine, Wanted((day.batch,)), {day.batch: day.key})
    found = list(csv.DictReader(io.StringIO("".join(csv_text(table)).lstrip("\ufeff"))))
    assert table.columns[:4] == ("kind", "orderId", "audioName", "reason")
    assert table.columns[-5:] == ("review", "reviewReason", "reviewedBy", "reviewedAt", "reviewValue")
    assert len(found) == 16
    first = found[0]
    assert first["orderId"].startswith("'" + EVIL), "no cell is a formula"
    assert (first["kind"], first["audioName"], first["review"]) == ("trade without evidence", "", "overridden")
    assert (first["reviewReason"], first["reviewedBy"], first["reviewValue"]) == (
        "'=letter of 14 January", "anna", "by letter",
    )  # fmt: skip
    assert {row["review"] for row in found[1:]} == {""}


def test_the_exported_answers_have_their_reviews(engine: sa.Engine, day: Day, tmp_path: Path) -> None:
    for question, reason in ((1, "heard it"), (2, "misheard")):
        subject = Subject(Kind.ANSWER, day.calls["kept.wav"], question)
        review(engine, {subject: None}, Decision.OVERRIDDEN, by="anna", value="No", reason=reason)
    answer = t.audit_answer
    with writing(engine) as connection:
        second = (answer.c.callId == day.calls["kept.wav"]) & (answer.c.questionId == 2)
        connection.execute(answer.update().where(second).values(answer="No"))
    (path,) = export(engine, by_id(engine, day.batch, tmp_path), "json", tmp_path)
    rows = json.loads(path.read_text("utf-8"))["answers"]
    assert [(row["answer"], row["review"], row["reviewReason"], row["reviewValue"]) for row in rows] == [
        ("Yes", "overridden", "heard it", "No"), ("No", "changed", "misheard", "No"),
    ]  # fmt: skip


def test_a_purge_leaves_what_people_said_beside_what_the_machine_found(engine: sa.Engine, day: Day) -> None:
    subject = Subject(Kind.UNVERIFIED_QUOTE, day.calls["kept.wav"], 2)
    review(engine, {subject: None}, Decision.ACCEPTED, by="anna")
    (removal,) = [
        one
        for one in purge(engine, date(2036, 1, 1), lambda batch: lambda name: Path("none", name), by="ops")
        if one.batch_id == day.batch
    ]
    assert removal.kept is None
    assert find(engine, subject).state == "accepted"
