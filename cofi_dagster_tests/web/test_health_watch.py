"""Machines are asked for their health in parallel, within a time, and not more often than every ten seconds."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from cofi_dagster.fleet.health import Question, State, ask_all
from cofi_dagster.web.health_watch import HealthWatch

KEY = "the-llm-servers-key"


class Machine(BaseHTTPRequestHandler):
    """Answers a path with the status that it begins with, ``…-slow`` late; ``/keyed`` with 200 to who has the key."""

    asked: list[str] = []  # noqa: RUF012 - one server for the module

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.path.endswith("-slow"):
            time.sleep(0.4)
        has_key = self.headers.get("Authorization") == f"Bearer {KEY}"
        self.send_response((200 if has_key else 401) if self.path == "/keyed" else int(self.path[1:4]))
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def root() -> Iterator[str]:
    """The address of a machine."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Machine) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a machine that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/health"


def test_an_answer_means_what_the_protocol_says(root: str, silent: str, free_port: Callable[[], int]) -> None:
    refused = f"http://127.0.0.1:{free_port()}/health"
    expected = {
        Question((f"{root}/200",)): ("ready", ""),
        Question((f"{root}/503",)): ("loading", "HTTP 503"),
        Question((f"{root}/500",)): ("unhealthy", "HTTP 500"),
        Question((f"{root}/404", f"{root}/200-models")): ("ready", ""),
        Question((f"{root}/404",)): ("unhealthy", "HTTP 404"),
        Question((f"{root}/keyed",), with_key=True): ("ready", ""),
        Question((f"{root}/keyed",)): ("unhealthy", "HTTP 401"),
        Question((refused,)): ("unreachable", "connection refused or unreachable: Connection refused"),
        Question((silent,)): ("unreachable", "no reply within 1.5 s"),
    }
    began = time.monotonic()
    found = asyncio.run(ask_all(expected, KEY, seconds=1.5))
    assert time.monotonic() - began < 6
    assert {question: (health.state, health.reason) for question, health in found.items()} == expected


def test_many_who_watch_ask_once_in_ten_seconds_and_wait_for_nothing(root: str) -> None:
    now = 0.0
    question = Question((f"{root}/200-slow",))
    watch = HealthWatch([question, question], None, clock=lambda: now)
    began = time.monotonic()
    for _ in range(50):
        assert watch.answers() == {}
    assert time.monotonic() - began < 0.3
    while not (answers := watch.answers()):
        time.sleep(0.02)
    assert answers[question].health.state is State.READY
    now = 9.0
    assert watch.answers()[question].age(now) == 9.0
    assert Machine.asked.count("/200-slow") == 1
    now = 10.0
    assert watch.answers()[question].age(now) == 10.0
    while watch.answers()[question].age(now):
        time.sleep(0.02)
    assert Machine.asked.count("/200-slow") == 2
