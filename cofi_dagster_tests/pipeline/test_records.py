"""The stages that work on tables: the CSVs, and triaging's answers to the questions that need trade data."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from cofi_dagster.audit.questionnaire import NO_TRADE_DATA
from cofi_dagster.database import tables as t
from cofi_dagster.pipeline.tracker import StageFailed
from cofi_dagster_tests.fleet_simulator import FleetSimulator, trades_of
from cofi_dagster_tests.pipeline.site import INTAKE, Site

Opening = Callable[..., Site]


def rewrite(path: Path, change: Callable[[list[dict[str, str]]], list[dict[str, str]]]) -> None:
    with path.open(newline="") as source:
        reader = csv.DictReader(source)
        columns, rows = list(reader.fieldnames or []), list(reader)
    with path.open("w", newline="") as out:
        writer = csv.DictWriter(out, columns)
        writer.writeheader()
        writer.writerows(change(rows))


def first_three(here: Site, batch: int, file: str) -> list[tuple[str, str]]:
    answers = here.answers(batch).get(file, {})
    return [(answers[q]["answer"], answers[q]["model"]) for q in sorted(answers)[:3]]


def test_a_batch_without_csvs_completes(each_site: Opening, machines: FleetSimulator) -> None:
    here = each_site(**machines.environment())
    batch = here.make(3, calls=False, trades=False)
    here.run(batch)
    assert here.status(batch) == "Completed"
    for name in ("callmetadata", "trademetadata"):
        state = here.stage(batch, name)
        assert (state.status, state.started is None, state.ended is None) == ("Complete", False, False)
        detail = t.stage_detail
        query = sa.select(detail.c.itemsTotal).where(detail.c.batchId == batch, detail.c.stage == name)
        assert here.rows(query) == [(0,)]
    for number in range(3):
        assert first_three(here, batch, f"call_{number:06d}.wav") == [(NO_TRADE_DATA, "triaging")] * 3
    assert here.calls(batch)["call_000000.wav"]["status"] == "Complete"


@pytest.mark.parametrize(
    ("name", "stage"), [("callMetadata.csv", "callmetadata"), ("tradeMetadata.csv", "trademetadata")]
)
def test_a_csv_that_lacks_columns_fails_the_batch_before_gpu_time_is_spent(
    each_site: Opening, machines: FleetSimulator, name: str, stage: str
) -> None:
    here = each_site(**machines.environment())
    batch = here.make(3)
    path = here.directory(batch) / name
    good = path.read_bytes()
    path.write_text("one,two\n1,2\n")
    with pytest.raises(StageFailed, match=f"{name} lacks the columns? "):
        here.run(batch)
    state = here.stage(batch, stage)
    assert (state.status, here.status(batch)) == ("Failed", "Failed")
    assert state.error is not None
    assert name in state.error
    assert state.ended is not None
    assert {service for service, _ in machines.counts()} == {"files"}
    path.write_bytes(good)
    here.run(batch, run="again")
    assert here.status(batch) == "Completed"
    assert machines.counts()["files", "call_000000.wav"] == 1


def test_bad_rows_are_on_record_with_their_lines(each_site: Opening, machines: FleetSimulator) -> None:
    here = each_site(**machines.environment())
    batch = here.make(3)
    with (here.directory(batch) / "tradeMetadata.csv").open("a") as out:
        out.write("1,2,C000000,9000000000,ITC,sideways,10,5,2026-01-15 09:00:00,,NSE,D1,traded\n")
    report = here.run(batch, *INTAKE)
    lines = len((here.directory(batch) / "tradeMetadata.csv").read_text().splitlines())
    assert (report.total, report.failed) == (lines - 1, 1)
    log = t.processing_logs
    query = sa.select(log.c.error_message).where(log.c.batch_id == batch, log.c.status == "failed")
    ((message,),) = here.rows(query)
    assert message.startswith(f"tradeMetadata.csv line {lines}: side")


def test_a_csv_again_replaces_its_rows(each_site: Opening, machines: FleetSimulator) -> None:
    here = each_site(**machines.environment())
    batch = here.make(3)
    other = here.make(2, "2026-01-16_1")
    here.run(batch, *INTAKE)
    here.run(other, *INTAKE)
    here.execute(t.batch_status.update().where(t.batch_status.c.id == batch).values(callmetadataStatus=0))
    here.run(batch, "callmetadata")
    counted = sa.select(t.call_metadata.c.batchId, sa.func.count()).group_by(t.call_metadata.c.batchId)
    assert dict(map(tuple, here.rows(counted))) == {batch: 3, other: 2}


def test_each_trade_finds_its_call_and_llm2_answers_all_questions(each_site: Opening, machines: FleetSimulator) -> None:
    here = each_site(**machines.environment())
    batch = here.make(6)
    here.run(batch)
    trade, call = t.trade_metadata, t.call_metadata
    query = sa.select(trade.c.audioName, call.c.audioName).join(call, call.c.clientCode == trade.c.clientCode)
    found = here.rows(query)
    assert len(found) == sum(len(trades_of(f"call_{number:06d}.wav")) for number in range(6))
    assert all(mine == its for mine, its in found)
    for answers in here.answers(batch).values():
        assert len(answers) == 20
        assert {row["model"] for row in answers.values()} == {"simulator"}
        assert {row["evidenceStatus"] for row in answers.values()} == {"verified"}


def test_a_call_without_a_trade_gets_three_answers_from_triaging_and_the_rest_from_llm2(
    each_site: Opening, machines: FleetSimulator
) -> None:
    here = each_site(**machines.environment())
    batch = here.make(4)
    alone = "call_000002.wav"
    path = here.directory(batch) / "tradeMetadata.csv"
    rewrite(path, lambda rows: [row for row in rows if row["clientCode"] != "C000002"])
    here.up_to(batch, "triaging")
    assert first_three(here, batch, alone) == [(NO_TRADE_DATA, "triaging")] * 3
    assert set(here.answers(batch)) == {alone}
    here.run(batch)
    for file, answers in here.answers(batch).items():
        assert len(answers) == 20
        by_triaging = [q for q, row in answers.items() if row["model"] == "triaging"]
        assert len(by_triaging) == (3 if file == alone else 0)


def test_a_call_that_becomes_evidence_after_its_audit_is_asked_again(
    each_site: Opening, machines: FleetSimulator
) -> None:
    here = each_site(**machines.environment())
    batch = here.make(3)
    late = "call_000002.wav"
    path = here.directory(batch) / "tradeMetadata.csv"
    whole = path.read_text()
    rewrite(path, lambda rows: [row for row in rows if row["clientCode"] != "C000002"])
    here.run(batch)
    assert first_three(here, batch, late) == [(NO_TRADE_DATA, "triaging")] * 3
    path.write_text(whole)
    here.execute(t.batch_status.update().values(trademetadataStatus=0))
    here.run(batch)
    assert here.status(batch) == "Completed"
    assert {row["model"] for row in here.answers(batch)[late].values()} == {"simulator"}
    assert len(here.answers(batch)[late]) == 20
    assert here.calls(batch)[late]["status"] == "Complete"


def test_a_call_that_is_only_weakly_matched_has_no_trade_data(each_site: Opening, machines: FleetSimulator) -> None:
    here = each_site(COFI_STAGES_DISABLED="triaging_step2", **machines.environment())
    batch = here.make(2)
    late = "2026-01-15 15:00:00"
    rewrite(
        here.directory(batch) / "tradeMetadata.csv",
        lambda rows: [{**row, "orderTime": late} if row["clientCode"] == "C000001" else row for row in rows],
    )
    here.up_to(batch, "triaging")
    assert first_three(here, batch, "call_000001.wav") == [(NO_TRADE_DATA, "triaging")] * 3
    mapping = t.trade_audio_mapping
    tiers = {row.matchTier for row in here.rows(sa.select(mapping).where(mapping.c.audioName == "call_000001.wav"))}
    assert tiers == {"weak_same_day"}
    trade = t.trade_metadata
    assert set(here.rows(sa.select(trade.c.audioName).where(trade.c.clientCode == "C000001"))) == {(None,)}


def test_a_call_that_step_two_maps_loses_the_answers_no_trade_data_found(
    each_site: Opening, machines: FleetSimulator
) -> None:
    here = each_site(**machines.environment())
    batch = here.make(4)
    spoken_of, nearer = "call_000001.wav", "call_000002.wav"

    def one_client(rows: list[dict[str, str]]) -> list[dict[str, str]]:
        return [{**row, "clientCode": "C1", "clientPhone": "9000000001"} if row["audioName"] in (spoken_of, nearer)
                else row for row in rows]  # fmt: skip

    def one_order(rows: list[dict[str, str]]) -> list[dict[str, str]]:
        mine = [row for row in rows if row["clientCode"] == "C000001"]
        return [{**row, "clientCode": "C1", "clientPhone": "9000000001", "orderTime": "2026-01-15 09:25:00"}
                for row in mine]  # fmt: skip

    rewrite(here.directory(batch) / "callMetadata.csv", one_client)
    rewrite(here.directory(batch) / "tradeMetadata.csv", one_order)
    here.up_to(batch, "triaging")
    assert first_three(here, batch, spoken_of) == [(NO_TRADE_DATA, "triaging")] * 3
    assert first_three(here, batch, nearer) == []
    here.run(batch)
    trades = {row[0] for row in here.rows(sa.select(t.trade_metadata.c.audioName))}
    assert trades == {spoken_of}
    assert {model for _, model in first_three(here, batch, spoken_of)} == {"simulator"}
    assert first_three(here, batch, nearer) == [(NO_TRADE_DATA, "triaging")] * 3
    withdrawn = here.rows(sa.select(t.audit_answer_history.c.answer))
    assert withdrawn == [(NO_TRADE_DATA,)] * 3
    assert {len(answers) for answers in here.answers(batch).values()} == {20}
