"""Old batches lose what was said and heard in them, and keep what was found; a legal hold forbids it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from cofi_dagster.database import tables as t
from cofi_dagster.database.retention import HoldError, Removal, hold, holds, purge, release
from cofi_dagster.database.upgrade import upgrade
from cofi_dagster_tests.database.conftest import Open

BEFORE = date(2025, 7, 1)
CALLS = 230


class Archive:
    """A database with an old and a new batch whose calls have transcripts, payloads and audio."""

    def __init__(self, engine: sa.Engine, root: Path) -> None:
        self.engine = engine
        self.root = root

    def add(self, batch: int, day: date, *, status: str = "Completed", calls: int = CALLS) -> None:
        folder = self.root / str(batch)
        folder.mkdir()
        (folder / "callMetadata.csv").write_text("kept")
        names = [f"c{number}.wav" for number in range(calls)]
        ids = [1000 * batch + number for number in range(calls)]
        for name in names:
            (folder / name).write_bytes(b"x" * 10)
        with self.engine.begin() as connection:
            row = {"id": batch, "batchDate": day, "batchNumber": batch, "status": status}
            connection.execute(t.batch_status.insert().values(row))
            both = list(zip(ids, names, strict=True))
            connection.execute(t.call.insert(), [{"id": i, "batchId": batch, "audioName": n} for i, n in both])
            said = [{"callId": i, "segmentIndex": k, "text": "buy"} for i in ids for k in range(3)]
            connection.execute(t.transcript.insert(), said)
            old = [{"callId": i, "segmentIndex": 0, "text": "by"} for i in ids[:1]]
            connection.execute(t.transcript_history.insert(), old)
            log = {"batch_id": batch, "stage_name": "stt", "status": "failed", "error_message": "why"}
            connection.execute(t.processing_logs.insert(), [{**log, "call_id": i, "input_payload": "{}"} for i in ids])
            answer = {"questionId": 1, "answer": "yes", "evidence": [{"quote": "buy"}]}
            connection.execute(t.audit_answer.insert(), [{**answer, "callId": i} for i in ids])

    def purge(self, *, dry_run: bool = False, before: date = BEFORE) -> dict[int, Removal]:
        found = purge(
            self.engine, before, lambda batch: lambda name: self.root / str(batch) / name, by="ops", dry_run=dry_run
        )
        return {removal.batch_id: removal for removal in found}

    def said(self, batch: int) -> set[str]:
        """The calls of a batch that have a transcript, a payload or audio."""
        query = sa.select(t.call.c.audioName).where(
            t.call.c.batchId == batch,
            sa.or_(
                t.call.c.id.in_(sa.select(t.transcript.c.callId)),
                t.call.c.id.in_(sa.select(t.transcript_history.c.callId)),
                t.call.c.id.in_(
                    sa.select(t.processing_logs.c.call_id).where(t.processing_logs.c.input_payload.is_not(None))
                ),
            ),
        )
        with self.engine.connect() as connection:
            rows = set(connection.execute(query).scalars())
        return rows | {path.name for path in (self.root / str(batch)).glob("*.wav")}

    def events(self, kind: str) -> list[Any]:
        log = t.batch_execution_log
        with self.engine.connect() as connection:
            return list(connection.execute(sa.select(log).where(log.c.eventType == kind).order_by(log.c.id)))

    def count(self, table: sa.Table) -> int:
        with self.engine.connect() as connection:
            return int(connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())


@pytest.fixture
def archive(opened: Open, database_url: str, tmp_path: Path) -> Archive:
    """An old batch, 1, and a new one, 2; once on each kind of database."""
    engine = opened(database_url)
    upgrade(engine)
    made = Archive(engine, tmp_path)
    made.add(1, date(2025, 6, 30))
    made.add(2, BEFORE)
    return made


def test_what_was_said_in_an_old_batch_goes_and_what_was_found_stays(archive: Archive) -> None:
    removed = archive.purge()
    assert list(removed) == [1]
    assert (removed[1].segments, removed[1].payloads, removed[1].files, removed[1].bytes) == (
        3 * CALLS + 1, CALLS, CALLS, 10 * CALLS,
    )  # fmt: skip
    assert archive.said(1) == set()
    assert len(archive.said(2)) == CALLS
    assert archive.count(t.audit_answer) == 2 * CALLS
    assert archive.count(t.processing_logs) == 2 * CALLS
    assert (archive.root / "1" / "callMetadata.csv").exists()


def test_it_is_on_record_what_was_removed_and_by_whom(archive: Archive) -> None:
    archive.purge()
    (event,) = archive.events("purged")
    assert (event.batchId, event.status) == (1, "Complete")
    assert event.metadata == {
        "before": "2025-07-01", "by": "ops", "transcriptSegments": 3 * CALLS + 1, "payloads": CALLS,
        "audioFiles": CALLS, "audioBytes": 10 * CALLS, "heldCalls": 0,
    }  # fmt: skip


def test_a_dry_run_says_the_same_and_removes_nothing(archive: Archive) -> None:
    would = archive.purge(dry_run=True)
    assert len(archive.said(1)) == CALLS
    assert archive.events("purged") == []
    assert archive.purge() == would


def test_the_second_purge_finds_nothing(archive: Archive) -> None:
    archive.purge()
    assert archive.purge() == {}
    assert len(archive.events("purged")) == 1


def test_a_batch_on_hold_is_left_alone_until_it_is_released(archive: Archive) -> None:
    hold(archive.engine, 1, None, reason="SEBI inquiry 7", by="asha")
    assert archive.purge()[1].kept == "on legal hold by asha: SEBI inquiry 7"
    assert len(archive.said(1)) == CALLS
    release(archive.engine, 1, None, reason="closed", by="ravi")
    archive.purge()
    assert archive.said(1) == set()


def test_a_call_on_hold_keeps_all_of_its_own_and_no_other_does(archive: Archive) -> None:
    hold(archive.engine, 1, "c150.wav", reason="dispute", by="asha")
    removed = archive.purge()
    assert (removed[1].held_calls, removed[1].files) == (1, CALLS - 1)
    assert archive.said(1) == {"c150.wav"}
    assert archive.events("purged")[0].status == "Partial"
    release(archive.engine, 1, "c150.wav", reason="settled", by="asha")
    assert archive.purge()[1].files == 1
    assert archive.said(1) == set()


def test_a_hold_set_while_a_purge_is_at_work_stops_it(archive: Archive) -> None:
    seen = []

    def path_of(name: str) -> Path:
        seen.append(name)
        return archive.root / "1" / name

    def paths_of(batch: int) -> Callable[[str], Path]:
        hold(archive.engine, 1, None, reason="inquiry", by="asha")
        return path_of

    (removal,) = purge(archive.engine, BEFORE, paths_of, by="ops")
    assert removal.kept == "put on legal hold meanwhile"
    assert (seen, len(archive.said(1))) == ([], CALLS)


def test_a_batch_that_is_not_at_its_end_is_left_alone(archive: Archive) -> None:
    archive.add(3, date(2025, 1, 1), status="sttDone", calls=2)
    assert archive.purge()[3].kept == "it is not at its end (sttDone)"
    assert len(archive.said(3)) == 2


def test_a_name_that_leads_out_of_the_batch_is_no_audio_of_it(archive: Archive) -> None:
    (archive.root / "precious.wav").write_bytes(b"x")
    (archive.root / "1" / "c1.wav").unlink()
    (archive.root / "1" / "c1.wav").symlink_to(archive.root / "precious.wav")
    with archive.engine.begin() as connection:
        connection.execute(t.call.update().where(t.call.c.id == 1000).values(audioName="../precious.wav"))
    archive.purge()
    assert (archive.root / "precious.wav").exists()


def test_holds_are_listed_with_who_and_why_and_their_history_stays(archive: Archive) -> None:
    hold(archive.engine, 1, "c1.wav", reason="dispute", by="asha")
    hold(archive.engine, 2, None, reason="inquiry", by="ravi")
    found = [(item.batch_id, item.audio_name, item.reason, item.held_by) for item in holds(archive.engine)]
    assert found == [(1, "c1.wav", "dispute", "asha"), (2, None, "inquiry", "ravi")]
    release(archive.engine, 1, "c1.wav", reason="settled", by="meera")
    assert [item.batch_id for item in holds(archive.engine)] == [2]
    assert archive.count(t.legal_hold) == 2
    said = [
        (event.eventType, event.metadata["by"])
        for kind in ("legal_hold", "legal_hold_released")
        for event in archive.events(kind)
    ]
    assert said == [("legal_hold", "asha"), ("legal_hold", "ravi"), ("legal_hold_released", "meera")]


def test_a_hold_that_makes_no_sense_is_refused(archive: Archive) -> None:
    hold(archive.engine, 1, None, reason="inquiry", by="asha")
    for batch, audio, reason, said in (
        (9, None, "x", "there is no batch 9"),
        (1, "none.wav", "x", "batch 1 has no call none.wav"),
        (1, None, "x", "batch 1 is on hold already"),
        (2, None, " ", "needs a reason"),
    ):
        with pytest.raises(HoldError, match=said):
            hold(archive.engine, batch, audio, reason=reason, by="asha")
    with pytest.raises(HoldError, match=r"c1.wav of batch 1 is not on hold"):
        release(archive.engine, 1, "c1.wav", reason="x", by="asha")
