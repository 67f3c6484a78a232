"""The private MariaDB, the batch maker and the settings fixture."""

import csv
import os
import shutil
import signal
import subprocess
import sys
import time
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psutil
import pymysql
import pytest
import sqlalchemy as sa

from cofi_dagster.settings import Settings
from cofi_dagster_tests.batches import make_batch
from cofi_dagster_tests.fleet_simulator import FleetSimulator, trades_of
from cofi_dagster_tests.mariadb import MariaDB, MariaDBMissingError, shared_server


def test_each_database_url_is_an_empty_database(database_url: str) -> None:
    engine = sa.create_engine(database_url)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE a (b INTEGER)"))
        assert connection.execute(sa.text("SELECT COUNT(*) FROM a")).scalar_one() == 0
    engine.dispose()


def test_the_server_is_strict_and_its_time_zone_is_not_utc(mariadb_server: MariaDB) -> None:
    engine = sa.create_engine(mariadb_server.fresh_database())
    with engine.begin() as connection:
        zone, mode = connection.execute(sa.text("SELECT @@time_zone, @@sql_mode")).one()
        assert zone == "+05:30"
        assert {"STRICT_TRANS_TABLES", "ONLY_FULL_GROUP_BY"} <= set(mode.split(","))
    engine.dispose()


def test_the_same_folder_means_the_same_server(tmp_path: Path) -> None:
    first = shared_server(tmp_path, os.getpid())
    assert shared_server(tmp_path, os.getpid()) == first


def test_the_server_ends_when_its_owner_is_killed(tmp_path: Path) -> None:
    owner = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    server = shared_server(tmp_path, owner.pid)
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    end = time.monotonic() + 10
    while (tmp_path / "mariadb.json").exists() and time.monotonic() < end:
        time.sleep(0.05)
    with pytest.raises(pymysql.err.OperationalError):
        pymysql.connect(host="127.0.0.1", port=server.port, user=server.user)


def test_the_server_ends_when_its_keeper_is_killed(tmp_path: Path) -> None:
    server = shared_server(tmp_path, os.getpid())
    note = str(tmp_path / "mariadb.json")
    keeper = next(p for p in psutil.process_iter(["cmdline"]) if note in (p.info["cmdline"] or ()))
    (child,) = keeper.children()
    keeper.kill()
    shutil.rmtree(Path(server.unix_socket).parent)
    assert psutil.wait_procs([child], timeout=10)[1] == []
    with pytest.raises(pymysql.err.OperationalError):
        pymysql.connect(host="127.0.0.1", port=server.port, user=server.user)


def test_a_machine_without_mariadb_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "which", lambda name, path: None)
    with pytest.raises(MariaDBMissingError, match="mariadb-server"):
        shared_server(tmp_path, os.getpid())


def _openai_form(path: Path) -> dict[str, Any]:
    form = {"model": "m", "language": "en", "response_format": "verbose_json"}
    return {"data": form, "files": {"file": (path.name, path.read_bytes())}}


def test_a_batch_has_readable_files_all_different_and_an_order_for_each_spoken_trade(tmp_path: Path) -> None:
    folder = make_batch(tmp_path, "2026-01-15_1", files=10)
    audio = sorted(folder.glob("*.wav"))
    assert len(audio) == len({path.read_bytes() for path in audio}) == 10
    with wave.open(str(audio[0])) as sound:
        assert (sound.getframerate(), sound.getnchannels(), sound.getnframes()) == (8000, 1, 400)
    with (folder / "callMetadata.csv").open() as source:
        calls = {row["clientCode"]: row for row in csv.DictReader(source)}
    with (folder / "tradeMetadata.csv").open() as source:
        orders = list(csv.DictReader(source))
    assert [row["audioName"] for row in calls.values()] == [path.name for path in audio]
    assert len(orders) == sum(len(trades_of(path.name)) for path in audio)
    assert all(calls[order["clientCode"]]["callStart"] < order["orderTime"] for order in orders)
    with FleetSimulator(machines=1) as fleet:
        told = {p.name: httpx.post(f"{fleet.url()}/v1/audio/transcriptions", **_openai_form(p)).json() for p in audio}
    assert {row["audioName"]: float(row["durationSeconds"]) for row in calls.values()} == {
        name: said["duration"] for name, said in told.items()
    }
    assert (folder / "_SUCCESS").exists()


def test_a_batch_may_have_any_names_and_lack_its_tables(tmp_path: Path) -> None:
    names = ["a b.wav", 'it\'s "q".wav', "कॉल.wav", "x" * 251 + ".wav"]
    folder = make_batch(tmp_path, "2026-01-15_2", files=names, calls=False, trades=False, complete=False)
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)


def test_settings_come_from_the_test_alone(settings: Callable[..., Settings], tmp_path: Path) -> None:
    made = settings(GPU_MACHINES="127.0.0.2,127.0.0.3", COFI_MAX_ATTEMPTS=1)
    assert (made.gpu_machines, made.max_attempts) == (("127.0.0.2", "127.0.0.3"), 1)
    assert made.home == tmp_path / "home"
    assert settings().gpu_machines == ()
