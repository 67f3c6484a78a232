"""Dagster's own storage on MariaDB: by one setting, without the pits, and a whole batch with everything on it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster._core.scheduler.instigation import InstigatorType, TickData, TickStatus
from dagster._core.storage.runs.schema import SnapshotsTable
from dagster_mysql import MySQLEventLogStorage

from cofi_dagster.database import tables as t
from cofi_dagster.database.engine import DatabaseError
from cofi_dagster.orchestration.instance import open_instance
from cofi_dagster.orchestration.storage import open_storage, storage_url
from cofi_dagster.settings import Settings, SettingsError, current
from cofi_dagster_tests.batches import make_batch
from cofi_dagster_tests.database.conftest import Open
from cofi_dagster_tests.fleet_simulator import FleetSimulator
from cofi_dagster_tests.mariadb import MariaDB

COFI = Path(sys.executable).with_name("cofi")
PATIENCE = 200
BIG = 300_000


@pytest.fixture
def on_server(
    settings: Callable[..., Settings], mariadb_server: MariaDB, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Settings]:
    """Settings with COFI and Dagster in one database of MariaDB, in the environment too."""
    url = mariadb_server.fresh_database()
    made = settings(COFI_DATABASE_URL=url, COFI_DAGSTER_DATABASE_URL=url)
    for name, value in _environment(made).items():
        monkeypatch.setenv(name, value)
    current.cache_clear()
    yield made
    current.cache_clear()


def _environment(made: Settings) -> dict[str, str]:
    assert made.database_url is not None
    url = made.database_url.get_secret_value()
    return {"COFI_HOME": str(made.home), "COFI_DATABASE_URL": url, "COFI_DAGSTER_DATABASE_URL": url}


@pytest.fixture
def instance(on_server: Settings) -> Iterator[dg.DagsterInstance]:
    """COFI's Dagster instance on MariaDB."""
    with open_instance(on_server) as opened:
        yield opened


def test_one_setting_puts_dagster_on_the_server_and_no_file_names_it(
    instance: dg.DagsterInstance, on_server: Settings
) -> None:
    assert isinstance(instance.event_log_storage, MySQLEventLogStorage)
    port = str(storage_url(on_server).port)  # type: ignore[union-attr]
    written = [path.read_text() for path in on_server.dagster_home.rglob("*") if path.is_file()]
    assert written
    assert not any(port in text or "mysql" in text for text in written)


def test_without_the_setting_it_is_sqlite_in_its_home(
    settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = settings()
    monkeypatch.setenv("COFI_HOME", str(made.home))
    current.cache_clear()
    with open_instance(made) as opened:
        opened.add_dynamic_partitions("batches", ["2026-01-15_1"])
    current.cache_clear()
    assert list(made.dagster_home.rglob("runs.db"))


def test_a_snapshot_of_more_than_64_kb_survives(
    instance: dg.DagsterInstance, on_server: Settings, opened: Open
) -> None:
    body = os.urandom(BIG)
    engine = opened(str(on_server.database_url.get_secret_value()))  # type: ignore[union-attr]
    with engine.begin() as connection:
        row = {"snapshot_id": "big", "snapshot_body": body, "snapshot_type": "PIPELINE"}
        connection.execute(SnapshotsTable.insert().values(row))
        stored = connection.execute(sa.select(SnapshotsTable.c.snapshot_body)).scalar_one()
    assert bytes(stored) == body


def test_a_job_whose_snapshot_is_more_than_64_kb_runs(instance: dg.DagsterInstance) -> None:
    notes = [os.urandom(BIG // 8).hex() for _ in range(8)]

    def op_of(number: int) -> dg.OpDefinition:
        return dg.OpDefinition(
            compute_fn=lambda context, inputs: iter([dg.Output(None)]), name=f"op{number}", description=notes[number]
        )

    job = dg.GraphDefinition(name="large", node_defs=[op_of(number) for number in range(8)]).to_job(
        executor_def=dg.in_process_executor
    )
    result = job.execute_in_process(instance=instance)
    assert result.success
    snapshot_id = instance.get_run_by_id(result.run_id).job_snapshot_id  # type: ignore[union-attr]
    described = {
        node.name: node.description
        for node in instance.get_job_snapshot(str(snapshot_id)).node_defs_snapshot.op_def_snaps
    }
    assert described == {f"op{number}": note for number, note in enumerate(notes)}


def test_a_tick_with_very_many_runs_is_recorded(instance: dg.DagsterInstance) -> None:
    keys = [f"batch:2026-01-15_{number}" for number in range(5000)]
    tick = TickData("origin", "sensor", InstigatorType.SENSOR, TickStatus.STARTED, time.time(), selector_id="selector")
    made = instance.create_tick(tick)
    instance.update_tick(_with_runs(made, keys))
    (found,) = instance.get_ticks("origin", "selector")
    assert list(found.run_keys) == keys


def _with_runs(tick: Any, keys: list[str]) -> Any:
    for key in keys:
        tick = tick.with_run_info(run_id=None, run_key=key)
    return tick


def test_partitions_and_pools_work(instance: dg.DagsterInstance) -> None:
    instance.add_dynamic_partitions("batches", ["2026-01-15_1", "2026-01-15_2"])
    assert instance.get_dynamic_partitions("batches") == ["2026-01-15_1", "2026-01-15_2"]
    storage = instance.event_log_storage
    storage.initialize_concurrency_limit_to_default("stt")
    first = storage.claim_concurrency_slot("stt", "run-1", "stt")
    second = storage.claim_concurrency_slot("stt", "run-2", "stt")
    assert (first.is_claimed, second.is_claimed) == (True, False)
    storage.free_concurrency_slots_for_run("run-1")
    assert storage.claim_concurrency_slot("stt", "run-2", "stt").is_claimed


def test_times_are_utc_whatever_the_server_s_zone(instance: dg.DagsterInstance) -> None:
    run = dg.job(name="quick")(lambda: None).execute_in_process(instance=instance)
    record = instance.get_run_record_by_id(run.run_id)
    assert record is not None
    assert abs(record.create_timestamp.timestamp() - time.time()) < 60
    assert abs((record.start_time or 0) - time.time()) < 60


def test_a_database_whose_alembic_version_is_another_s_is_refused(
    settings: Callable[..., Settings], server: sa.Engine
) -> None:
    with server.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32) PRIMARY KEY)")
    url = server.url.render_as_string(hide_password=False)
    with pytest.raises(DatabaseError, match="give Dagster a database of its own"):
        open_storage(settings(COFI_DAGSTER_DATABASE_URL=url))


def test_a_server_that_is_away_is_one_sentence_without_the_password(settings: Callable[..., Settings]) -> None:
    made = settings(COFI_DAGSTER_DATABASE_URL="mysql://cofi:hunter2@127.0.0.1:1/cofi")
    with pytest.raises(DatabaseError, match=r"Dagster's storage: the database .* cannot be used") as refusal:
        open_storage(made)
    assert "hunter2" not in str(refusal.value)


def test_another_kind_of_database_is_refused(settings: Callable[..., Settings]) -> None:
    with pytest.raises(SettingsError, match="COFI_DAGSTER_DATABASE_URL: 'sqlite' is not supported"):
        storage_url(settings(COFI_DAGSTER_DATABASE_URL="sqlite:///x.db"))


# -- the whole path ----------------------------------------------------------------------------------------------


@pytest.mark.timeout(300)
def test_a_batch_completes_with_everything_on_mariadb(
    on_server: Settings, quick_fleet: FleetSimulator, opened: Open
) -> None:
    """`db upgrade` and `batch run` as processes of their own."""
    environment = {**os.environ, **_environment(on_server), **quick_fleet.environment()}
    make_batch(on_server.batches, "2026-01-15_1", 12)

    def cofi(*words: str) -> str:
        done = subprocess.run(
            [COFI, *words], check=False, env=environment, capture_output=True, text=True, timeout=PATIENCE
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert "added table batchStatus" in cofi("db", "upgrade")
    directory = str(on_server.batches / "2026-01-15_1")
    assert cofi("batch", "run", directory).splitlines()[-1] == "batch 1 Completed"
    engine = opened(environment["COFI_DATABASE_URL"])
    with engine.connect() as connection:
        flags = connection.execute(sa.select(sa.func.sum(t.file_distribution.c.llm2Done))).scalar_one()
        runs = connection.exec_driver_sql("SELECT status, COUNT(*) FROM runs GROUP BY status").all()
        places = connection.exec_driver_sql("SELECT `partition` FROM dynamic_partitions").scalars().all()
    assert (int(flags), [tuple(row) for row in runs], places) == (12, [("SUCCESS", 1)], ["2026-01-15_1"])


@pytest.mark.timeout(300)
def test_the_sensor_takes_a_batch_to_its_end_with_everything_on_mariadb(
    on_server: Settings, quick_fleet: FleetSimulator, opened: Open, free_port: Callable[[], int], tmp_path: Path
) -> None:
    """`cofi up`: the daemon's sensor finds the directory, the queue launches its run, the pools let it through."""
    environment = {**os.environ, **_environment(on_server), **quick_fleet.environment()}
    environment["COFI_WEB_PORT"] = str(free_port())
    make_batch(on_server.batches, "2026-01-15_7", 5)
    engine = opened(environment["COFI_DATABASE_URL"])
    with (tmp_path / "up.log").open("wb") as log:
        up = subprocess.Popen([COFI, "up"], env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            status = _await_completed(engine, up)
        finally:
            up.send_signal(signal.SIGINT)
            up.wait(30)
    assert status == "Completed", (tmp_path / "up.log").read_text(errors="replace")[-3000:]
    with engine.connect() as connection:
        ticks = connection.exec_driver_sql("SELECT COUNT(*) FROM job_ticks WHERE status = 'SUCCESS'").scalar_one()
        limits = connection.exec_driver_sql("SELECT COUNT(*) FROM concurrency_limits").scalar_one()
    assert ticks >= 1
    assert limits >= 1


def _await_completed(engine: sa.Engine, up: subprocess.Popen[bytes]) -> str | None:
    end = time.monotonic() + PATIENCE
    status = None
    while time.monotonic() < end and up.poll() is None and status not in ("Completed", "Failed"):
        time.sleep(0.5)
        with engine.connect() as connection:
            if not sa.inspect(connection).has_table("batchStatus"):
                continue
            status = connection.execute(sa.select(t.batch_status.c.status)).scalars().first()
    return status
