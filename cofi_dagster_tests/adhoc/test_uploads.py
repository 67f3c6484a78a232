"""What people send is checked, stored under names of COFI's own, and audited as a batch of its own."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from cofi_dagster.adhoc import tasks, uploads
from cofi_dagster.adhoc.audio_kind import suffix_of
from cofi_dagster.adhoc.progress import file_states, share_done
from cofi_dagster.adhoc.tasks import Task, TaskStatus
from cofi_dagster.adhoc.uploads import Upload, UploadRefused, UploadTooLarge, clean_name
from cofi_dagster.database import tables as t
from cofi_dagster_tests.batches import wav
from cofi_dagster_tests.fleet_simulator import FleetSimulator
from cofi_dagster_tests.pipeline.site import SettingsOf, Site

Audio = Callable[[str], Path]
STAGES = ("file_distribution", "lid", "stt", "llm1", "llm2")


def send(site: Site, *paths: Path) -> Task:
    """Queue an upload."""
    with Upload(site.settings) as upload:
        for path in paths:
            upload.add(path)
        return tasks.get(site.engine, upload.queue(site.engine, 1, 1))


def stored(site: Site) -> list[Path]:
    """All files of all uploads."""
    root = uploads.upload_root(site.settings)
    return [path for path in root.rglob("*") if path.is_file()]


def test_an_upload_goes_through_its_stages_under_the_senders_names(site: Site, audio: Audio) -> None:
    names = ["पहली कॉल.wav", 'it\'s; a "call".wav']
    task = send(site, *(audio(name) for name in names))
    assert {path.name for path in stored(site)} == {"0001.wav", "0002.wav"}
    batch = uploads.open_batch(site.engine, site.settings, task)
    for stage in STAGES:
        site.pipeline.run_stage(batch, stage, "run")
    row = site.rows(sa.select(t.batch_status).where(t.batch_status.c.id == batch))[0]
    assert (row.status, row.kind, row.totalFiles, row.batchNumber) == ("Completed", "upload", 2, 1)
    assert row.denoiseStartTime is None
    assert None not in (row.dbInsertionStartTime, row.lidEndTime, row.sttEndTime, row.llm1EndTime, row.llm2EndTime)
    assert set(site.files(batch)) == set(names)
    assert all(len(answers) == 20 for answers in site.answers(batch).values())
    files = file_states(site.engine, site.settings, tasks.get(site.engine, task.id))
    assert [(file.file, str(file.status)) for file in files] == [(name, "completed") for name in names]


def test_a_file_that_fails_is_named_with_its_reason_and_the_others_go_on(
    site: Site, audio: Audio, machines: FleetSimulator
) -> None:
    machines.fault("status", service="stt", file="bad.wav", status=422, detail="no sound")
    machines.describe("short_one.wav", duration=2)
    task = send(site, audio("bad.wav"), audio("good.wav"), audio("short_one.wav"))
    batch = uploads.open_batch(site.engine, site.settings, task)
    for stage in STAGES:
        site.pipeline.run_stage(batch, stage, "run")
    tasks.complete(site.engine, tasks.begin(site.engine, task.id, "run").id)
    ended = tasks.get(site.engine, task.id)
    files = {file.file: file for file in file_states(site.engine, site.settings, ended)}
    assert {name: str(file.status) for name, file in files.items()} == {
        "bad.wav": "failed",
        "good.wav": "completed",
        "short_one.wav": "skipped",
    }
    assert "no sound" in (files["bad.wav"].error or "")
    assert share_done(ended, list(files.values())) == 100.0


def test_uploads_at_the_same_instant_get_numbers_of_their_own(each_site: Site, audio: Audio) -> None:
    site = each_site
    queued = [send(site, audio(f"{number}.wav")) for number in range(8)]
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda task=task: found.append(uploads.open_batch(site.engine, site.settings, task)))
        for task in queued
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = site.rows(sa.select(t.batch_status.c.batchDate, t.batch_status.c.batchNumber))
    assert sorted(row.batchNumber for row in rows) == list(range(1, 9))
    assert len({row.batchDate for row in rows}) == 1
    assert len(set(found)) == 8
    again = tasks.get(site.engine, queued[0].id)
    assert uploads.open_batch(site.engine, site.settings, again) == again.batch_id, "a retry has the batch it had"


def test_a_refused_upload_leaves_nothing_on_disk_and_no_task(site: Site, audio: Audio, tmp_path: Path) -> None:
    text = tmp_path / "notes.wav"
    text.write_text("these are words, not sound")
    with pytest.raises(UploadRefused, match=r"notes\.wav is no audio"):
        send(site, audio("good.wav"), text)
    with pytest.raises(UploadRefused, match=r"two files are called good\.wav"):
        send(site, audio("good.wav"), audio("good.wav"))
    with pytest.raises(UploadRefused, match="at least one file"):
        send(site)
    (tmp_path / "empty.wav").touch()
    with pytest.raises(UploadRefused, match="0 bytes"):
        send(site, tmp_path / "empty.wav")
    with Upload(site.settings) as upload:
        upload.add(audio("good.wav"))
        with pytest.raises(UploadRefused, match="process_id: there is no questionnaire"):
            upload.queue(site.engine, 99, 1)
    assert stored(site) == []
    assert tasks.newest(site.engine, 10) == []


def test_limits_hold_while_a_file_arrives(settings: SettingsOf) -> None:
    small = settings(COFI_UPLOAD_MAX_FILE_MB=0.01, COFI_UPLOAD_MAX_FILES=1)
    with Upload(small) as upload:
        upload.start("big.wav")
        upload.write(bytes(10_000))
        with pytest.raises(UploadTooLarge, match=r"big\.wav is larger than 0\.01 MB"):
            upload.write(bytes(1))
    with Upload(small) as upload:
        upload.start("a.wav")
        upload.write(wav())
        upload.end()
        with pytest.raises(UploadTooLarge, match="more than 1 files"):
            upload.start("b.wav")
    assert list(uploads.upload_root(small).iterdir()) == []


@given(st.text(max_size=60))
def test_no_name_becomes_a_path(name: str) -> None:
    try:
        kept = clean_name(name)
    except UploadRefused:
        return
    assert kept not in ("", ".", "..")
    assert "/" not in kept
    assert "\\" not in kept
    assert kept.isprintable() or " " in kept or any(char.isspace() for char in kept)
    kept.encode("utf-8")


@pytest.mark.parametrize(
    ("name", "head", "suffix"),
    [
        ("x.mp3", wav(), ".wav"),
        ("x", b"ID3\x04" + bytes(60), ".mp3"),
        ("x.bin", b"\xff\xfb\x90\x64" + bytes(60), ".mp3"),
        ("x.g729", bytes(range(100, 164)) + b"\x00\x01", ".g729"),
        ("x.g729", b"plain text", None),
        ("x.wav", b"MZ\x90\x00" + bytes(60), None),
        ("x.wav", b"<html>", None),
        ("x.wav", b"\xff\xd8\xff\xe0" + bytes(60), None),
    ],
)
def test_the_kind_is_told_by_the_content(name: str, head: bytes, suffix: str | None) -> None:
    assert suffix_of(name, head) == suffix


def test_only_a_failed_task_can_be_retried_and_each_attempt_has_a_key_of_its_own(site: Site, audio: Audio) -> None:
    task = send(site, audio("a.wav"))
    with pytest.raises(tasks.WrongStatus, match="is queued"):
        tasks.retry(site.engine, task.id)
    tasks.begin(site.engine, task.id, "one")
    with pytest.raises(tasks.WrongStatus, match="processing by run one"):
        tasks.begin(site.engine, task.id, "two")
    tasks.fail(site.engine, task.id, "because")
    again = tasks.retry(site.engine, task.id)
    assert (again.status, again.run_key, again.error) == (TaskStatus.QUEUED, f"task:{task.id}:2", None)
    with pytest.raises(tasks.UnknownTask):
        tasks.get(site.engine, "no-such-task")


def test_what_a_crash_left_of_an_upload_is_removed_after_a_day_and_nothing_else(site: Site, audio: Audio) -> None:
    root = uploads.upload_root(site.settings)
    queued, purged = send(site, audio("a.wav")), send(site, audio("b.wav"))
    uploads.open_batch(site.engine, site.settings, purged)
    site.execute(t.audit_task.delete().where(t.audit_task.c.taskId == purged.id))
    left = [tasks.new_id() for _ in range(2)]
    for name in (*left, "notes", "ffffffff"):
        (root / name).mkdir()
        (root / name / "0001").write_bytes(b"half a file")
    (root / tasks.new_id()).symlink_to(root / "notes")
    day = 24 * 3600
    os.utime(root / left[1], (0, time.time() + day))
    before = {path.name for path in root.iterdir()}
    assert uploads.sweep(site.engine, site.settings, time.time()) == []
    assert uploads.sweep(site.engine, site.settings, time.time() + day + 60) == [root / left[0]]
    assert {path.name for path in root.iterdir()} == before - {left[0]}
    assert (root / queued.id / "0001.wav").is_file()
