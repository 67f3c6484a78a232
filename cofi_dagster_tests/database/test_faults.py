"""The database fails while a stage writes: what passes is waited out, the rest is one sentence, nothing is half."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pymysql
import pytest
import sqlalchemy as sa

from cofi_dagster.adhoc import reaudit, tasks
from cofi_dagster.database import faults
from cofi_dagster.database import tables as t
from cofi_dagster.database.engine import connect, writing
from cofi_dagster.database.transactions import transact
from cofi_dagster.database.upgrade import missing, ready, upgrade
from cofi_dagster.pipeline import batches, lease
from cofi_dagster.pipeline.progress import Tally, Unwatched
from cofi_dagster.pipeline.sink import Sink, SinkError, SinkSettings
from cofi_dagster.pipeline.tracker import Tracker
from cofi_dagster.pipeline.work import Outcome, State, Work
from cofi_dagster.settings import Settings
from cofi_dagster.stages import BY_NAME
from cofi_dagster_tests.database.conftest import Open
from cofi_dagster_tests.database.own_server import LossyWire, OwnServer
from cofi_dagster_tests.database.servers import ROOT
from cofi_dagster_tests.fleet_simulator import FleetSimulator
from cofi_dagster_tests.pipeline.site import Site

FILES = 400
GROUP = 20
BATCH = 1
BIG_ROW = 200_000
WORDS = "खरीदो 👍"


_TOUCHED = (
    t.batch_status, t.file_distribution, t.call, t.transcript, t.processing_logs, t.batch_execution_log, t.batch_lease,
    t.stage_detail,
)  # fmt: skip

_PROBES = [(socket.SOL_SOCKET, "SO_KEEPALIVE")] + [
    (socket.IPPROTO_TCP, name) for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")
]

_FULL = """
CREATE TRIGGER cofi.is_full BEFORE INSERT ON cofi.transcript FOR EACH ROW
IF (SELECT COUNT(*) FROM cofi.transcript) >= 100 THEN
    SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1114, MESSAGE_TEXT = 'The table ''transcript'' is full';
END IF
"""  # the server's own answer to a full disk; a tablespace that is really full now and then aborts the whole server


@pytest.fixture(scope="module")
def own() -> Iterator[OwnServer]:
    """A server that these tests may break, and leave in order."""
    with OwnServer() as server:
        engine = connect(server.url())
        upgrade(engine)
        engine.dispose()
        yield server


@pytest.fixture
def place(own: OwnServer, opened: Open) -> sa.Engine:
    """Its database with a batch of 400 files, and nothing else."""
    own.revive()
    engine = opened(own.url())
    for table in _TOUCHED:
        own.administer(f"TRUNCATE TABLE cofi.`{table.name}`")
    names = [f"c{number:04d}.wav" for number in range(FILES)]
    with engine.begin() as connection:
        connection.execute(t.batch_status.insert().values(id=BATCH, batchDate=sa.func.curdate(), batchNumber=1))
        rows = [{"id": k + 1, "batchId": BATCH} for k in range(FILES)]
        files = [{**row, "file": name, "ip": "m"} for row, name in zip(rows, names, strict=True)]
        connection.execute(t.file_distribution.insert(), files)
        connection.execute(t.call.insert(), [{**row, "audioName": name} for row, name in zip(rows, names, strict=True)])
    return engine


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault that does not pass is given up soon."""
    monkeypatch.setattr(faults, "WAITS", (0.05, 0.1, 0.2))


def outcome(number: int, text: str = WORDS) -> Outcome:
    work = Work(row_id=number, call_id=number, file=f"c{number - 1:04d}.wav", home="m", weight=1.0)
    rows = [
        {"callId": number, "segmentIndex": k, "startTime": 0.0, "endTime": 1.0, "speaker": None, "text": text}
        for k in range(5)
    ]
    return Outcome(work, State.DONE, call={"status": "TranscriptDone"}, rows={t.transcript: rows})


@contextmanager
def sink_on(engine: sa.Engine, group: int = GROUP) -> Iterator[Sink]:
    settings = SinkSettings(commit_files=group, commit_seconds=0.05, progress_interval=100, log_file_events=False)
    with Sink(engine, BY_NAME["stt"], BATCH, Tally(FILES), settings, observer=Unwatched()) as sink:
        yield sink


def write_all(engine: sa.Engine, pause: float = 0.002, text: str = WORDS) -> Tally:
    """Give all files to a sink, little by little."""
    with sink_on(engine) as sink:
        for number in range(1, FILES + 1):
            sink.put(outcome(number, text))
            sink.check()
            time.sleep(pause)
    return sink.tally


def written(engine: sa.Engine) -> dict[str, Counter[int]]:
    """How many rows of each kind every call has."""
    files, call, log = t.file_distribution, t.call, t.processing_logs
    queries = {
        "flag": sa.select(files.c.id).where(files.c.sttDone == 1),
        "status": sa.select(call.c.id).where(call.c.status == "TranscriptDone"),
        "segments": sa.select(t.transcript.c.callId),
        "log": sa.select(log.c.call_id).where(log.c.stage_name == "stt"),
    }
    with engine.connect() as connection:
        return {name: Counter(connection.execute(query).scalars()) for name, query in queries.items()}


def assert_each_file_once(engine: sa.Engine, files: int = FILES) -> None:
    once = Counter(range(1, files + 1))
    found = written(engine)
    assert found["flag"] == found["status"] == found["log"] == once
    assert found["segments"] == Counter(dict.fromkeys(once, 5))


def assert_nothing_half(engine: sa.Engine) -> None:
    found = written(engine)
    assert found["flag"] == found["status"] == found["log"]
    assert found["segments"] == Counter(dict.fromkeys(found["flag"], 5))


@contextmanager
def meanwhile(act: Callable[[], object]) -> Iterator[None]:
    """Do something in a thread beside the block; what it raises is raised."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            act()
        except BaseException as error:  # noqa: BLE001 - raised below
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        thread.join()
    if raised:
        raise raised[0]


def test_connections_that_are_killed_lose_and_double_nothing(own: OwnServer, place: sa.Engine) -> None:
    killed = []

    def kill() -> None:
        for _ in range(8):
            time.sleep(0.08)
            killed.append(own.kill_connections())

    with meanwhile(kill):
        tally = write_all(place)
    assert sum(killed) >= 4
    assert (tally.done, tally.failed) == (FILES, 0)
    assert_each_file_once(place)


def test_a_server_that_is_killed_and_started_again_loses_and_doubles_nothing(own: OwnServer, place: sa.Engine) -> None:
    def restart() -> None:
        time.sleep(0.3)
        own.kill()
        time.sleep(0.3)
        own.start()

    with meanwhile(restart):
        tally = write_all(place)
    assert (tally.done, tally.failed) == (FILES, 0)
    assert_each_file_once(place)


def test_a_commit_whose_confirmation_is_lost_is_not_made_again(own: OwnServer, place: sa.Engine, opened: Open) -> None:
    wire = LossyWire(own.port)
    through = opened(own.url(wire.port))
    log = t.batch_execution_log.insert().values(batchId=BATCH, eventType="test")
    wire.losses = 2
    transact(through, lambda connection: connection.execute(log).rowcount)
    transact(through, lambda connection: connection.execute(log).rowcount)
    assert wire.lost == 2
    with place.connect() as connection:
        count = sa.select(sa.func.count()).where(t.batch_execution_log.c.eventType == "test")
        assert connection.execute(count).scalar_one() == 2
    wire.losses = 3
    tally = write_all(through, pause=0)
    assert wire.lost == 5
    assert (tally.done, tally.failed) == (FILES, 0)
    assert_each_file_once(place)
    wire.close()


def test_a_deadlock_is_lost_by_the_sink_and_passes(own: OwnServer, place: sa.Engine) -> None:
    """Another transaction holds a call, and then wants a file that the sink holds; it is the heavier one."""
    rolled_back: list[object] = []
    sa.event.listen(place, "rollback", rolled_back.append)
    other = pymysql.connect(host="127.0.0.1", port=own.port, user="cofi", database="cofi", charset="utf8mb4")
    cursor = other.cursor()
    filler = "INSERT INTO batchExecutionLog (batchId, eventType) SELECT 2, 'x' FROM seq_1_to_3000"
    cursor.execute(filler)
    cursor.execute("UPDATE `call` SET lang = 'en' WHERE id = 5")
    with meanwhile(lambda: _then_want_a_file(own, other)), sink_on(place) as sink:
        for number in range(1, GROUP + 1):
            sink.put(outcome(number))
    assert rolled_back, "the sink was the one whose transaction was undone"
    assert (sink.tally.done, sink.tally.failed) == (GROUP, 0)
    assert_each_file_once(place, GROUP)


def _then_want_a_file(own: OwnServer, other: pymysql.connections.Connection[pymysql.cursors.Cursor]) -> None:
    try:
        _wait_for_lock(own)
        other.cursor().execute("UPDATE fileDistribution SET ip = 'n' WHERE id = 5")
        other.commit()
    finally:
        other.close()


def _wait_for_lock(own: OwnServer) -> None:
    end = time.monotonic() + 10
    while not own.administer("SELECT 1 FROM information_schema.INNODB_TRX WHERE trx_state = 'LOCK WAIT'"):
        assert time.monotonic() < end, "nobody waits for a lock"
        time.sleep(0.15)  # InnoDB answers from what it last said if it is asked more often


def test_a_lock_that_is_held_long_is_waited_for(own: OwnServer, place: sa.Engine) -> None:
    own.administer("SET GLOBAL innodb_lock_wait_timeout = 1")
    place.dispose()
    try:
        other = pymysql.connect(host="127.0.0.1", port=own.port, user="cofi", database="cofi")
        other.cursor().execute("UPDATE `call` SET lang = 'en' WHERE id = 5")

        def let_go() -> None:
            try:
                _wait_for_lock(own)
                time.sleep(1.5)
                other.commit()
            finally:
                other.close()

        with meanwhile(let_go), sink_on(place) as sink:
            for number in range(1, GROUP + 1):
                sink.put(outcome(number))
    finally:
        own.administer("SET GLOBAL innodb_lock_wait_timeout = 50")
    assert (sink.tally.done, sink.tally.failed) == (GROUP, 0)
    assert_each_file_once(place, GROUP)


def test_a_group_larger_than_the_packet_is_divided_and_a_row_larger_than_it_fails_alone_and_says_what_to_set(
    own: OwnServer, place: sa.Engine
) -> None:
    began = time.monotonic()
    own.administer("SET GLOBAL max_allowed_packet = 65536")
    place.dispose()
    try:
        with sink_on(place) as sink:
            for number in range(1, GROUP):
                sink.put(outcome(number, 'कहा "' * 1000))
            sink.put(outcome(GROUP, "x" * BIG_ROW))
        assert time.monotonic() - began < 5, "a row that never fits is not tried again"
        assert (sink.tally.done, sink.tally.failed) == (GROUP - 1, 1)
        found = written(place)
        assert set(found["flag"]) == set(found["segments"]) == set(range(1, GROUP))
        with place.connect() as connection:
            failed = sa.select(t.processing_logs.c.error_message).where(t.processing_logs.c.status == "failed")
            said = connection.execute(failed).scalar_one()
        sentence = (
            rf"c{GROUP - 1:04d}\.wav: the database refuses its result: it takes 200,\d\d\d bytes, and the server's "
            r"max_allowed_packet is 65,536: SET GLOBAL max_allowed_packet = (\d+)"
        )
        advised = re.match(sentence, said)
        assert advised, said
        own.administer(f"SET GLOBAL max_allowed_packet = {advised[1]}")
        place.dispose()
        with sink_on(place) as sink:
            sink.put(outcome(GROUP, "x" * BIG_ROW))
        assert sink.tally.done == 1
    finally:
        own.administer("SET GLOBAL max_allowed_packet = 16777216")


def test_a_server_that_is_read_only_for_a_while_is_waited_for(own: OwnServer, place: sa.Engine) -> None:
    def fail_over() -> None:
        time.sleep(0.15)
        own.administer("SET GLOBAL read_only = 1")
        time.sleep(0.6)
        own.administer("SET GLOBAL read_only = 0")

    with meanwhile(fail_over):
        tally = write_all(place)
    assert (tally.done, tally.failed) == (FILES, 0)
    assert_each_file_once(place)


@pytest.mark.usefixtures("short_waits")
def test_a_replica_stops_the_stage_with_a_sentence(own: OwnServer, place: sa.Engine) -> None:
    own.administer("SET GLOBAL read_only = 1")
    try:
        with pytest.raises(SinkError, match=r"cannot be used: .*read-only.* \(tried 4 times\); what was done is kept"):
            write_all(place, pause=0)
    finally:
        own.administer("SET GLOBAL read_only = 0")
    assert_nothing_half(place)


@pytest.mark.usefixtures("short_waits")
def test_a_full_disk_stops_the_stage_with_a_sentence_and_keeps_what_was_written(
    own: OwnServer, place: sa.Engine
) -> None:
    own.administer(_FULL)
    try:
        with pytest.raises(SinkError, match=r"(?i)is full.*tried 4 times.*what was done is kept"):
            write_all(place, pause=0.001)
    finally:
        own.administer("DROP TRIGGER cofi.is_full")
    assert_nothing_half(place)
    assert 0 < len(written(place)["flag"]) < FILES


@pytest.mark.usefixtures("short_waits")
def test_a_server_that_stays_away_stops_the_stage_with_a_sentence(own: OwnServer, place: sa.Engine) -> None:
    own.kill()
    try:
        with pytest.raises(SinkError, match=r"cannot be used: .*tried 4 times"):
            write_all(place, pause=0)
    finally:
        own.start()
    assert_nothing_half(place)


def test_the_tracker_sees_a_restart_of_the_server_through(
    own: OwnServer, place: sa.Engine, settings: Callable[..., Settings]
) -> None:
    tracker = Tracker(place, settings())

    def restart() -> None:
        own.kill()
        time.sleep(0.4)
        own.start()

    with meanwhile(restart), tracker.stage(BATCH, "file_distribution", "run") as run:
        tracker.set_total(run, 3)
    state = tracker.stages(BATCH)["file_distribution"]
    assert (str(state.status), state.started is not None, state.ended is not None) == ("Complete", True, True)


def test_a_batch_is_registered_once_though_the_server_is_away_and_confirmations_are_lost(
    own: OwnServer, place: sa.Engine, opened: Open, tmp_path: Path
) -> None:
    first, old, new = (tmp_path / name for name in ("a/2026-01-14_1", "b/2026-01-15_1", "c/2026-01-15_1"))
    own.kill()

    def come_back() -> None:
        time.sleep(0.3)
        own.start()

    with meanwhile(come_back):
        batches.register(place, first, first.parent)
    wire = LossyWire(own.port)
    through = opened(own.url(wire.port))
    with through.connect():
        wire.losses = 2
    made = batches.register(through, old, old.parent)
    moved = batches.register(through, new, new.parent)
    assert wire.lost == 2
    wire.close()
    assert (made.directory, moved.directory, moved.id) == (old, new, made.id)
    with place.connect() as connection:
        found = connection.execute(sa.select(t.batch_status.c.directory).where(t.batch_status.c.id != BATCH))
        assert found.scalars().all() == [str(first), str(new)]


def test_a_heartbeat_outlives_a_restart_of_the_server(
    own: OwnServer, place: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.1)
    lost: list[bool] = []
    with writing(place) as connection:
        lease.take(connection, BATCH, "run")
    with lease.Heartbeat(place, BATCH, "run", lost=lambda: lost.append(True)):
        own.kill()
        time.sleep(1)  # a beat falls due meanwhile, and fails
        own.start()
        end = time.monotonic() + 10
        while _silent_seconds(place) > 0.5:
            assert time.monotonic() < end, "no beat is written"
            time.sleep(0.05)
    assert not lost


def _silent_seconds(engine: sa.Engine) -> float:
    with engine.connect() as connection:
        holder = lease.holder_of(connection, BATCH)
    assert holder is not None
    return holder.silent_seconds


def test_a_batch_and_a_reaudit_get_through_though_every_connection_is_killed_again_and_again(
    own: OwnServer,
    place: sa.Engine,
    settings: Callable[..., Settings],
    quick_fleet: FleetSimulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(faults, "WAITS", (0.03,) * 100)
    site = Site.on(settings(**quick_fleet.environment()), place)
    ended, killed = threading.Event(), []

    def kill() -> None:
        while not ended.wait(0.05):
            killed.append(own.kill_connections())

    with meanwhile(kill):
        try:
            batch = site.make(8, key="2026-01-15_1")
            site.run(batch)
            again = ["stt", "llm1", "llm2"]
            done: list[str] = []
            while not done or sum(killed) <= 20:
                request = reaudit.request_of(place, site.settings, ["call_000001.wav"], again, batch)
                done.append(reaudit.queue(place, request))
                task = tasks.begin(place, done[-1], "again")
                reaudit.begin(site.pipeline, task, "again", request["stages"])
                for stage in request["stages"]:
                    reaudit.run_stage(site.pipeline, task, "again", stage, request["stages"])
                reaudit.finish(site.pipeline, task)
        finally:
            ended.set()
    assert site.status(batch) == "Completed"
    assert {tasks.get(place, task_id).status for task_id in done} == {"completed"}


def test_the_tracker_s_steps_are_taken_once_though_confirmations_are_lost(
    own: OwnServer, place: sa.Engine, opened: Open, settings: Callable[..., Settings]
) -> None:
    wire = LossyWire(own.port)
    tracker = Tracker(opened(own.url(wire.port)), settings())
    wire.losses = 4
    with tracker.stage(BATCH, "file_distribution", "run") as run:
        tracker.set_total(run, 3)
    assert wire.lost == 4
    wire.close()
    with place.connect() as connection:
        kinds = connection.execute(sa.select(t.batch_execution_log.c.eventType)).scalars().all()
    assert max(Counter(kinds).values()) == 1
    assert tracker.stages(BATCH)["file_distribution"].ended is not None


def test_a_server_that_vanishes_is_noticed_within_a_minute(place: sa.Engine) -> None:
    """By the kernel's probes, which a server that is merely slow answers: nothing here can pull a cable."""
    with place.connect() as connection:
        driver: Any = connection.connection.driver_connection
        asked = {name: driver._sock.getsockopt(level, getattr(socket, name)) for level, name in _PROBES}
    assert asked["SO_KEEPALIVE"]
    assert asked["TCP_KEEPIDLE"] + asked["TCP_KEEPINTVL"] * asked["TCP_KEEPCNT"] <= 60
    assert 0 < asked["TCP_USER_TIMEOUT"] <= 60_000


def test_a_transaction_that_the_server_undoes_leaves_nothing(own: OwnServer, place: sa.Engine) -> None:
    def log_twice() -> None:
        with writing(place) as connection:
            connection.execute(t.batch_execution_log.insert().values(batchId=BATCH, eventType="test"))
            own.kill_connections()
            connection.execute(t.batch_execution_log.insert().values(batchId=BATCH, eventType="test"))

    with pytest.raises(sa.exc.OperationalError):
        log_twice()
    with place.connect() as connection:
        assert connection.execute(sa.select(t.batch_execution_log)).all() == []


def test_the_grants_of_the_operator_s_page_are_enough(own: OwnServer, opened: Open) -> None:
    """The first line of them to work, with the second to upgrade."""
    page = (ROOT / "docs" / "database.md").read_text("utf-8")
    own.administer("CREATE DATABASE small CHARACTER SET utf8mb4")
    own.administer("CREATE USER 'clerk'@'%'")
    work, change = [
        line.split(" ON ")[0] for line in page.splitlines() if line.startswith("GRANT") and "cofi.*" in line
    ]
    for grant in (work, change):
        own.administer(f"{grant} ON small.* TO 'clerk'@'%'")
    engine = opened(own.url().replace("cofi@", "clerk@").replace("/cofi?", "/small?"))
    upgrade(engine)
    own.administer(f"{change.replace('GRANT', 'REVOKE')} ON small.* FROM 'clerk'@'%'")
    engine.dispose()
    ready(engine)
    assert missing(engine) == []
    transact(
        engine, lambda connection: connection.execute(t.batch_execution_log.insert().values(batchId=1, eventType="x"))
    )
    with pytest.raises(sa.exc.OperationalError, match="denied"), writing(engine) as connection:
        connection.exec_driver_sql("DROP TABLE batchStatus")
