from __future__ import annotations

import hashlib
import re
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cofi_dagster_tests.node.conftest import RunningNode, quoted, running_node
from cofi_dagster_tests.node.signals import encode, indian_ring, silence, tone, with_noise

NAMES = (
    "plain.wav",
    "with space & plus+.wav",
    "quote'\"`.wav",
    "percent%41.wav",
    "question?hash#.wav",
    "कॉल रिकॉर्डिंग १.wav",
    "../../etc/passwd.wav",
    "/absolute.wav",
    "folder/inside.wav",
    "...wav",
    "x" * 251 + ".wav",
    "\n\t.wav",
)


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return encode(tmp_path_factory.mktemp("a") / "a.wav", "pcm.wav", indian_ring(3)).read_bytes()


@pytest.fixture(scope="module")
def tone_of_two_seconds(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return encode(tmp_path_factory.mktemp("b") / "b.wav", "pcm.wav", tone(2, 1000)).read_bytes()


def test_a_file_is_taken_with_its_checksum_and_found_again(node: RunningNode, ring: bytes) -> None:
    digest = hashlib.sha256(ring).hexdigest()
    reply = node.put("a.wav", ring, batch=11, **{"X-Content-SHA256": digest})
    assert reply.status_code == 201
    assert reply.json() == {"file": "a.wav", "bytes": len(ring), "sha256": digest}
    assert node.put("a.wav", ring, batch=11).status_code == 201
    assert node.client.head("/files/11/a.wav").status_code == 200
    assert node.client.head("/files/12/a.wav").status_code == 404
    assert node.client.head("/files/11/A.wav").status_code == 404


@pytest.mark.parametrize("name", NAMES)
def test_any_name_is_kept_apart_and_never_becomes_a_path(node: RunningNode, ring: bytes, name: str) -> None:
    body = ring + name.encode()
    reply = node.client.put(f"/files/13/{quoted(name)}", content=body)
    assert (reply.status_code, reply.json()["file"]) == (201, name)
    assert node.ask("ivr", name, batch=13).json()["file"] == name
    assert node.client.head(f"/files/13/{quoted(name)}").headers["X-Content-SHA256"] == reply.json()["sha256"]
    written = [str(path.relative_to(node.home / "files" / "13")) for path in (node.home / "files" / "13").rglob("*.*")]
    assert all(re.fullmatch(r"[0-9a-f]{64}/(current\.json|[0-9a-f]{64}\.(audio|ivr\.json))", path) for path in written)
    assert {path.name for path in node.home.iterdir()} == {"files", "incoming"}


def test_a_name_that_is_no_utf8_is_kept_apart_too(node: RunningNode, ring: bytes) -> None:
    for raw in ("%E9.wav", "%E8.wav"):
        assert node.client.put(f"/files/14/{raw}", content=ring).status_code == 201
    assert node.client.head("/files/14/%E9.wav").status_code == 200
    assert node.client.head("/files/14/%EA.wav").status_code == 404


def test_a_wrong_checksum_is_refused_and_the_old_file_stays(node: RunningNode, ring: bytes) -> None:
    node.put("kept.wav", ring, batch=15)
    reply = node.put("kept.wav", ring[:-5], batch=15, **{"X-Content-SHA256": hashlib.sha256(ring).hexdigest()})
    assert reply.status_code == 400
    assert "SHA-256" in reply.json()["detail"]
    assert node.client.head("/files/15/kept.wav").headers["X-Content-SHA256"] == hashlib.sha256(ring).hexdigest()
    assert node.put("new.wav", ring, batch=15, **{"X-Content-SHA256": "0" * 64}).status_code == 400
    assert node.client.head("/files/15/new.wav").status_code == 404


@pytest.mark.parametrize("batch", ["-1", "abc", "1.5", "٣", "9" * 30])
def test_a_batch_id_is_a_whole_number(node: RunningNode, batch: str) -> None:
    for reply in (node.client.put(f"/files/{batch}/a.wav", content=b"x"), node.client.delete(f"/files/{batch}")):
        assert reply.status_code == 400
        assert "batch id" in reply.json()["detail"]


def test_deleting_a_batch_forgets_it_and_no_other_and_may_be_repeated(node: RunningNode, ring: bytes) -> None:
    for batch in (16, 17):
        node.put("a.wav", ring, batch=batch)
    assert [node.client.delete("/files/16").status_code for _ in range(2)] == [204, 204]
    assert node.client.head("/files/16/a.wav").status_code == 404
    assert node.ask("ivr", "a.wav", batch=16).status_code == 404
    assert node.client.head("/files/17/a.wav").status_code == 200
    assert node.put("a.wav", ring, batch=16).status_code == 201


def test_a_new_body_forgets_what_was_derived_from_the_old_one(
    node: RunningNode, ring: bytes, tone_of_two_seconds: bytes, tmp_path: Path
) -> None:
    noisy = encode(tmp_path / "n.wav", "pcm.wav", with_noise(silence(9), 0.01)).read_bytes()
    node.put("a.wav", noisy, batch=18)
    assert node.ask("denoise", "a.wav", batch=18).json()["audio_duration"] == pytest.approx(9.0)
    assert [s["kind"] for s in node.ask("ivr", "a.wav", batch=18).json()["segments"]] == ["silence"]
    node.put("a.wav", tone_of_two_seconds, batch=18)
    assert node.ask("ivr", "a.wav", batch=18).json() == {"file": "a.wav", "audio_duration": 2.0, "segments": []}
    assert node.ask("denoise", "a.wav", batch=18).json()["audio_duration"] == 2.0
    assert len(list((node.home / "files" / "18").rglob("*.audio"))) == 1


def test_many_clients_putting_one_file_leave_one_whole_file(node: RunningNode, ring: bytes) -> None:
    bodies = [ring + bytes(n * 1000) for n in range(8)]
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda body: node.put("same.wav", body, batch=19), bodies * 4))
    assert {reply.status_code for reply in replies} == {201}
    digests = {hashlib.sha256(body).hexdigest() for body in bodies}
    assert node.client.head("/files/19/same.wav").headers["X-Content-SHA256"] in digests
    assert len(list((node.home / "files" / "19").rglob("*.audio"))) == 1
    assert node.ask("ivr", "same.wav", batch=19).status_code == 200


def test_a_file_replaced_while_it_is_read_is_one_or_the_other(
    node: RunningNode, ring: bytes, tone_of_two_seconds: bytes
) -> None:
    node.put("swap.wav", ring, batch=20)
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            for body in (tone_of_two_seconds, ring):
                assert node.put("swap.wav", body, batch=20).status_code == 201

    with ThreadPoolExecutor(1) as pool:
        swapping = pool.submit(swap)
        replies = [node.ask(stage, "swap.wav", batch=20) for _ in range(40) for stage in ("denoise", "ivr")]
        stop.set()
        swapping.result()
    assert {reply.status_code for reply in replies} == {200}
    assert {reply.json()["audio_duration"] for reply in replies} <= {2.0, 9.0}


def test_a_client_that_leaves_in_the_middle_leaves_nothing(node: RunningNode) -> None:
    with socket.create_connection((node.client.base_url.host, node.client.base_url.port)) as raw:
        raw.sendall(b"PUT /files/21/half.wav HTTP/1.1\r\nHost: n\r\nContent-Length: 100000\r\n\r\n" + bytes(5000))
    assert node.client.head("/files/21/half.wav").status_code == 404
    for _ in range(100):
        if not list((node.home / "incoming").iterdir()):
            return
        threading.Event().wait(0.02)
    pytest.fail("the half file is still there")


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    with running_node(tmp_path, workers=1, largest_file=1 << 20, wait=False) as node:
        node.wait_until_listening()
        reply = node.put("big.wav", bytes(3 << 20))
        assert reply.status_code == 507
        assert "disk" in reply.json()["detail"]
        assert node.client.head("/files/1/big.wav").status_code == 404
        assert list((tmp_path / "incoming").iterdir()) == []
        assert node.put("small.wav", bytes(1000)).status_code == 201


def test_files_outlive_the_node(tmp_path: Path, ring: bytes) -> None:
    for expected in (404, 200):
        with running_node(tmp_path, workers=1, wait=False) as node:
            node.wait_until_listening()
            assert node.client.head("/files/1/a.wav").status_code == expected
            node.put("a.wav", ring)
