from __future__ import annotations

import contextlib
import json
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest

from cofi_dagster_tests.node.conftest import RunningNode, running_node
from cofi_dagster_tests.node.signals import conversation, encode, tone, with_noise


@pytest.fixture(scope="module")
def long_call(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Three minutes of noisy talk: denoising them takes a worker about half a second."""
    call = with_noise(np.tile(conversation(), 6), 0.02)
    return encode(tmp_path_factory.mktemp("long") / "a.wav", "pcm.wav", call).read_bytes()


@pytest.fixture(scope="module")
def short_call(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return encode(tmp_path_factory.mktemp("short") / "a.wav", "pcm.wav", tone(1, 1000)).read_bytes()


def workers_of(node: RunningNode) -> list[psutil.Process]:
    """The processes that hold the loaded engines: the fork server's children."""
    return [child for server in node.process.children() for child in server.children()]


def test_health_says_loading_then_ready_and_a_killed_node_takes_its_workers_along(tmp_path: Path) -> None:
    with running_node(tmp_path, wait=False) as node:
        assert node.wait_until_listening() == 503
        assert node.put("a.wav", b"uploads need no worker").status_code == 201
        node.wait_until_ready()
        assert len(workers_of(node)) == 2
        family = node.process.children(recursive=True)
        node.process.kill()
        _, alive = psutil.wait_procs(family, timeout=5)
        assert alive == []


def test_sigterm_ends_the_node_and_its_workers_in_the_middle_of_work(tmp_path: Path, long_call: bytes) -> None:
    with running_node(tmp_path, workers=1) as node:
        for number in range(6):
            node.put(f"{number}.wav", long_call)
        family = node.process.children(recursive=True)
        assert len(family) >= 2

        def ask(number: int) -> None:
            with contextlib.suppress(httpx.TransportError):
                assert node.ask("denoise", f"{number}.wav").status_code in (200, 500)

        with ThreadPoolExecutor(6) as pool:
            asked = [pool.submit(ask, number) for number in range(6)]
            time.sleep(0.3)
            begun = time.monotonic()
            node.process.send_signal(signal.SIGTERM)
            assert node.process.wait(10) == 0
            assert time.monotonic() - begun < 3
            for one in asked:
                one.result()
        _, alive = psutil.wait_procs(family, timeout=3)
        assert alive == []


def test_ctrl_c_while_the_workers_warm_up_ends_the_node(tmp_path: Path) -> None:
    with running_node(tmp_path, workers=1, wait=False) as node:
        node.wait_until_listening()
        family = node.process.children(recursive=True)
        node.process.send_signal(signal.SIGINT)
        assert node.process.wait(20) == 0
        _, alive = psutil.wait_procs(family, timeout=3)
        assert alive == []


def test_a_worker_that_dies_fails_its_own_request_alone_and_is_replaced(node: RunningNode, long_call: bytes) -> None:
    for number in range(6):
        node.put(f"{number}.wav", long_call, batch=52)
    with ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(node.ask, "denoise", f"{number}.wav", 52) for number in range(6)]
        time.sleep(0.3)
        busiest = max(workers_of(node), key=lambda process: sum(process.cpu_times()[:2]))
        busiest.kill()
        codes = sorted(reply.result().status_code for reply in asked)
    assert codes == [200] * 5 + [500]
    node.wait_until_ready()
    assert {node.ask("denoise", f"{number}.wav", 52).status_code for number in range(6)} == {200}


def test_a_worker_that_dies_idle_harms_no_request(node: RunningNode, short_call: bytes) -> None:
    node.put("a.wav", short_call)
    before = workers_of(node)
    for process in before:
        process.kill()
    psutil.wait_procs(before, timeout=3)
    assert [node.ask("ivr", "a.wav").status_code for _ in range(4)] == [200] * 4
    node.wait_until_ready()


def test_health_and_uploads_stay_quick_while_the_workers_are_busy(
    node: RunningNode, long_call: bytes, short_call: bytes
) -> None:
    for number in range(6):
        node.put(f"{number}.wav", long_call, batch=50)
    with ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(node.ask, "denoise", f"{number}.wav", 50) for number in range(6)]
        waits = []
        while not all(one.done() for one in asked):
            begun = time.monotonic()
            assert node.client.get("/health").status_code == 200
            assert node.put("s.wav", short_call, batch=51).status_code == 201
            waits.append(time.monotonic() - begun)
        assert {one.result().status_code for one in asked} == {200}
    assert len(waits) > 5
    assert float(np.median(waits)) < 0.25


def test_too_much_waiting_work_is_answered_with_busy_and_when_to_come_again(tmp_path: Path, long_call: bytes) -> None:
    with running_node(tmp_path, workers=1) as node:
        for number in range(14):
            node.put(f"{number}.wav", long_call)
        with ThreadPoolExecutor(14) as pool:
            replies = list(pool.map(lambda number: node.ask("denoise", f"{number}.wav"), range(14)))
        codes = [reply.status_code for reply in replies]
        assert (codes.count(200), codes.count(503)) == (9, 5)
        for reply in replies:
            if reply.status_code == 503:
                assert 1 <= int(reply.headers["Retry-After"]) <= 60
                assert "busy" in reply.json()["detail"]


@contextlib.contextmanager
def llm_server(status: int) -> Iterator[tuple[str, list[dict[str, object]]]]:
    """A stand-in for an OpenAI-compatible server that keeps what it is asked."""
    asked: list[dict[str, object]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append({"path": self.path, "key": self.headers["Authorization"], "body": body})
            reply = json.dumps({"model": "big", "choices": []}).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Retry-After", "7")
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1", asked
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("status", [200, 429])
def test_a_configured_llm_server_is_asked_and_its_reply_passed_on(status: int, tmp_path: Path) -> None:
    with llm_server(status) as (url, asked), running_node(tmp_path, workers=1, llm_api_url=url, wait=False) as node:
        node.wait_until_listening()
        body = {"model": "big", "messages": [{"role": "user", "content": "नमस्ते"}]}
        reply = node.client.post("/v1/chat/completions", json=body, headers={"Authorization": "Bearer k"})
    assert (reply.status_code, reply.headers["Retry-After"]) == (status, "7")
    assert reply.json() == {"model": "big", "choices": []}
    assert asked == [{"path": "/v1/chat/completions", "key": "Bearer k", "body": body}]


def test_an_llm_server_that_is_not_there_is_a_passing_fault(tmp_path: Path) -> None:
    with running_node(tmp_path, workers=1, llm_api_url="http://127.0.0.1:9/v1", wait=False) as node:
        node.wait_until_listening()
        reply = node.client.post("/v1/chat/completions", json={"messages": []})
        assert reply.status_code == 502
        assert "cannot be reached" in reply.json()["detail"]
