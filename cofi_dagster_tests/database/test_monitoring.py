"""The SQL that people run by hand: each query and view on a server as strict as theirs, with data, and what it says."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa

from cofi_dagster.database.ddl import FILES
from cofi_dagster.database.upgrade import upgrade
from cofi_dagster_tests.database.conftest import Open
from cofi_dagster_tests.database.servers import ROOT, run_script

MONITORING = ROOT / "sql" / "monitoring"
DATA = """
INSERT INTO batchStatus (id, batchDate, batchNumber, status, totalFiles, dbInsertionStatus, dbInsertionStartTime,
  dbInsertionEndTime, lidStatus, lidStartTime, lidEndTime, llm1StartTime, llm1EndTime, triagingStep2StartTime)
VALUES
(1, CURDATE(), 1, 'Completed', 5000, 'Complete', '2026-01-15 10:00:00', '2026-01-15 10:10:00',
 'Complete', '2026-01-15 10:10:00', '2026-01-15 11:00:00', NULL, NULL, NULL),
(2, CURDATE(), 2, 'Completed', 5001, 'Complete', '2026-01-15 10:00:00', '2026-01-15 10:20:00',
 'Complete', '2026-01-15 10:20:00', '2026-01-15 12:00:00', NULL, NULL, NULL),
(3, CURDATE(), 3, 'llm1Done', 10, 'Complete', NOW() - INTERVAL 50 MINUTE, NOW() - INTERVAL 45 MINUTE,
 'Complete', NOW() - INTERVAL 45 MINUTE, NOW() - INTERVAL 40 MINUTE,
 NOW() - INTERVAL 40 MINUTE, NOW() - INTERVAL 31 MINUTE, NOW() - INTERVAL 30 MINUTE),
(4, '2020-01-01', 1, 'Cancelled', 10, 'Pending', NULL, NULL, 'Pending', NULL, NULL, NULL, NULL, NULL),
(5, CURDATE() - INTERVAL 1 DAY, 1, 'Completed', 101, 'Complete', '2026-01-15 10:00:00', '2026-01-15 10:30:00',
 'Failed', '2026-01-15 10:30:00', '2026-01-15 10:40:00', NULL, NULL, NULL);
INSERT INTO fileDistribution (file, batchId, ip, lidDone, sttDone)
  SELECT CONCAT('f', LPAD(seq, 3, '0'), '.wav'), 3, 'm', 1, 0 FROM seq_1_to_150;
INSERT INTO `call` (batchId, audioName, status)
  SELECT 3, CONCAT('f', seq, '.wav'), IF(seq <= 90, 'Complete', 'ShortCall') FROM seq_1_to_150;
INSERT INTO processing_logs (batch_id, stage_name, status, created_at) VALUES
 (3, 'stt', 'failed', '2026-01-15 10:00:00'), (3, 'stt', 'failed', '2026-01-15 11:00:00'),
 (3, 'stt', 'success', '2026-01-15 12:00:00'), (3, 'lid', 'failed', '2026-01-15 09:00:00'), (4, 'lid', 'failed', NOW());
INSERT INTO batchExecutionLog (batchId, stage, eventType, status) VALUES
 (3, 'stt', 'stage_start', 'InProgress'), (3, 'lid', 'stage_start', 'InProgress'),
 (3, 'stt', 'file_error', 'failed'), (3, 'stt', 'file_error', 'failed'), (4, 'stt', 'file_error', 'failed');
"""


@pytest.fixture
def filled(server: sa.Engine) -> sa.Engine:
    """A database of this version with a few batches."""
    upgrade(server)
    with server.begin() as connection:
        run_script(connection, DATA)
    return server


@pytest.fixture
def ask(filled: sa.Engine) -> Any:
    """Run a monitoring query as a person would: in a session of the server's own strict mode and time zone."""

    def run(name: str, batch: int = 3) -> list[dict[str, Any]]:
        (path,) = MONITORING.glob(f"{name}*.sql")
        with filled.connect() as connection:
            connection.exec_driver_sql("SET sql_mode = @@GLOBAL.sql_mode, time_zone = @@GLOBAL.time_zone")
            connection.exec_driver_sql(f"SET @batch_id = {batch}")
            (rows,) = run_script(connection, path.read_text("utf-8"))
        return rows

    return run


def test_stage_durations_total_to_the_end_of_the_last_stage_that_ran(ask: Any) -> None:
    (row,) = ask("01", batch=2)
    assert (row["file_distribution_duration_sec"], row["lid_duration_sec"]) == (1200, 6000)
    assert row["llm2_duration_sec"] is None
    assert row["total_duration_sec"] == 7200


def test_average_durations_are_of_completed_batches(ask: Any) -> None:
    (row,) = ask("02")
    assert row["avg_lid_sec"] == (3000 + 6000 + 600) / 3
    assert row["avg_file_distribution_sec"] == (600 + 1200 + 1800) / 3
    assert row["avg_stt_sec"] is None


def test_bottlenecks_are_all_stages_the_slowest_first(ask: Any) -> None:
    rows = ask("03")
    assert len(rows) == 11
    assert [row["stage"] for row in rows[:3]] == ["lid", "file_distribution", "llm1"]
    assert rows[0]["avg_duration"] == (3000 + 6000 + 300 + 600) / 4


def test_the_current_stage_after_llm1_is_triaging_step_2_and_its_minutes_are_utc(ask: Any) -> None:
    (row,) = ask("04")
    assert (row["id"], row["current_stage"], row["stage_running_minutes"]) == (3, "Triaging Step 2", 30)


def test_performance_is_by_size_class_smallest_first(ask: Any) -> None:
    rows = ask("05")
    assert [(row["size_class"], row["batch_count"], row["avg_total_minutes"]) for row in rows] == [
        ("101-1000", 1, Decimal(40)),
        ("1001-5000", 1, Decimal(60)),
        ("5001+", 1, Decimal(120)),
    ]


def test_todays_batches_are_those_of_the_utc_day(ask: Any) -> None:
    rows = ask("06")
    assert [row["id"] for row in rows] == [3, 2, 1]
    assert rows[0]["lidStatus"] == "Complete"
    assert rows[0]["triagingStep2Status"] == "Pending"


def test_the_first_hundred_files_are_shown_in_order(ask: Any) -> None:
    rows = ask("07")
    assert [row["file"] for row in rows] == [f"f{number:03d}.wav" for number in range(1, 101)]
    assert rows[0] == dict.fromkeys(rows[0], 0) | {"file": "f001.wav", "lidDone": 1}


def test_calls_are_counted_by_status(ask: Any) -> None:
    assert {row["status"]: row["count"] for row in ask("08")} == {"Complete": 90, "ShortCall": 60}


def test_errors_are_counted_by_stage(ask: Any) -> None:
    rows = {row["stage_name"]: (row["error_count"], str(row["last_error"])) for row in ask("09")}
    assert rows == {"stt": (2, "2026-01-15 11:00:00"), "lid": (1, "2026-01-15 09:00:00")}


def test_events_are_counted_in_order(ask: Any) -> None:
    assert [tuple(row.values()) for row in ask("10")] == [
        ("lid", "stage_start", "InProgress", 1),
        ("stt", "file_error", "failed", 2),
        ("stt", "stage_start", "InProgress", 1),
    ]


def test_every_monitoring_query_is_asked_above() -> None:
    assert len(list(MONITORING.glob("*.sql"))) == 10


@pytest.mark.parametrize(("kind", "path"), [("schema", "sql/schema.mysql.sql"), ("views", "sql/views.sql")])
def test_the_sql_files_are_current(kind: str, path: str) -> None:
    current = FILES[kind]()
    assert (ROOT / path).read_text("utf-8") == current, f"python -m cofi_dagster.database.ddl {kind} > {path}"


def test_the_schema_file_makes_the_tables_that_the_upgrade_makes(server: sa.Engine) -> None:
    with server.begin() as connection:
        for path in ("schema.mysql.sql", "views.sql"):
            run_script(connection, (ROOT / "sql" / path).read_text("utf-8"))
    done = upgrade(server)
    assert [line for line in done if line.startswith(("added table", "added column", "changed"))] == []


# -- views -----------------------------------------------------------------------------------------------------


ROWS = """
INSERT INTO batchStatus (id, batchDate, batchNumber, status, kind, dbInsertionStatus, dbInsertionStartTime,
  dbInsertionEndTime, callmetadataStatus, trademetadataStatus, denoiseStatus, ivrStatus, lidStatus, lidStartTime)
VALUES
(1, '2026-01-15', 1, 'ivrDone', 'batch', 'Complete', '2026-01-15 10:00:00', '2026-01-15 10:00:04.5', 1, 1, 'Skipped',
 'Complete', 'InProgress', '2026-01-15 10:01:00'),
(2, '2026-01-15', 2, 'Failed', 'upload', 'Complete', '2026-01-15 10:00:00', '2026-01-15 10:00:01.5', 0, 0, 'Pending',
 'Pending', 'Failed', '2026-01-15 10:01:00'),
(3, '2026-01-15', 3, 'Completed', 'batch', 'Complete', NULL, NULL, 1, 1, 'Complete', 'Complete', 'Complete', NULL),
(4, '2026-01-15', 4, 'Pending', 'batch', 'Pending', NULL, NULL, 0, 0, 'Pending', 'Pending', 'Pending', NULL);
"""


@pytest.fixture
def viewed(opened: Open, database_url: str) -> sa.Engine:
    """A database with four batches, on each kind."""
    engine = opened(database_url)
    upgrade(engine)
    with engine.begin() as connection:
        run_script(connection, ROWS)
    return engine


def _view(engine: sa.Engine, name: str, key: str) -> dict[Any, dict[str, Any]]:
    with engine.connect() as connection:
        rows = connection.exec_driver_sql(f"SELECT * FROM {name}").mappings().all()
    return {row[key]: dict(row) for row in rows}


def test_the_batches_view_says_where_each_batch_is(viewed: sa.Engine) -> None:
    rows = _view(viewed, "vw_batches_by_stage", "id")
    assert {number: row["current_stage"] for number, row in rows.items()} == {
        1: "lid", 2: "lid", 3: None, 4: "file_distribution",
    }  # fmt: skip
    assert {number: float(row["progress_percentage"]) for number, row in rows.items()} == {
        1: 45.45, 2: 20.0, 3: 100.0, 4: 0.0,
    }  # fmt: skip
    detail = json.loads(rows[1]["file_distribution_status"])
    assert (detail["status"], detail["started_at"][:19], float(detail["duration_seconds"])) == (
        "completed", "2026-01-15 10:00:00", 4.5,
    )  # fmt: skip
    assert json.loads(rows[1]["denoise_status"])["status"] == "skipped"
    assert rows[2]["denoise_status"] is None, "an upload does not go through it"


def test_the_statistics_view_counts_batches_by_stage(viewed: sa.Engine) -> None:
    rows = _view(viewed, "vw_stage_statistics", "stage_name")
    assert len(rows) == 11
    lid = rows["lid"]
    assert [int(lid[f"{name}_count"]) for name in ("pending", "processing", "completed", "failed", "skipped")] == [
        1, 1, 1, 1, 0,
    ]  # fmt: skip
    assert int(rows["denoise"]["pending_count"]) == 1, "the upload is not waiting for it"
    assert int(rows["callmetadata"]["completed_count"]) == 2
    assert float(rows["file_distribution"]["avg_duration_seconds"]) == 3.0
    assert rows["stt"]["avg_duration_seconds"] is None
