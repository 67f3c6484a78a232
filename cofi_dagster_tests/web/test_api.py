"""The API over HTTP: what it takes, what it says, and what it refuses with which code."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from cofi_dagster.adhoc import reaudit, tasks
from cofi_dagster.adhoc.uploads import upload_root
from cofi_dagster.database import tables as t
from cofi_dagster_tests.batches import wav
from cofi_dagster_tests.pipeline.site import Site

NOBODY = "00000000-0000-4000-8000-000000000000"
Clients = Callable[..., httpx.Client]


def post(client: httpx.Client, *names: str, content: bytes | None = None, **fields: Any) -> Any:
    """Send an upload."""
    files = [("files", (name, content if content is not None else wav(mark=name))) for name in names]
    return client.post("/audit/upload", files=files, data=fields)


def test_an_upload_is_queued_and_its_status_names_every_file(site: Site, client: httpx.Client) -> None:
    reply = post(client, "../../etc/passwd.wav", "बात.wav", process_id="1")
    assert reply.status_code == 202
    assert reply.json()["status"] == "queued"
    status = client.get(f"/audit/status/{reply.json()['task_id']}").json()
    assert set(status) == {
        "task_id", "kind", "status", "batch_id", "run_id", "created_at", "started_at", "completed_at", "error",
        "progress", "files",
    }  # fmt: skip
    assert (status["kind"], status["status"], status["progress"], status["batch_id"]) == ("upload", "queued", 0, None)
    assert [file["file"] for file in status["files"]] == ["passwd.wav", "बात.wav"]
    assert status["created_at"].endswith("Z")
    stored = [path for path in upload_root(site.settings).rglob("*") if path.is_file()]
    assert sorted(path.name for path in stored) == ["0001.wav", "0002.wav"]


@pytest.mark.parametrize(
    ("names", "how", "code", "says"),
    [
        (("a.wav", "a.wav"), {}, 422, "two files are called a.wav"),
        (("a.wav",), {"content": b"no sound"}, 422, "a.wav is no audio"),
        (("a.wav",), {"content": b""}, 422, "0 bytes"),
        (("a.wav",), {"process_id": "7"}, 422, "process_id: "),
        (("a.wav",), {"process_id": "x"}, 422, "process_id: "),
        (("a.wav",), {"category_mapping_id": "9"}, 422, "category_mapping_id: "),
        (("a.wav",), {"content": wav() + bytes(300_000)}, 413, "larger than 0.2 MB"),
        (("a.wav", "b.wav", "c.wav", "d.wav"), {}, 413, "more than 3 files"),
    ],
)
def test_a_bad_upload_is_refused_whole(
    client_of: Clients, site: Site, names: tuple[str, ...], how: dict[str, Any], code: int, says: str
) -> None:
    client = client_of(COFI_UPLOAD_MAX_FILES=3, COFI_UPLOAD_MAX_FILE_MB=0.2)
    reply = post(client, *names, **how)
    assert reply.status_code == code
    assert says in reply.json()["detail"]
    assert not [path for path in upload_root(site.settings).rglob("*") if path.is_file()]
    assert tasks.newest(site.engine, 5) == []


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "multipart/form-data"),
        (b"not multipart", "multipart/form-data; boundary=x"),
        (
            b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.wav"\r\n\r\nRIFF',
            "multipart/form-data; boundary=x",
        ),
        (b"{}", "application/json"),
    ],
)
def test_a_request_that_is_no_upload_is_refused(client: httpx.Client, body: bytes, kind: str) -> None:
    reply = client.post("/audit/upload", content=body, headers={"Content-Type": kind})
    assert reply.status_code == 422
    assert reply.json()["detail"].startswith("files: ")


def test_many_uploads_at_once_are_all_there(site: Site, client: httpx.Client) -> None:
    replies: list[Any] = []
    threads = [
        threading.Thread(target=lambda n=n: replies.append(post(client, *(f"{n}-{k}.wav" for k in range(5)))))
        for n in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {reply.status_code for reply in replies} == {202}
    assert len({reply.json()["task_id"] for reply in replies}) == len(tasks.newest(site.engine, 100)) == 20


def test_a_reaudit_is_taken_on_and_its_stages_are_put_in_order(site: Site, client: httpx.Client) -> None:
    reply = client.post("/reaudit", json={"audio_names": ["a.wav", "a.wav"], "stages": ["llm2", "stt"]})
    assert (reply.status_code, reply.json()["status"]) == (202, "processing")
    task = tasks.get(site.engine, reply.json()["task_id"])
    assert task.request == {"audio_names": ["a.wav"], "stages": ["stt", "llm2"], "batch_id": None}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"audio_names": [], "stages": ["stt"]}, 422),
        ({"audio_names": ["a.wav"], "stages": ["denoise"]}, 422),
        ({"audio_names": ["a.wav"]}, 422),
        ({"audio_names": ["a.wav"], "stages": ["stt"], "batch_id": 5}, 404),
        ({"audio_names": ["a.wav"], "stages": ["stt"], "more": 1}, 422),
    ],
)
def test_a_bad_reaudit_is_refused(client: httpx.Client, body: dict[str, Any], code: int) -> None:
    reply = client.post("/reaudit", json=body)
    assert reply.status_code == code
    assert isinstance(reply.json()["detail"], str)


def test_what_a_batch_looks_like_from_outside(site: Site, client: httpx.Client) -> None:
    batch = site.make(3)
    site.run(batch)
    timing = client.get(f"/api/batch/{batch}/timing").json()
    assert [stage["name"] for stage in timing["stages"]][:2] == ["file_distribution", "callmetadata"]
    assert {stage["status"] for stage in timing["stages"]} == {"Complete"}
    assert all(stage["duration_seconds"] is not None for stage in timing["stages"])
    job = client.get(f"/api/batch/{batch}/status").json()
    assert (job["status"], job["progress"]) == ("completed", 100)
    stt = next(phase for phase in job["phase_details"] if phase["name"] == "stt")
    assert (stt["status"], stt["items_processed"], stt["items_total"]) == ("completed", 3, 3)
    document = client.get(f"/status/{batch}").json()
    assert document["stage_status"]["llm2"]["status"] == document["status"] == "completed"
    statistics = client.get("/stages/statistics").json()["stages"]
    assert statistics["stt"]["completed"] == 1
    files = client.get(f"/api/batch/{batch}/files", params={"limit": 2}).json()
    assert (files["total"], len(files["files"])) == (3, 2)
    call = client.get(f"/api/call/{files['files'][0]['call_id']}").json()
    assert call["transcript"]
    assert len(call["answers"]) == 20
    assert call["trades"][0]["is_evidence"]
    listed = client.get("/api/batches").json()
    assert listed["batches"][0]["batch"] == "2026-01-15_1"
    assert client.get("/api/trends").json()["days"][0]["files"] == 3
    assert 'cofi_batches{kind="batch",status="Completed"} 1' in client.get("/metrics").text


def test_a_batch_at_work_is_estimated_from_those_before(site: Site, client: httpx.Client) -> None:
    site.run(site.make(2))
    batch = site.make(2, key="2026-01-15_2")
    assert client.get(f"/api/batch/{batch}/timing").json()["estimated_remaining_seconds"] is None
    site.up_to(batch, "lid")
    assert client.get(f"/api/batch/{batch}/timing").json()["estimated_remaining_seconds"] > 0
    assert client.get(f"/status/{batch}").json()["current_stage"] == "triaging"


def test_what_a_reaudit_changed_is_told_by_question(site: Site, client: httpx.Client) -> None:
    batch = site.make(1)
    site.run(batch)
    request = reaudit.request_of(site.engine, site.settings, ["call_000000.wav"], ["llm2"], None)
    task = tasks.begin(site.engine, reaudit.queue(site.engine, request), "run")
    reaudit.begin(site.pipeline, task, "run", ["llm2"])
    reaudit.run_stage(site.pipeline, task, "run", "llm2", ["llm2"])
    reaudit.finish(site.pipeline, task)
    reply = client.get(f"/api/reaudit/{task.id}/changes").json()
    assert (reply["compared"], reply["agreed"], reply["agreement_rate"]) == (20, 20, 1.0)
    assert reply["changes"][0]["old"]["prompt_version"]
    assert client.post(f"/audit/retry/{task.id}").status_code == 409


@pytest.mark.parametrize(
    "path",
    [
        "/api/batch/99/timing", "/api/batch/99/status", "/status/99", "/api/batch/99/files", "/api/call/99",
        f"/audit/status/{NOBODY}", "/audit/status/x", f"/api/reaudit/{NOBODY}/changes", "/api/nothing",
    ],
)  # fmt: skip
def test_what_is_not_there_is_404_with_a_sentence(client: httpx.Client, path: str) -> None:
    reply = client.get(path)
    assert reply.status_code == 404
    assert isinstance(reply.json()["detail"], str)


def test_viewers_look_and_operators_do(client_of: Clients) -> None:
    client = client_of(COFI_API_KEYS="ann:viewer:look,bob:operator:do")
    look, do = {"Authorization": "Bearer look"}, {"X-API-Key": "do"}
    body = {"audio_names": ["a.wav"], "stages": ["stt"]}
    assert client.get("/api/batches").status_code == 401
    assert client.get("/api/batches", headers={"X-API-Key": "no"}).status_code == 401
    assert client.get("/health").status_code == 200
    assert client.get("/metrics").status_code == 401
    assert client.get("/api/batches", headers=look).status_code == 200
    assert client.post("/reaudit", headers=look, json=body).status_code == 403
    assert client.post("/reaudit", headers=do, json=body).status_code == 202
    assert client.get("/runs", headers=look).text == "the Dagster UI, to look at"
    assert client.get("/runs", headers=do).text == "the Dagster UI"


def test_another_sites_page_cannot_post(client: httpx.Client) -> None:
    body = {"audio_names": ["a.wav"], "stages": ["stt"]}
    assert client.post("/reaudit", json=body, headers={"Origin": "https://elsewhere.example"}).status_code == 403
    assert client.post("/reaudit", json=body, headers={"Origin": str(client.base_url).rstrip("/")}).status_code == 202


def test_too_many_requests_are_told_to_wait(client_of: Clients) -> None:
    client = client_of(COFI_RATE_LIMIT_PER_MINUTE=3)
    body = {"audio_names": ["a.wav"], "stages": ["stt"]}
    codes = [client.post("/reaudit", json=body).status_code for _ in range(4)]
    assert codes == [202, 202, 202, 429]
    refused = client.post("/reaudit", json=body)
    assert int(refused.headers["Retry-After"]) >= 1
    assert client.get("/api/batches").status_code == 200


def test_the_log_names_requests_and_never_what_was_said(
    site: Site, client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    batch = site.make(1)
    site.run(batch)
    call = site.calls(batch)["call_000000.wav"]["id"]
    with caplog.at_level(logging.INFO):
        reply = client.get(f"/api/call/{call}", headers={"X-Request-ID": "abc-1"})
        other = client.get(f"/api/call/{call}", headers={"X-Request-ID": "bad id"})
    assert reply.headers["X-Request-ID"] == "abc-1"
    assert other.headers["X-Request-ID"] != "bad id"
    assert f"GET /api/call/{call} 200" in caplog.text
    assert "abc-1" in caplog.text
    for text in site.rows(sa.select(t.transcript.c.text)):
        assert text[0] not in caplog.text
