"""What an auditor has to look at: which rows are an exception of which kind, and how they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import sqlalchemy as sa

from cofi_dagster.audit import exceptions
from cofi_dagster.audit.exception_kinds import EXCEPTIONS, Kind
from cofi_dagster.audit.exceptions import Wanted
from cofi_dagster.audit.findings import Finding
from cofi_dagster.database import tables as t
from cofi_dagster.database.engine import reading, writing
from cofi_dagster.overview import exceptions as lines
from cofi_dagster.triage.grading import CONTENT_SHARE, LOW_SCORE, TIERS, WEAK_TIERS
from cofi_dagster_tests.audit.day import QUOTE, Day


def page(engine: sa.Engine, wanted: Wanted, limit: int = 50, offset: int = 0) -> list[Finding]:
    with reading(engine) as connection:
        return exceptions.page(connection, wanted, limit, offset)


def test_each_kind_has_its_own_and_nothing_that_is_fine_is_among_them(engine: sa.Engine, day: Day) -> None:
    names = {number: name for name, number in day.trades.items()}
    found = [
        (one.kind, names.get(one.trade_id or 0, one.audio_name), one.reason, one.detail)
        for one in page(engine, Wanted((day.batch,)))
    ]
    lost, weak = "no call before the order was found to be its evidence", "only weak matches"
    assert [(kind, what, reason.split(":")[0]) for kind, what, reason, _ in found] == [
        (Kind.TRADE_WITHOUT_EVIDENCE, "no call", lost),
        (Kind.TRADE_WITHOUT_EVIDENCE, "only weak", weak),
        (Kind.TRADE_WITHOUT_EVIDENCE, "withdrawn", "not discussed in the calls that might hold it"),
        (Kind.DISCREPANCY, "withdrawn", "not discussed"),
        (Kind.DISCREPANCY, "wrong quantity", "wrong quantity"),
        (Kind.WEAK_EVIDENCE, "only weak", weak),
        (Kind.WEAK_EVIDENCE, "low score", f"the score is below {LOW_SCORE:g}"),
        (Kind.UNVERIFIED_QUOTE, "kept.wav", "a quote was not found in the transcript"),
        *((Kind.CALL_WITHOUT_TRADE, f"{name}.wav", "it is the evidence of no trade")
          for name in ("other", "weak", "silent", "failed", "short")),
        (Kind.CALL_NOT_AUDITED, "silent.wav", "NoSpeech"),
        (Kind.CALL_NOT_AUDITED, "failed.wav", "Pending"),
        (Kind.CALL_NOT_AUDITED, "short.wav", "ShortCall"),
    ]  # fmt: skip
    assert {detail for *_, detail in found} - {None} == {
        "more was executed than said; said: BUY 5 INFY at 99", f"not found: “{QUOTE}”",
        "stt failed: HTTP 422: no samples",
    }  # fmt: skip


def test_the_numbers_of_all_kinds_add_up_whatever_is_asked_for(engine: sa.Engine, day: Day) -> None:
    everything = Wanted((day.batch,))
    with reading(engine) as connection:
        for wanted in (everything, replace(everything, client="A"), replace(everything, state="reviewed")):
            counts = exceptions.counts(connection, wanted)
            assert tuple(counts) == EXCEPTIONS
            assert sum(counts.values()) == len(exceptions.page(connection, wanted, 500, 0))
        assert list(exceptions.counts(connection, everything).values()) == [3, 2, 2, 1, 5, 3]
    assert len(list(exceptions.stream(engine, everything))) == 16


def test_they_are_sorted_with_what_is_unknown_last_and_come_in_pages(engine: sa.Engine, day: Day) -> None:
    wanted = Wanted((day.batch,), sort="score")
    for descending in (False, True):
        scores = [one.score for one in page(engine, replace(wanted, descending=descending))]
        known = [score for score in scores if score is not None]
        assert known == sorted(known, reverse=descending)
        assert scores[: len(known)] == known
    for sort in exceptions.SORTS:
        by = replace(wanted, sort=sort)
        parts = [one.subject for offset in range(0, 16, 6) for one in page(engine, by, 6, offset)]
        assert parts == [one.subject for one in page(engine, by)]


def test_a_client_is_found_by_how_its_code_begins_and_no_sign_is_a_joker(engine: sa.Engine, day: Day) -> None:
    found = page(engine, Wanted((day.batch,), client="A_"))
    assert [one.client for one in found] == ["A_1"]
    assert page(engine, Wanted((day.batch,), symbol="%")) == []
    assert {one.symbol for one in page(engine, Wanted((day.batch,), symbol="infy"))} == {"INFY"}


def test_of_a_call_there_are_its_own_exceptions_those_of_its_trades_and_every_answer(
    engine: sa.Engine, day: Day
) -> None:
    with reading(engine) as connection:
        found, answers = exceptions.of_call(connection, day.calls["kept.wav"])
        assert {one.kind for one in found} == {Kind.DISCREPANCY, Kind.WEAK_EVIDENCE, Kind.UNVERIFIED_QUOTE}
        assert sorted(answers) == [1, 2]
        of_other, _ = exceptions.of_call(connection, day.calls["other.wav"])
    assert {one.kind for one in of_other} == {
        Kind.TRADE_WITHOUT_EVIDENCE, Kind.DISCREPANCY, Kind.CALL_WITHOUT_TRADE,
    }  # fmt: skip


def test_the_newest_batch_is_one_with_something_in_it_and_days_are_cut_at_so_many_files(
    engine: sa.Engine, new_day: Callable[[], Day]
) -> None:
    days = [new_day() for _ in range(3)]
    with writing(engine) as connection:
        empty = t.batch_status.insert().values(batchDate=sa.func.current_date(), batchNumber=9, totalFiles=2)
        connection.execute(empty)
    with reading(engine) as connection:
        assert exceptions.newest_batch(connection) == days[-1].batch
        first = sa.select(t.batch_status.c.batchDate).where(t.batch_status.c.id == days[0].batch)
        since = connection.execute(first).scalar_one()
        last = exceptions.batches_between(connection, since, since, most_files=1)
        assert last == ((days[0].batch,), 1)
        ids, of = exceptions.batches_between(connection, since, None, most_files=14)
    assert (ids[1:], of) == ((days[2].batch, days[1].batch), 4)


def test_a_low_score_is_one_that_no_call_within_the_window_gets_where_every_word_agrees() -> None:
    edge = [CONTENT_SHARE + (1 - CONTENT_SHARE) * tier.worst for tier in TIERS if tier.name not in WEAK_TIERS]
    outside = [CONTENT_SHARE + (1 - CONTENT_SHARE) * tier.best for tier in TIERS if tier.name in WEAK_TIERS]
    assert max(outside) < LOW_SCORE <= min(edge)


def test_the_command_line_has_a_line_for_each_trade(engine: sa.Engine, day: Day) -> None:
    said = [line.partition("): ")[2] for line in lines(engine, day.batch)]
    assert said == [
        "no evidence, no call found before it", "no evidence, no call found before it",
        "no evidence, not discussed in other.wav", "wrong quantity in kept.wav",
        f"the score is below {LOW_SCORE:g} in kept.wav",
    ]  # fmt: skip
