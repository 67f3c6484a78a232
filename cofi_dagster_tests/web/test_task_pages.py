"""The pages of uploads and reaudits over HTTP: the form without a script, forged forms, roles, and large reaudits."""

from __future__ import annotations

from collections.abc import Callable

import httpx

from cofi_dagster.adhoc import tasks
from cofi_dagster.adhoc.tasks import TaskKind, TaskStatus
from cofi_dagster.adhoc.uploads import upload_root
from cofi_dagster.database import tables as t
from cofi_dagster.database.bulk import insert_rows
from cofi_dagster.database.engine import writing
from cofi_dagster_tests.batches import wav
from cofi_dagster_tests.pipeline.site import Site
from cofi_dagster_tests.web.test_gate import HTML, KEYS, log_in, token_of

ClientOf = Callable[..., httpx.Client]
CALLS = 10_000


def test_the_form_without_a_script_keeps_nothing_that_is_forged_or_refused(client_of: ClientOf, site: Site) -> None:
    client = client_of(COFI_API_KEYS=KEYS, COFI_UPLOAD_MAX_FILE_MB=0.1)
    log_in(client)
    token = token_of(client.get("/cofi/uploads", headers=HTML))

    def send(data: bytes = wav(mark="a"), **fields: str) -> httpx.Response:
        files = {"files": ("a.wav", data)}
        return client.post("/cofi/uploads", headers=HTML, files=files, data={"csrf": token, **fields})

    forged = send(csrf="0" * 64)
    assert (forged.status_code, "the form is not from here" in forged.text) == (403, True)
    for reply, status, said in (
        (send(b"no sound"), 422, "a.wav is no audio that COFI knows"),
        (send(bytes(200_000)), 413, "a.wav is larger than 0.1 MB"),
        (send(process_id="seven"), 422, "process_id: must be a whole number"),
        (send(process_id="77"), 422, "there is no questionnaire of process 77"),
    ):
        assert (reply.status_code, said in reply.text) == (status, True)
    assert 'value="77"' in send(process_id="77").text
    assert tasks.newest(site.engine, 5) == []
    assert list(upload_root(site.settings).iterdir()) == []

    taken = send()
    (task,) = tasks.newest(site.engine, 5)
    assert (taken.status_code, taken.headers["location"]) == (303, f"/cofi/task/{task.id}")
    assert (task.by, task.request["files"][0]["file"]) == ("anna", "a.wav")


def test_a_viewer_sees_the_tasks_and_no_form(client_of: ClientOf, site: Site) -> None:
    task = tasks.queue(site.engine, TaskKind.REAUDIT, {"audio_names": ["a.wav"], "stages": ["stt"], "batch_id": None})
    tasks.fail(site.engine, task, "the machines are down")
    client = client_of(COFI_API_KEYS=KEYS)
    log_in(client, "a-viewers-key")
    page = client.get("/cofi/uploads", headers=HTML)
    token = {"csrf": token_of(page)}
    assert "the machines are down" in page.text
    assert "Audit calls again" not in page.text
    assert "Retry" not in page.text + client.get(f"/cofi/task/{task}", headers=HTML).text
    for path in ("/cofi/uploads", "/cofi/uploads/reaudit", f"/cofi/task/{task}/retry"):
        assert client.post(path, data=token).status_code == 403
    assert client.get("/cofi/task/unknown", headers=HTML).status_code == 404


def test_a_reaudit_of_10_000_calls_is_a_light_page_whose_changes_are_counted_afterwards(
    client: httpx.Client, site: Site
) -> None:
    names = [f"call_{number:06d}.wav" for number in range(CALLS)]
    request = {"audio_names": names, "stages": ["llm2"], "batch_id": 1}
    task = tasks.queue(site.engine, TaskKind.REAUDIT, request)
    rows = [
        {
            "taskId": task,
            "callId": number,
            "batchId": 1,
            "audioName": name,
            "status": ("completed", "failed")[number % 2],
        }
        for number, name in enumerate(names)
    ]
    common = {"questionId": 1, "question": "Was the client named?", "evidenceStatus": "verified"}
    with writing(site.engine) as connection:
        insert_rows(connection, t.audit_task_call, rows)
        calls = [{**common, "callId": number} for number in range(0, CALLS, 2)]
        insert_rows(connection, t.audit_answer_history, [{**row, "answer": "No", "taskId": task} for row in calls])
        now = [{**row, "answer": "No" if row["callId"] % 10 == 0 else "Yes"} for row in calls]
        insert_rows(connection, t.audit_answer, now)
    tasks.begin(site.engine, task, "run")
    tasks.complete(site.engine, task)
    page = client.get(f"/cofi/task/{task}?state=failed&offset=4950", headers={**HTML, "Accept-Encoding": "identity"})
    assert "call_009999.wav" in page.text
    assert "4,951–5,000 of 5,000" in page.text
    assert "The answers are being compared." in page.text
    assert len(page.content) < 60_000
    live = client.get(f"/cofi/task/{task}/live?changes=950", headers=HTML)
    assert "4,000" in live.text
    assert "The first 1,000 answers that changed" in live.text
    assert "951–1,000 of 1,000" in live.text
    assert "The answers are being compared." not in client.get(f"/cofi/task/{task}", headers=HTML).text
    listed = client.get("/cofi/uploads?kind=reaudit&status=completed", headers=HTML)
    assert "10,000" in listed.text
    assert client.get("/cofi/uploads?kind=upload", headers=HTML).text.count("No task is like that.") == 1
    assert tasks.get(site.engine, task).status is TaskStatus.COMPLETED
