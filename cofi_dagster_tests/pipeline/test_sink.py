"""The sink: a group of files is committed whole or not at all, and a slow database holds the requests back."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import sqlalchemy as sa

from cofi_dagster.database import tables as t
from cofi_dagster.database.engine import is_sqlite, writing
from cofi_dagster.pipeline.tracker import StageFailed
from cofi_dagster_tests.fleet_simulator import FleetSimulator
from cofi_dagster_tests.pipeline.site import Site
from cofi_dagster_tests.pipeline.test_machines import in_background, requests_of, wait_for

Opening = Callable[..., Site]
BAD = "call_000003.wav"


def refuse(here: Site, table: str, condition: str, message: str) -> None:
    """Let the database refuse rows of a table that meet the condition (on ``NEW``)."""
    if is_sqlite(here.engine):
        here.execute(
            f"CREATE TRIGGER refuse BEFORE INSERT ON {table} WHEN {condition} "
            f"BEGIN SELECT RAISE(ABORT, '{message}'); END"
        )
        return
    here.execute(
        f"CREATE TRIGGER refuse BEFORE INSERT ON {table} FOR EACH ROW BEGIN IF {condition.replace('%', '%%')} THEN "
        f"SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '{message}'; END IF; END"
    )


def allow(here: Site) -> None:
    here.execute("DROP TRIGGER refuse")


def test_a_row_that_the_database_refuses_fails_its_file_alone(each_site: Opening, machines: FleetSimulator) -> None:
    here = each_site(**machines.environment())
    batch = here.make(20, trades=False)
    here.up_to(batch, "lid")
    refuse(here, "transcript", f"NEW.text LIKE '%{BAD}%'", "not these words")
    report = here.run(batch, "stt")
    assert (report.done, report.failed) == (19, 1)
    assert here.failures(batch) == {BAD: "the database refuses its result: not these words"}
    assert BAD not in here.transcripts(batch)
    assert BAD not in here.flagged(batch, "sttDone")
    assert len(here.logged(batch, "stt")) == 20
    assert all(len(statuses) == 1 for statuses in here.logged(batch, "stt").values())
    allow(here)
    assert here.run(batch, "stt").done == 20


def test_a_transaction_that_fails_leaves_nothing_half(each_site: Opening, machines: FleetSimulator) -> None:
    here = each_site(**machines.environment())
    batch = here.make(20, trades=False)
    here.up_to(batch, "lid")
    refuse(here, "processing_logs", "NEW.stage_name = 'stt'", "no log today")
    with pytest.raises(StageFailed, match="no log today"):
        here.run(batch, "stt")
    assert here.transcripts(batch) == {}
    assert here.flagged(batch, "sttDone") == set()
    assert {row["status"] for row in here.calls(batch).values()} == {"Pending"}
    assert here.stage(batch, "stt").status == "Failed"
    allow(here)
    assert here.run(batch, "stt").done == 20
    assert {len(words) for words in here.transcripts(batch).values()} == {4}


def test_result_flag_status_and_log_come_in_one_transaction(site: Opening, machines: FleetSimulator) -> None:
    here = site(COFI_COMMIT_FILES=5, COFI_CONCURRENCY_PER_MACHINE=2, **machines.environment())
    batch = here.make(40, trades=False)
    here.up_to(batch, "lid")
    machines.set_latency({"stt": 0.1})
    ended = in_background(lambda: here.run(batch, "stt"))
    seen: set[int] = set()
    files, call, log = t.file_distribution, t.call, t.processing_logs
    query = sa.select(
        sa.select(sa.func.count()).where(files.c.sttDone == 1).scalar_subquery(),
        sa.select(sa.func.count()).where(call.c.status == "TranscriptDone").scalar_subquery(),
        sa.select(sa.func.count(sa.distinct(t.transcript.c.callId))).scalar_subquery(),
        sa.select(sa.func.count()).where(log.c.stage_name == "stt").scalar_subquery(),
    )
    while not seen or max(seen) < 40:
        (counts,) = here.rows(query)
        assert len(set(counts)) == 1
        seen.add(counts[0])
        time.sleep(0.005)
    assert ended().done == 40
    assert len(seen) > 4


def test_a_database_that_is_behind_holds_the_requests_back(site: Opening, machines: FleetSimulator) -> None:
    here = site(COFI_COMMIT_FILES=5, COFI_CONCURRENCY_PER_MACHINE=4, **machines.environment())
    batch = here.make(200, trades=False)
    here.up_to(batch, "denoise")
    machines.set_latency({"ivr": 0.005})
    with writing(here.engine):
        pass
    ended = in_background(lambda: here.run(batch, "ivr"))
    wait_for(lambda: bool(requests_of(machines, "ivr")))
    with writing(here.engine):
        time.sleep(0.3)
        held = len(requests_of(machines, "ivr"))
        time.sleep(0.7)
        assert len(requests_of(machines, "ivr")) == held
        flagged = len(here.flagged(batch, "ivrDone"))
        assert held - flagged <= 5 + 4 * 5 + 2 * 4
    report = ended()
    assert (report.done, report.failed) == (200, 0)
    assert len(requests_of(machines, "ivr")) == 200


def test_a_finished_file_waits_no_longer_than_the_settings_say(site: Opening, machines: FleetSimulator) -> None:
    here = site(COFI_COMMIT_SECONDS=0.1, **machines.environment())
    batch = here.make(2, trades=False)
    here.up_to(batch, "lid")
    machines.set_latency({"stt": 0})
    machines.fault("delay", service="stt", file="call_000001.wav", seconds=2)
    ended = in_background(lambda: here.run(batch, "stt"))
    wait_for(lambda: here.flagged(batch, "sttDone") == {"call_000000.wav"}, seconds=1.5)
    assert ended().done == 2


@pytest.mark.parametrize("database_url", ["mariadb"], indirect=True)
def test_a_connection_that_breaks_is_survived(each_site: Opening, machines: FleetSimulator) -> None:
    here = each_site(COFI_COMMIT_FILES=5, **machines.environment())
    batch = here.make(60, trades=False)
    here.up_to(batch, "lid")
    machines.set_latency({"stt": 0.05})
    ended = in_background(lambda: here.run(batch, "stt"))
    for _ in range(4):
        time.sleep(0.1)
        _kill_connections(here)
    assert ended().done == 60
    assert {len(words) for words in here.transcripts(batch).values()} == {4}


def _kill_connections(here: Site) -> None:
    database = here.engine.url.database
    query = sa.text("SELECT id FROM information_schema.processlist WHERE db = :db AND id <> CONNECTION_ID()")
    with here.engine.connect() as connection:
        for (number,) in connection.execute(query, {"db": database}).all():
            try:
                connection.exec_driver_sql(f"KILL {number}")
            except sa.exc.OperationalError as error:
                assert "Unknown thread" in str(error)  # noqa: PT017 - it ended by itself
