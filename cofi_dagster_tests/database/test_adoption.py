"""A database that COFI never made, or an older COFI made, becomes COFI's and keeps every row."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from cofi_dagster.database import tables as t
from cofi_dagster.database.engine import DatabaseError, connect
from cofi_dagster.database.upgrade import missing, ready, upgrade, upgrade_sql
from cofi_dagster.pipeline.replacing import replace_rows
from cofi_dagster.settings import Settings
from cofi_dagster.stages import STAGES
from cofi_dagster_tests.batches import make_batch
from cofi_dagster_tests.database.conftest import Open
from cofi_dagster_tests.database.servers import columns_of, contents, run_script
from cofi_dagster_tests.fleet_simulator import FleetSimulator
from cofi_dagster_tests.pipeline.site import Site

MOVED = "auditAnswer"
"""The one table whose rows may move: older answers go to the history."""


def _kinds(engine: sa.Engine, table: str) -> dict[str, str]:
    with engine.connect() as connection:
        return {row[0]: row[1] for row in connection.exec_driver_sql(f"SHOW COLUMNS FROM `{table}`")}


def _run(engine: sa.Engine, script: str) -> None:
    with engine.begin() as connection:
        run_script(connection, script)


def test_every_row_of_an_old_installation_is_as_it_was(old: sa.Engine) -> None:
    columns, before = columns_of(old), contents(old)
    upgrade(old)
    after = contents(old, columns)
    assert {name: rows for name, rows in before.items() if name != MOVED} == {
        name: rows for name, rows in after.items() if name != MOVED
    }
    assert missing(old) == []


def test_all_columns_keys_and_views_are_there_after_it(old: sa.Engine) -> None:
    upgrade(old)
    inspector = sa.inspect(old)
    for table in t.metadata.sorted_tables:
        there = {column["name"] for column in inspector.get_columns(table.name)}
        assert {column.name for column in table.c} <= there, table.name
    assert set(inspector.get_view_names()) == {"vw_batches_by_stage", "vw_stage_statistics"}
    uniques = {tuple(item["column_names"]) for item in inspector.get_unique_constraints("fileDistribution")}
    assert ("batchId", "file") in uniques


def test_it_says_what_it_did_and_has_nothing_to_do_the_second_time(old: sa.Engine) -> None:
    lacking = missing(old)
    done = upgrade(old)
    assert "column fileDistribution.denoiseDone" in lacking
    assert "added column fileDistribution.denoiseDone" in done
    assert "added column batchStatus.triagingStep2Status" in done
    assert any(line.startswith("changed column tradeMetadata.orderId to VARCHAR(64)") for line in done)
    assert "moved older answers to auditAnswerHistory" in done
    assert [line.split(" ", 1)[1] for line in done if line.startswith(("added column", "changed"))] == [
        line for line in lacking if line.startswith(("column", "engine", "row format"))
    ]
    before = contents(old)
    assert upgrade(old) == []
    assert contents(old) == before


def test_numbers_that_identify_become_text_and_keep_every_digit(old: sa.Engine) -> None:
    upgrade(old)
    with old.connect() as connection:
        row = connection.execute(sa.select(t.trade_metadata)).one()
    assert (row.orderId, row.tradeId, row.clientCode) == ("1200000000123456789", "99999999999999999999", "4711")


def test_older_answers_move_to_the_history_and_the_newest_stays(old: sa.Engine) -> None:
    upgrade(old)
    with old.connect() as connection:
        current = connection.execute(sa.select(t.audit_answer).order_by(t.audit_answer.c.id)).all()
        replaced = connection.execute(sa.select(t.audit_answer_history)).all()
    assert [(row.id, row.callId, row.questionId, row.answer) for row in current] == [(2, 1, 1, "yes"), (3, 1, 2, "yes")]
    assert [(row.callId, row.questionId, row.answer, row.evidence) for row in replaced] == [
        (1, 1, "no", 'he said "no"')
    ]
    assert replaced[0].createdAt is None, "when it was given is not known: the upgrade must not date it now"
    assert replaced[0].replacedAt is not None


def test_answers_whose_evidence_is_plain_text_can_be_replaced(old: sa.Engine) -> None:
    upgrade(old)
    _run(old, "UPDATE auditAnswer SET evidence = 'she said \"हाँ\"' WHERE id = 3;\n")
    with old.begin() as connection:
        assert replace_rows(connection, t.audit_answer, [1], None) == 2
        history = sa.select(t.audit_answer_history.c.evidence).order_by(t.audit_answer_history.c.id)
        assert connection.execute(history).scalars().all()[1:] == [[{"segment": 0}], 'she said "हाँ"']


def test_old_rows_are_not_dated_now_and_new_ones_are(old: sa.Engine) -> None:
    upgrade(old)
    with old.begin() as connection:
        connection.execute(t.batch_status.insert().values(batchDate=sa.func.curdate(), batchNumber=9))
        dated = connection.execute(sa.select(t.batch_status.c.batchNumber, t.batch_status.c.createdAt)).all()
    assert {number: created is not None for number, created in dated} == {1: False, 2: False, 9: True}


def test_null_in_an_old_row_means_the_default(old: sa.Engine) -> None:
    upgrade(old)
    with old.connect() as connection:
        batch = connection.execute(sa.select(t.batch_status).where(t.batch_status.c.id == 2)).one()
        pending = sa.select(t.file_distribution.c.file).where(t.file_distribution.c.ivrDone == 0)
        files = connection.execute(pending.order_by(t.file_distribution.c.id)).scalars().all()
        first = connection.execute(sa.select(t.batch_status).where(t.batch_status.c.id == 1)).one()
    assert (batch.status, batch.ivrStatus, batch.callmetadataStatus, batch.kind) == ("Pending", "Pending", 0, "batch")
    assert files == ["हिंदी.wav", "a.wav", "A.wav"]
    assert (first.callmetadataStatus, first.trademetadataStatus, str(first.batchDate)) == (1, 1, "2025-01-15")


def test_an_adopted_batch_runs_to_its_end(
    old: sa.Engine, settings: Callable[..., Settings], quick_fleet: FleetSimulator
) -> None:
    upgrade(old)
    site = Site.on(settings(**quick_fleet.environment(), COFI_DATABASE_URL=_url(old)), old)
    make_batch(site.settings.batches, "2025-01-15_2", ["a.wav", "हिंदी 🎧.wav"])
    batch = site.register(site.settings.batches / "2025-01-15_2")
    assert batch == 2, "the old row is the batch, not a new one"
    site.execute("UPDATE fileDistribution SET ip = NULL WHERE batchId = 2 AND file = 'a.wav'")
    site.execute("DELETE FROM fileDistribution WHERE batchId = 2 AND file = 'A.wav'")
    site.run(batch)
    assert site.status(batch) == "Completed"
    assert set(site.flagged(batch, "llm2Done")) == {"a.wav", "हिंदी 🎧.wav"}
    assert {row["status"] for row in site.calls(batch).values()} == {"Complete"}
    started = site.stage(batch, "lid").started
    assert str(started) == "2025-01-15 05:00:00", "a start time that was there stays, and no update moves it"


def _url(engine: sa.Engine) -> str:
    return engine.url.render_as_string(hide_password=False)


def test_hindi_and_emoji_survive_where_latin1_was(old: sa.Engine) -> None:
    upgrade(old)
    words = "ग्राहक ने कहा: खरीदो 👍🏽"
    with old.begin() as connection:
        connection.execute(t.batch_status.update().values(status="Failed"))
        connection.execute(t.transcript.insert().values(callId=1, segmentIndex=0, text=words))
        connection.execute(t.processing_logs.insert().values(stage_name="stt", status="failed", error_message=words))
        said = connection.execute(sa.select(t.transcript.c.text)).scalar_one()
        logged = connection.execute(
            sa.select(t.processing_logs.c.error_message).order_by(t.processing_logs.c.id.desc())
        )
        assert (said, logged.scalars().first()) == (words, words)


DOUBLED = """
INSERT INTO fileDistribution (file, ip, batchId) VALUES ('a.wav', '10.0.0.9', 1);
INSERT INTO `call` (batchId, audioName) VALUES (2, 'a.wav');
"""


def test_doubled_rows_stop_it_before_anything_changes_and_are_named(old: sa.Engine) -> None:
    _run(old, DOUBLED)
    columns, before = columns_of(old), contents(old)
    with pytest.raises(DatabaseError) as refusal:
        upgrade(old)
    said = str(refusal.value)
    assert "nothing was changed" in said
    assert "fileDistribution has rows that share (batchId, file)" in said
    assert "batchId 1, file a.wav (2 rows, id 1,5)" in said
    assert "batchId 2, audioName a.wav (2 rows, id 3,4)" in said
    assert (columns_of(old), contents(old)) == (columns, before)
    assert any("batchId 1, file a.wav" in line for line in missing(old))
    _run(old, "DELETE FROM fileDistribution WHERE id = 5;\nDELETE FROM `call` WHERE id = 4;\n")
    assert upgrade(old)


def test_names_that_differ_only_by_case_are_no_doubles(old: sa.Engine) -> None:
    upgrade(old)
    with old.connect() as connection:
        files = t.file_distribution
        found = connection.execute(sa.select(files.c.file).where(files.c.batchId == 2).order_by(files.c.id))
        assert found.scalars().all() == ["a.wav", "A.wav"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("ALTER TABLE tradeMetadata MODIFY orderId DOUBLE;", "tradeMetadata.orderId is double"),
        ("ALTER TABLE tradeMetadata MODIFY orderTime VARCHAR(30);", "tradeMetadata.orderTime is varchar(30)"),
        ("INSERT INTO `call` (batchId, audioName) VALUES (3, REPEAT('x', 300));", "1 values of more than 255"),
        ("ALTER TABLE dealers RENAME TO callMetadata;", "callMetadata.id"),
    ],
)
def test_what_it_cannot_make_fit_stops_it_before_anything_changes(old: sa.Engine, change: str, said: str) -> None:
    _run(old, change + "\n")
    if "dealers" in change:
        _run(old, "ALTER TABLE callMetadata MODIFY id CHAR(36);\n")
    columns, before = columns_of(old), contents(old)
    with pytest.raises(DatabaseError, match="nothing was changed") as refusal:
        upgrade(old)
    assert said in str(refusal.value)
    assert (columns_of(old), contents(old)) == (columns, before)


def test_an_upgrade_that_was_interrupted_goes_on(old: sa.Engine) -> None:
    columns, before = columns_of(old), contents(old)
    for number in (3, 9, 22, 30):
        _interrupted_at(old, number)
    upgrade(old)
    after = contents(old, columns)
    assert missing(old) == []
    assert {k: v for k, v in before.items() if k != MOVED} == {k: v for k, v in after.items() if k != MOVED}
    with old.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(t.audit_answer_history)).scalar_one() == 1


def _interrupted_at(engine: sa.Engine, number: int) -> None:
    """Kill the upgrade's connection before its statement of that number."""
    broken = connect(_url(engine))
    ran = [0]

    def count(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        if statement.startswith(("ALTER", "CREATE", "INSERT", "DELETE")):
            ran[0] += 1
            if ran[0] == number:
                with engine.connect() as other:
                    other.exec_driver_sql(f"KILL {connection.connection.driver_connection.thread_id()}")

    sa.event.listen(broken, "before_cursor_execute", count)
    with pytest.raises(DatabaseError):
        upgrade(broken)
    broken.dispose()


def test_two_upgrades_at_once_do_the_work_once(old: sa.Engine) -> None:
    done: list[list[str]] = []
    engines = [connect(_url(old)) for _ in range(3)]
    threads = [threading.Thread(target=lambda e=e: done.append(upgrade(e))) for e in engines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for engine in engines:
        engine.dispose()
    assert sorted(bool(lines) for lines in done) == [False, False, True]


def test_the_printed_sql_does_the_same_as_the_upgrade(old: sa.Engine, server: sa.Engine) -> None:
    before = contents(old)
    script = "\n".join(upgrade_sql(old))
    assert contents(old) == before, "printing changes nothing"
    _run(old, script + "\n")
    assert missing(old) == []
    assert upgrade(old) == []
    ready(old)


def test_an_empty_database_gets_everything(opened: Open, database_url: str) -> None:
    engine = opened(database_url)
    assert "table batchStatus" in missing(engine)
    assert upgrade(engine)
    assert missing(engine) == []
    ready(engine)


def test_a_database_of_an_older_cofi_is_not_ready_and_becomes_so(opened: Open, database_url: str) -> None:
    engine = opened(database_url)
    upgrade(engine)
    with engine.begin() as connection:
        for statement in (
            "DROP TABLE legalHold",
            "DROP TABLE cofiVersion",
            "DROP VIEW vw_stage_statistics",
            "ALTER TABLE `call` DROP COLUMN llm1ReplyId",
        ):
            connection.exec_driver_sql(statement)
    assert {"table legalHold", "column call.llm1ReplyId", "view vw_stage_statistics"} <= set(missing(engine))
    if engine.dialect.name == "sqlite":
        ready(engine)
    else:
        with pytest.raises(DatabaseError, match="run `cofi db upgrade`"):
            ready(engine)
        upgrade(engine)
    assert missing(engine) == []


def test_tables_in_another_case_get_the_contract_s_names(server: sa.Engine) -> None:
    _run(server, "CREATE TABLE batchstatus (id INT AUTO_INCREMENT PRIMARY KEY, batchDate DATE, batchNumber INT);\n")
    _run(server, "INSERT INTO batchstatus (batchDate, batchNumber) VALUES ('2025-01-01', 1);\n")
    assert "renamed batchstatus to batchStatus" in upgrade(server)
    assert contents(server, {"batchStatus": ["batchDate", "batchNumber"]}) == {"batchStatus": [("2025-01-01", "1")]}


def test_a_key_that_forbids_one_name_in_two_batches_is_pointed_out(old: sa.Engine) -> None:
    _run(old, "DELETE FROM fileDistribution WHERE id > 2;\nCREATE UNIQUE INDEX one_file ON fileDistribution (file);\n")
    notes = [line for line in upgrade(old) if line.startswith("note:")]
    assert len(notes) == 1
    assert "the unique key one_file of fileDistribution on (file)" in notes[0]


def test_columns_are_added_instantly(server: sa.Engine) -> None:
    """Each statement that adds columns is one that the server can do without touching a row."""
    times = {name for stage in STAGES for name in (stage.start_column, stage.end_column)}
    upgrade(server)
    for table, names in (("batchStatus", times | {"triagingStep2Status"}), ("fileDistribution", {"denoiseDone", "ip"})):
        _run(server, f"ALTER TABLE {table} {', '.join(f'DROP COLUMN {name}' for name in sorted(names))};\n")
    added = [s for s in "\n".join(upgrade_sql(server)).split(";\n") if "ADD COLUMN" in s]
    assert len(added) == 2
    for statement in added:
        _run(server, f"{statement}, ALGORITHM=INSTANT;\n")
    assert not [line for line in missing(server) if line.startswith("column")]
