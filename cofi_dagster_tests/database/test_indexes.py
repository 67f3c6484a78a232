"""No query of COFI's or of the monitoring scans a whole large table: asked of the server's own plans (``EXPLAIN``)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from cofi_dagster.audit.exception_kinds import EXCEPTIONS
from cofi_dagster.audit.exceptions import Wanted, counts, find, newest_batch, of_call, page
from cofi_dagster.audit.findings import Subject
from cofi_dagster.database.engine import connect, reading
from cofi_dagster.database.retention import hold, purge, release
from cofi_dagster.database.upgrade import upgrade
from cofi_dagster.overview import batch_lines, batch_rows, exceptions
from cofi_dagster.settings import Settings
from cofi_dagster.web.pages.call_search import by_answer, by_batch, by_metadata, by_symbol, by_word, search
from cofi_dagster_tests.database.servers import ROOT, run_script, statements
from cofi_dagster_tests.fleet_simulator import FleetSimulator
from cofi_dagster_tests.mariadb import MariaDB
from cofi_dagster_tests.pipeline.site import Site

BATCHES = 400
FILES = 50
LARGE = (
    "fileDistribution", "call", "callMetadata", "tradeMetadata", "tradeAudioMapping", "lidStatus", "ivrSegment",
    "transcript", "callConversation", "auditAnswer", "processing_logs", "batchExecutionLog", "stageDetail",
)  # fmt: skip
FILL = f"""
INSERT INTO batchStatus (id, batchDate, batchNumber, status, totalFiles)
  SELECT seq, '2023-01-01' + INTERVAL seq DAY, 1, 'Completed', {FILES} FROM seq_1_to_{BATCHES};
INSERT INTO fileDistribution (id, batchId, file, ip, denoiseDone, ivrDone, lidDone, sttDone, llm1Done, llm2Done)
  SELECT seq + 1, 1 + (seq DIV {FILES}), CONCAT('f', seq, '.wav'), 'm', 1, 1, 1, 1, 1, 1
  FROM seq_0_to_{BATCHES * FILES - 1};
INSERT INTO `call` (id, batchId, audioName, status, lang, audioDuration)
  SELECT id, batchId, file, 'Complete', 'en', 60 FROM fileDistribution;
INSERT INTO callMetadata (batchId, audioName, clientCode) SELECT batchId, file, CONCAT('C', id) FROM fileDistribution;
INSERT INTO tradeMetadata (batchId, orderId, audioName) SELECT batchId, id, file FROM fileDistribution;
INSERT INTO tradeAudioMapping (batchId, tradeMetadataId, callId, audioName, matchTier, step)
  SELECT batchId, id, id, file, 'client_before_order', 1 FROM fileDistribution;
INSERT INTO lidStatus (batchId, file, language) SELECT batchId, file, 'en' FROM fileDistribution;
INSERT INTO ivrSegment (callId, kind) SELECT id, 'silence' FROM fileDistribution;
INSERT INTO transcript (callId, segmentIndex, text) SELECT id, 0, 'x' FROM fileDistribution;
INSERT INTO callConversation (callId, symbol) SELECT id, 'INFY' FROM fileDistribution;
INSERT INTO auditAnswer (callId, questionId, answer) SELECT id, 1, 'yes' FROM fileDistribution;
INSERT INTO processing_logs (call_id, batch_id, stage_name, status) SELECT id, batchId, 'stt', 'success' FROM `call`;
INSERT INTO batchExecutionLog (batchId, stage, eventType) SELECT batchId, 'stt', 'file_error' FROM `call`;
INSERT INTO stageDetail (batchId, stage) SELECT seq, 'stt' FROM seq_1_to_{BATCHES};
ANALYZE TABLE {", ".join(f"`{name}`" for name in LARGE)};
"""


@pytest.fixture(scope="module")
def large(mariadb_server: MariaDB) -> Iterator[sa.Engine]:
    """A database with 400 batches of 50 files that went through everything."""
    engine = connect(mariadb_server.fresh_database())
    upgrade(engine)
    with engine.begin() as connection:
        run_script(connection, FILL)
    yield engine
    engine.dispose()


def plan_of(connection: sa.Connection, statement: str, parameters: Any = ()) -> list[str]:
    """What a statement does to large tables that it should not: a line each."""
    rows = connection.exec_driver_sql(f"EXPLAIN {statement}", parameters).mappings().all()
    aliased = {name.strip("`").lower() for name in LARGE}
    return [
        f"{row['table']}: {row['type']} over {row['rows']} rows"
        for row in rows
        if row["type"] in ("ALL", "index")
        and str(row["table"]).lower() in aliased
        and int(row["rows"] or 0) > FILES * 4
    ]


@pytest.mark.parametrize("path", sorted((ROOT / "sql" / "monitoring").glob("*.sql")), ids=lambda path: path.stem)
def test_no_monitoring_query_scans_a_large_table(large: sa.Engine, path: Path) -> None:
    with large.connect() as connection:
        connection.exec_driver_sql("SET @batch_id = 7")
        for statement in statements(path.read_text("utf-8")):
            if statement.startswith("SELECT"):
                assert plan_of(connection, statement.replace("%", "%%")) == []


def test_no_query_of_a_batch_from_its_start_to_its_end_scans_a_large_table(
    large: sa.Engine, settings: Callable[..., Settings], quick_fleet: FleetSimulator
) -> None:
    site = Site.on(settings(**quick_fleet.environment()), large)
    asked = _recorded(large, lambda: _everything(site))
    assert len(asked) > 60
    scans = {}
    with large.connect() as connection:
        for statement, parameters in asked.items():
            if found := plan_of(connection, statement, parameters):
                scans[statement] = found
    assert scans == {}


def _everything(site: Site) -> None:
    """A batch of 30 files through all stages and again, and what a person and a purge ask about it."""
    batch = site.make(30, key="2026-01-15_1")
    site.run(batch)
    site.run(batch)
    assert site.status(batch) == "Completed"
    list(batch_rows(site.engine, 20))
    list(batch_lines(site.engine, site.settings, batch))
    exceptions(site.engine, batch)
    _what_an_auditor_asks(site, batch)
    _calls_that_are_looked_for(site, batch)
    hold(site.engine, batch, None, reason="inquiry", by="asha")
    release(site.engine, batch, None, reason="closed", by="asha")
    list(purge(site.engine, date(2023, 1, 4), lambda batch: Path, by="ops", dry_run=True))


def _what_an_auditor_asks(site: Site, batch: int) -> None:
    """The exceptions of a batch and of some, sorted and chosen, each looked at; and those of a call."""
    with reading(site.engine) as connection:
        newest_batch(connection)
        for wanted in (Wanted((batch,)), Wanted((batch, 3, 2), sort="at", state="open", client="C")):
            counts(connection, wanted)
            page(connection, wanted, 50, 0)
        find(connection, [Subject(kind, number) for kind in EXCEPTIONS for number in range(200, 250)])
        of_call(connection, 200)


def _calls_that_are_looked_for(site: Site, batch: int) -> None:
    """By each thing that calls are found by; what many have in common and what few have; and a page further on."""
    wishes = (
        by_metadata("clientCode", ["C200"]),
        by_metadata("clientPhone", ["9820001007", "+919820001007"]),
        by_metadata("dealerId", ["D1"]),
        by_symbol(["INFY"]),
        by_symbol(["NONE"]),
        by_batch(batch),
        by_word("status", "NoSpeech"),
        by_word("lang", "en"),
        by_answer(1, "yes"),
    )
    with reading(site.engine) as connection:
        for wish in wishes:
            found = search(connection, [wish], 50)
            search(connection, [wish], 50, after=found.call_ids[-1] if found.call_ids else 1)


def _recorded(engine: sa.Engine, act: Callable[[], None]) -> dict[str, Any]:
    """The statements that something runs, each with the parameters of its first run."""
    asked: dict[str, Any] = {}

    def record(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        shape = " ".join(statement.split())[:400]
        if statement.startswith(("SELECT", "UPDATE", "DELETE")) and "information_schema" not in statement:
            shapes.setdefault(shape, (statement, parameters[0] if many else parameters))

    shapes: dict[str, tuple[str, Any]] = {}
    sa.event.listen(engine, "before_cursor_execute", record)
    try:
        act()
    finally:
        sa.event.remove(engine, "before_cursor_execute", record)
    asked.update(shapes.values())
    return asked
