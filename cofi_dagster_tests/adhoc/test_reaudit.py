"""A reaudit does what it is asked to the calls that it names, and nothing to anything else."""

from __future__ import annotations

import socket
import threading
import time

import pytest
import sqlalchemy as sa

from cofi_dagster.adhoc import reaudit, tasks
from cofi_dagster.adhoc.changes import changes_of
from cofi_dagster.adhoc.tasks import TaskStatus
from cofi_dagster.audit.questionnaire import NO_TRADE_DATA
from cofi_dagster.database import tables as t
from cofi_dagster.pipeline.tracker import BatchBusy
from cofi_dagster_tests.adhoc.doing import RUN, batch_row, carry_out, history, queue, redo, states
from cofi_dagster_tests.fleet_simulator import FleetSimulator
from cofi_dagster_tests.pipeline.site import Site

FIRST, SECOND, THIRD = "call_000000.wav", "call_000001.wav", "call_000002.wav"
ALL = ["lid", "stt", "llm1", "llm2"]


def test_only_the_named_calls_are_sent_again_and_batch_status_keeps_every_value(
    each_site: Site, machines: FleetSimulator
) -> None:
    site = each_site
    batch = site.make(3)
    site.run(batch)
    before, untouched = batch_row(site, batch), site.answers(batch)[SECOND]
    machines.forget_records()
    task = redo(site, [FIRST], ["llm2", "stt", "lid", "llm1"])
    assert task.status is TaskStatus.COMPLETED
    assert batch_row(site, batch) == before
    audio = {(service, file) for service, file in machines.counts() if service in ("lid", "stt")}
    assert audio == {("lid", FIRST), ("stt", FIRST)}
    assert sum(count for (service, _), count in machines.counts().items() if service.startswith("llm")) == 2
    assert site.answers(batch)[SECOND] == untouched
    assert {row["status"] for row in site.calls(batch).values()} == {"Complete"}
    assert states(site, task) == {FIRST: ("completed", None)}


def test_calls_that_wait_for_their_batch_are_left_to_it(site: Site) -> None:
    batch = site.make(3)
    site.up_to(batch, "lid")
    task = redo(site, [FIRST], ["stt", "llm1", "llm2"])
    assert task.status is TaskStatus.COMPLETED
    assert {name: row["status"] for name, row in site.calls(batch).items()} == {
        FIRST: "Complete", SECOND: "Pending", THIRD: "Pending",
    }  # fmt: skip
    site.run(batch)
    assert site.status(batch) == "Completed"
    assert {row["status"] for row in site.calls(batch).values()} == {"Complete"}


def test_what_is_replaced_goes_to_history_under_the_task(site: Site) -> None:
    batch = site.make(2)
    site.run(batch)
    old, words = site.answers(batch)[FIRST], site.transcripts(batch)[FIRST]
    task = redo(site, [FIRST], ["stt", "llm1", "llm2"])
    assert [row.text for row in history(site, t.transcript_history, task)] == words
    kept = {row.questionId: row.answer for row in history(site, t.audit_answer_history, task)}
    assert kept == {question: row["answer"] for question, row in old.items() if row["answer"] != NO_TRADE_DATA}
    assert set(site.answers(batch)[FIRST]) == set(old)
    said = t.call_conversation
    call = site.calls(batch)[FIRST]["id"]
    replies = site.rows(sa.select(said.c.replyId).where(said.c.callId == call).distinct())
    assert len(replies) == 2, "LLM1's earlier rows stay beside the new ones"


def test_a_failure_of_the_last_stage_leaves_the_old_answers_and_a_retry_does_only_what_is_left(
    site: Site, machines: FleetSimulator
) -> None:
    batch = site.make(1)
    site.run(batch)
    old = site.answers(batch)[FIRST]
    machines.fault("status", service="llm2", status=422, detail="too long")
    task = redo(site, [FIRST], ALL)
    assert task.status is TaskStatus.FAILED
    assert "too long" in (task.error or "")
    assert site.answers(batch)[FIRST] == old
    assert site.calls(batch)[FIRST]["status"] == "AuditDone"
    machines.forget_records()
    again = carry_out(site, tasks.retry(site.engine, task.id), "second run")
    assert again.status is TaskStatus.COMPLETED
    assert machines.counts()["stt", FIRST] == 0
    assert site.calls(batch)[FIRST]["status"] == "Complete"
    assert site.files(batch)[FIRST]["llm2Done"] == 1


def test_a_failure_before_anything_was_replaced_gives_the_call_back_as_it_was(
    site: Site, machines: FleetSimulator
) -> None:
    batch = site.make(2)
    site.run(batch)
    before = (site.calls(batch), site.files(batch), site.transcripts(batch), site.answers(batch))
    machines.fault("status", service="stt", file=FIRST, status=422, detail="broken")
    task = redo(site, [FIRST, SECOND], ["stt", "llm1", "llm2"])
    assert task.status is TaskStatus.COMPLETED
    assert states(site, task)[FIRST] == ("failed", "stt: HTTP 422: broken")
    assert states(site, task)[SECOND] == ("completed", None)
    assert site.calls(batch)[FIRST] == before[0][FIRST]
    assert site.files(batch)[FIRST] == before[1][FIRST]
    assert site.transcripts(batch)[FIRST] == before[2][FIRST]
    assert site.answers(batch)[FIRST] == before[3][FIRST]


def test_a_fleet_that_is_down_fails_the_task_and_loses_no_call(site: Site, machines: FleetSimulator) -> None:
    batch = site.make(2)
    site.run(batch)
    before = site.calls(batch), site.files(batch)
    for machine in range(2):
        machines.down(machine)
    try:
        task = redo(site, [FIRST], ["lid", "stt"])
    finally:
        for machine in range(2):
            machines.up(machine)
    assert task.status is TaskStatus.FAILED
    assert (site.calls(batch), site.files(batch)) == before
    assert site.tracker.holder(batch) is None


def test_a_call_without_trade_data_keeps_saying_so(site: Site) -> None:
    batch = site.make(2, trades=False)
    site.run(batch)
    three = {question: row for question, row in site.answers(batch)[FIRST].items() if row["answer"] == NO_TRADE_DATA}
    assert len(three) == 3
    task = redo(site, [FIRST], ["llm2"])
    now = site.answers(batch)[FIRST]
    assert {question: now[question] for question in three} == three
    assert len(now) == 20
    assert not {row.questionId for row in history(site, t.audit_answer_history, task)} & set(three)


def test_a_new_transcript_without_new_answers_sends_the_old_ones_to_history(site: Site) -> None:
    batch = site.make(1, trades=False)
    site.run(batch)
    task = redo(site, [FIRST], ["stt"])
    assert site.calls(batch)[FIRST]["status"] == "TranscriptDone"
    assert {row["answer"] for row in site.answers(batch)[FIRST].values()} == {NO_TRADE_DATA}
    assert len(history(site, t.audit_answer_history, task)) == 17


def test_language_identification_alone_gives_the_status_back(site: Site, machines: FleetSimulator) -> None:
    batch = site.make(["lid_again_stays.wav", "lid_again_goes.wav"])
    site.run(batch)
    machines.describe("lid_again_stays.wav", language="hi", duration=44)
    machines.describe("lid_again_goes.wav", language="ta")
    redo(site, ["lid_again_stays.wav", "lid_again_goes.wav"], ["lid"])
    stays, goes = (site.calls(batch)[name] for name in ("lid_again_stays.wav", "lid_again_goes.wav"))
    assert (stays["status"], stays["lang"], stays["audioDuration"]) == ("Complete", "hi", 44)
    assert (goes["status"], goes["lang"]) == ("UnsupportedLanguage", "ta")
    rows = site.rows(sa.select(t.lid_status).where(t.lid_status.c.file == "lid_again_stays.wav"))
    assert len(rows) == 2, "language identification keeps its history"


def test_an_answer_cannot_come_from_a_call_without_transcript(site: Site) -> None:
    batch = site.make(2)
    site.up_to(batch, "stt")
    site.execute(t.transcript.delete().where(t.transcript.c.callId == site.calls(batch)[FIRST]["id"]))
    task = redo(site, [FIRST, SECOND], ["llm2"])
    assert task.status is TaskStatus.COMPLETED
    status, error = states(site, task)[FIRST]
    assert status == "failed"
    assert "no transcript" in (error or "")
    assert states(site, task)[SECOND] == ("completed", None), "LLM2 works from the transcript where LLM1 has not been"
    assert site.calls(batch)[FIRST]["status"] == "TranscriptDone"


def test_a_name_means_the_calls_of_every_batch_or_of_the_one_that_is_named(site: Site) -> None:
    one, two = site.make(1), site.make(1, key="2026-01-15_2")
    site.run(one)
    site.run(two)
    both = redo(site, [FIRST, "nobody.wav"], ["llm2"])
    assert both.batch_id is None
    assert states(site, both)["nobody.wav"] == ("failed", "there is no call of this name")
    assert len({row.callId for row in history(site, t.audit_answer_history, both)}) == 2
    single = redo(site, [FIRST], ["llm2"], two)
    assert single.batch_id == two
    assert {row.callId for row in history(site, t.audit_answer_history, single)} == {site.calls(two)[FIRST]["id"]}


def test_a_task_of_unknown_names_fails_and_says_so(site: Site) -> None:
    task = redo(site, ["nobody.wav"], ["stt"])
    assert task.status is TaskStatus.FAILED
    assert "nobody.wav" in (task.error or "")


@pytest.mark.parametrize(("names", "stages"), [([], ["stt"]), ([FIRST], []), ([FIRST], ["denoise"]), ([FIRST], ["no"])])
def test_a_request_that_cannot_be_done_is_refused_by_its_field(site: Site, names: list[str], stages: list[str]) -> None:
    field = "stages" if names else "audio_names"
    with pytest.raises(reaudit.RequestRefused, match=f"^{field}: "):
        queue(site, names, stages)


def test_a_reaudit_and_a_batchs_run_exclude_each_other(site: Site, machines: FleetSimulator) -> None:
    batch = site.make(2)
    site.up_to(batch, "lid")
    task = queue(site, [FIRST], ["stt"])
    reaudit.begin(site.pipeline, tasks.begin(site.engine, task.id, RUN), RUN, ["stt"])
    machines.forget_records()
    batch_run = threading.Thread(target=lambda: site.run(batch, "triaging", "stt", run="batch-run"))
    batch_run.start()
    time.sleep(0.6)
    assert not machines.counts(), "the batch's run waits for the reaudit"
    reaudit.run_stage(site.pipeline, task, RUN, "stt", ["stt"])
    reaudit.finish(site.pipeline, task)
    batch_run.join(20)
    assert machines.counts()["stt", FIRST] == 1
    assert machines.counts()["stt", SECOND] == 1
    other = tasks.begin(site.engine, queue(site, [FIRST], ["stt"]).id, RUN)
    with site.tracker.stage(batch, "llm1", "batch-run"), pytest.raises(BatchBusy):
        reaudit.begin(site.pipeline, other, RUN, ["stt"])


def test_what_a_dead_run_left_open_is_still_there_for_the_batchs_next_run(site: Site) -> None:
    batch = site.make(2)
    site.up_to(batch, "lid")
    lease = t.batch_lease
    site.execute(lease.insert().values(batchId=batch, runId="dead", host=socket.gethostname(), pid=2**22 - 1))
    site.execute(t.batch_status.update().values(sttStatus="InProgress", sttStartTime=t.utcnow()))
    before = batch_row(site, batch)
    assert redo(site, [FIRST], ["stt"]).status is TaskStatus.COMPLETED
    assert batch_row(site, batch) == before
    holder = site.tracker.holder(batch)
    assert holder is not None
    assert holder.run_id == "dead"


def test_a_task_whose_run_died_in_the_middle_gives_its_calls_back(site: Site) -> None:
    batch = site.make(2)
    site.run(batch)
    before = site.calls(batch), site.files(batch)
    task = queue(site, [FIRST], ["stt", "llm2"])
    reaudit.begin(site.pipeline, tasks.begin(site.engine, task.id, RUN), RUN, ["stt", "llm2"])
    assert site.calls(batch)[FIRST]["status"] == "Pending"
    reaudit.give_up(site.engine, task, "its run died")
    assert (site.calls(batch), site.files(batch)) == before
    ended = tasks.get(site.engine, task.id)
    assert (ended.status, ended.error) == (TaskStatus.FAILED, "its run died")
    site.tracker.release(task.id)
    assert carry_out(site, tasks.retry(site.engine, task.id), "again").status is TaskStatus.COMPLETED


def test_what_changed_is_shown_beside_what_was(site: Site) -> None:
    batch = site.make(1)
    site.run(batch)
    answer = t.audit_answer
    mine = (answer.c.callId == site.calls(batch)[FIRST]["id"]) & (answer.c.questionId == 4)
    site.execute(answer.update().where(mine).values(answer="Something else", model="old-model"))
    first = redo(site, [FIRST], ["llm2"])
    second = redo(site, [FIRST], ["llm2"])
    found = changes_of(site.engine, first)
    changed = [change for change in found.changes if not change.agrees]
    assert [change.question_id for change in changed] == [4]
    assert changed[0].old is not None
    assert changed[0].new is not None
    assert (changed[0].old["answer"], changed[0].old["model"]) == ("Something else", "old-model")
    assert changed[0].new["answer"] == site.answers(batch)[FIRST][4]["answer"]
    assert found.agreement_rate == pytest.approx((found.compared - 1) / found.compared)
    assert changes_of(site.engine, second).agreement_rate == 1.0


def test_the_log_has_the_tasks_start_and_end_under_no_batch_and_the_rest_under_the_batch(site: Site) -> None:
    batch = site.make(1)
    site.run(batch)
    redo(site, [FIRST], ["stt", "llm2"])
    assert len(site.events(0, "reaudit_start")) == len(site.events(0, "reaudit_completed")) == 1
    assert [event["stage"] for event in site.events(batch, "reaudit_stage_complete")] == ["stt", "llm2"]
    tables = [event["metadata"]["table"] for event in site.events(batch, "reaudit_replaced")]
    assert tables == ["transcript", "auditAnswer"]
