"""Whole batches: what is in the directory, which stages run, and that every file ends in a named state."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from cofi_dagster.database import tables as t
from cofi_dagster.pipeline.batches import BatchError
from cofi_dagster.pipeline.tracker import StageFailed
from cofi_dagster.stages import DONE_FLAGS, NAMES
from cofi_dagster_tests.batches import wav
from cofi_dagster_tests.fleet_simulator import FleetSimulator
from cofi_dagster_tests.pipeline.site import KEY, Site

Opening = Callable[..., Site]
FILE_STAGES = ("file_distribution", "denoise", "ivr", "lid", "stt", "llm1", "llm2")


def directory(here: Site, key: str = KEY) -> Path:
    folder = here.settings.batches / key
    folder.mkdir(parents=True)
    return folder


def count(here: Site, table: sa.Table) -> int:
    return int(here.rows(sa.select(sa.func.count()).select_from(table))[0][0])


def test_every_sum_of_a_batch_with_all_sorts_of_files_adds_up(each_site: Opening, machines: FleetSimulator) -> None:
    here = each_site(COFI_MAX_ATTEMPTS=1, **machines.environment())
    names = [f"{kind}{n}.wav" for kind in ("good", "short", "tamil", "corrupt", "unclear") for n in range(4)]
    batch = here.make(names, trades=False)
    (here.directory(batch) / "empty.wav").touch()
    machines.describe("short*", duration=4)
    machines.describe("tamil*", language="ta")
    machines.fault("status", service="lid", file="corrupt*", status=415, detail="no audio", times=None)
    machines.fault("length", service="llm2", file="unclear*", times=None)
    reports = {name: here.run(batch, name) for name in NAMES}
    sums = {name: (r.total, r.done, r.failed, r.skipped) for name, r in reports.items() if name in FILE_STAGES}
    assert sums == {
        "file_distribution": (21, 20, 1, 0),
        "denoise": (20, 20, 0, 0),
        "ivr": (20, 20, 0, 0),
        "lid": (20, 16, 4, 0),
        "stt": (16, 8, 0, 8),
        "llm1": (8, 8, 0, 0),
        "llm2": (8, 4, 4, 0),
    }
    assert Counter(row["status"] for row in here.calls(batch).values()) == {
        "Complete": 4, "ShortCall": 4, "UnsupportedLanguage": 4, "AuditDone": 4, "Pending": 5,
    }  # fmt: skip
    assert here.pipeline.batch(batch).total_files == 21
    assert here.status(batch) == "Completed"
    for stage, (total, done, failed, skipped) in sums.items():
        logged = here.logged(batch, stage)
        assert all(len(statuses) == 1 for statuses in logged.values())
        assert Counter(statuses[0] for statuses in logged.values()) == Counter(success=done, failed=failed)
        (event,) = here.events(batch, "stage_complete", stage)
        assert (event["totalFiles"], event["processedFiles"]) == (total, done)
        assert event["metadata"] == {"failed": failed, "skipped": skipped}
        assert len(here.events(batch, "file_error", stage)) == failed
    assert here.events(batch, "file_start") == here.events(batch, "file_complete") == []


def test_a_re_run_tries_what_failed_and_nothing_else(each_site: Opening, machines: FleetSimulator) -> None:
    here = each_site(COFI_MAX_ATTEMPTS=1, **machines.environment())
    batch = here.make(6, trades=False)
    machines.fault("status", service="lid", file="call_000001.wav", status=422)
    machines.fault("length", service="llm2", file="call_000002.wav")
    here.run(batch)
    assert here.status(batch) == "Completed"
    before = len(machines.requests())
    here.run(batch, run="again")
    asked = {(request.service, request.file) for request in machines.requests()[before:]}
    assert asked == {
        *((service, "call_000001.wav") for service in ("lid", "stt", "llm1", "llm2")),
        ("llm2", "call_000002.wav"),
    }
    assert {row["status"] for row in here.calls(batch).values()} == {"Complete"}
    assert count(here, t.audit_answer) == 6 * 20


@pytest.mark.parametrize("disabled", ["llm1", "llm1,llm2", "llm2", "triaging,triaging_step2", "callmetadata"])
def test_a_batch_completes_without_optional_stages(site: Opening, machines: FleetSimulator, disabled: str) -> None:
    here = site(COFI_STAGES_DISABLED=disabled, **machines.environment())
    batch = here.make(3, trades=False)
    here.run(batch)
    assert here.status(batch) == "Completed"
    last = {"llm1": "Complete", "llm1,llm2": "TranscriptDone", "llm2": "AuditDone"}.get(disabled, "Complete")
    assert {row["status"] for row in here.calls(batch).values()} == {last}
    asked = {service for service, _ in machines.counts()}
    assert asked.isdisjoint(disabled.split(","))


def test_everything_optional_can_be_disabled_at_once(site: Opening, machines: FleetSimulator) -> None:
    optional = "callmetadata,trademetadata,denoise,ivr,triaging,llm1,triaging_step2,llm2"
    here = site(COFI_STAGES_DISABLED=optional, **machines.environment())
    batch = here.make(2)
    here.run(batch)
    assert here.status(batch) == "Completed"
    assert {service for service, _ in machines.counts()} == {"files", "lid", "stt"}


def test_a_stage_that_is_enabled_later_runs_then(site: Opening, machines: FleetSimulator) -> None:
    here = site(COFI_STAGES_DISABLED="denoise", **machines.environment())
    batch = here.make(2)
    here.run(batch)
    there = site(**machines.environment())
    there.run(batch, "denoise")
    assert there.stage(batch, "denoise").status == "Complete"
    assert there.status(batch) == "Completed"


@pytest.mark.parametrize("content", [[], ["callMetadata.csv", "notes.txt", "_SUCCESS"]])
def test_a_directory_without_audio_fails_its_batch_and_says_so(each_site: Opening, content: list[str]) -> None:
    here = each_site(GPU_MACHINES="127.0.0.1")
    folder = directory(here)
    for name in content:
        (folder / name).touch()
    batch = here.register(folder)
    with pytest.raises(StageFailed, match=f"the batch directory {folder} holds no audio files"):
        here.run(batch, "file_distribution")
    state = here.stage(batch, "file_distribution")
    assert (state.status, here.status(batch)) == ("Failed", "Failed")
    assert state.ended is not None


def test_a_directory_that_is_gone_is_not_an_empty_one(site: Opening, machines: FleetSimulator) -> None:
    here = site(**machines.environment())
    batch = here.make(2)
    shutil.rmtree(here.directory(batch))
    with pytest.raises(StageFailed, match="cannot be read: No such file or directory"):
        here.run(batch, "file_distribution")


def test_a_directory_whose_name_is_no_key_is_refused(site: Opening) -> None:
    here = site()
    with pytest.raises(BatchError, match="'today' is no batch key"):
        here.register(directory(here, "today"))


def test_one_key_from_two_directories_is_refused(site: Opening, machines: FleetSimulator, tmp_path: Path) -> None:
    here = site(**machines.environment())
    here.make(1)
    other = tmp_path / "elsewhere" / KEY
    other.mkdir(parents=True)
    with pytest.raises(BatchError, match=f"comes from {here.settings.batches / KEY}, not from {other}"):
        here.register(other)


STRANGE = {
    "spaces": "call of  Mr. Rao .wav",
    "quotes": 'O\'Brien "the client" `x` \\ ;--.wav',
    "url": "100%25?a=b&c#d+e.wav",
    "devanagari": "श्री_शर्मा_कॉल.wav",
    "emoji": "📞.wav",
    "longest": "x" * 251 + ".wav",
    "longest devanagari": "क" * 83 + "ab.wav",
    "newline": "two\nlines.wav",
    "upper": "LOUD.WAV",
    "dash": "--help.wav",
    "dots": "..hidden.wav",
}


def test_strange_names_go_through_all_stages(each_site: Opening, machines: FleetSimulator) -> None:
    here = each_site(**machines.environment())
    batch = here.make(list(STRANGE.values()))
    here.run(batch)
    assert here.failures(batch) == {}
    calls = here.calls(batch)
    assert {name: calls[name]["status"] for name in STRANGE.values()} == dict.fromkeys(STRANGE.values(), "Complete")
    assert sorted(machines.files(0) + machines.files(1)) == sorted(f"{batch}/{name}" for name in STRANGE.values())


def test_names_that_differ_only_in_case_are_different_calls(each_site: Opening, machines: FleetSimulator) -> None:
    here = each_site(**machines.environment())
    names = ["call.wav", "CALL.wav", "Call.WAV", "cäll.wav", "CÄLL.wav", "cäll.wav"]
    batch = here.make(names, calls=False, trades=False)
    here.run(batch)
    assert set(here.calls(batch)) == set(names)
    assert all(row[flag] for row in here.files(batch).values() for flag in DONE_FLAGS)
    for name, words in here.transcripts(batch).items():
        assert words[0] == f"This is call {name}."


def test_names_that_are_not_utf8_fail_by_name_and_none_vanishes(each_site: Opening, machines: FleetSimulator) -> None:
    here = each_site(**machines.environment())
    batch = here.make(2, trades=False)
    folder = os.fsencode(here.directory(batch))
    for name in (b"caf\xe9.wav", b"\xff" * 251 + b".wav", b"\xff" * 250 + b"\xfe.wav"):
        with open(folder + b"/" + name, "wb") as out:
            out.write(wav())
    report = here.run(batch, "file_distribution")
    assert (report.total, report.done, report.failed) == (5, 2, 3)
    failures = here.failures(batch)
    assert failures["caf\\xe9.wav"] == "its name is not UTF-8: rename it"
    assert len(failures) == 3


def test_empty_files_fail_and_the_others_go_on(each_site: Opening, machines: FleetSimulator) -> None:
    here = each_site(**machines.environment())
    batch = here.make(3, trades=False)
    (here.directory(batch) / "empty.wav").touch()
    here.run(batch)
    assert here.failures(batch) == {"empty.wav": "the file is empty (0 bytes)"}
    assert here.status(batch) == "Completed"
    assert machines.counts()["files", "empty.wav"] == 0


def test_a_link_is_named_as_failed_and_never_followed(each_site: Opening, machines: FleetSimulator) -> None:
    here = each_site(**machines.environment())
    batch = here.make(2, trades=False)
    (here.directory(batch) / "dangling.wav").symlink_to("nowhere")
    (here.directory(batch) / "secret.wav").symlink_to("/etc/hostname")
    (here.directory(batch) / "folder.wav").mkdir()
    report = here.run(batch, "file_distribution")
    assert (report.total, report.done, report.failed) == (4, 2, 2)
    assert set(here.failures(batch)) == {"dangling.wav", "secret.wav"}
    assert set(here.failures(batch).values()) == {"it is a link, not a file: copy the file itself here"}


def test_a_file_that_comes_late_is_taken_by_the_next_run(site: Opening, machines: FleetSimulator) -> None:
    here = site(**machines.environment())
    batch = here.make(3, trades=False)
    here.run(batch)
    (here.directory(batch) / "late.wav").write_bytes(wav(mark="late"))
    here.run(batch)
    assert here.calls(batch)["late.wav"]["status"] == "Complete"
    assert here.pipeline.batch(batch).total_files == 4


def test_a_file_that_is_gone_before_its_upload_fails_by_name(site: Opening, machines: FleetSimulator) -> None:
    here = site(COFI_MAX_ATTEMPTS=1, **machines.environment())
    batch = here.make(3)
    machines.fault("status", service="files", file="call_000001.wav", status=500)
    here.run(batch, "file_distribution")
    (here.directory(batch) / "call_000001.wav").unlink()
    here.run(batch, "file_distribution")
    assert here.failures(batch) == {"call_000001.wav": "the file is no longer in the batch directory"}


def test_one_audio_name_in_two_batches_is_two_calls(each_site: Opening, machines: FleetSimulator) -> None:
    here = each_site(COFI_MAX_ATTEMPTS=1, **machines.environment())
    first = here.make(4)
    second = here.make(4, "2026-01-16_1")
    here.run(first)
    machines.fault("status", service="stt", file="call_000001.wav", status=415, times=None)
    assert here.status(second) == "Pending"
    here.run(second)
    assert here.calls(first)["call_000001.wav"]["status"] == "Complete"
    assert here.calls(second)["call_000001.wav"]["status"] == "Pending"
    assert len(here.flagged(first, "sttDone")) == 4
    assert len(here.flagged(second, "sttDone")) == 3
    assert len(here.transcripts(first)["call_000001.wav"]) == 4
    assert len(machines.files(0)) + len(machines.files(1)) == 8


# -- events ------------------------------------------------------------------------------------------------------


def test_progress_is_told_every_so_many_files(each_site: Opening, machines: FleetSimulator) -> None:
    here = each_site(PROGRESS_UPDATE_INTERVAL=10, COFI_COMMIT_FILES=7, **machines.environment())
    batch = here.make(35)
    here.up_to(batch, "denoise")
    for stage in ("file_distribution", "denoise"):
        (begun,) = here.events(batch, "stage_start", stage)
        assert begun["totalFiles"] == 35
        events = here.events(batch, "stage_progress", stage)
        assert [(event["processedFiles"], event["totalFiles"]) for event in events] == [(10, 35), (20, 35), (30, 35)]
        assert here.events(batch, "stage_complete", stage)[0]["id"] > events[-1]["id"] > begun["id"]


def test_each_files_start_and_end_are_told_where_asked_for(site: Opening, machines: FleetSimulator) -> None:
    here = site(LOG_FILE_START_EVENTS="true", **machines.environment())
    batch = here.make(5)
    machines.fault("status", service="denoise", file="call_000001.wav", status=503, retry_after=0, times=3)
    machines.fault("status", service="denoise", file="call_000002.wav", status=500)
    machines.fault("status", service="denoise", file="call_000003.wav", status=422)
    here.up_to(batch, "denoise")
    files = {f"call_{number:06d}.wav" for number in range(5)}
    started = [event["fileName"] for event in here.events(batch, "file_start", "denoise")]
    ended = [event["fileName"] for event in here.events(batch, "file_complete", "denoise")]
    assert sorted(started) == sorted(files)
    assert sorted(ended) == sorted(files - {"call_000003.wav"})
