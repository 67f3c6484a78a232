"""A reference node as people run it: a process of its own on a free port of this machine."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

_SERVE = """
import resource, sys
from pathlib import Path
from cofi_dagster.node.server import serve
if int(sys.argv[4]):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]), resource.RLIM_INFINITY))
serve("127.0.0.1", int(sys.argv[1]), Path(sys.argv[2]), workers=int(sys.argv[3]), llm_api_url=sys.argv[5] or None)
"""


@dataclass
class RunningNode:
    process: psutil.Popen
    client: httpx.Client
    home: Path
    ready_seconds: float

    def put(self, name: str, body: bytes, batch: int = 1, **headers: str) -> httpx.Response:
        return self.client.put(f"/files/{batch}/{quoted(name)}", content=body, headers=headers)

    def ask(self, stage: str, name: str, batch: int = 1, **more: object) -> httpx.Response:
        return self.client.post(f"/{stage}", json={"batch_id": batch, "file": name, **more})

    def wait_until_listening(self) -> int:
        """Wait for the first reply of ``/health``; its status."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.ConnectError):
                return self.client.get("/health").status_code
            time.sleep(0.02)
        raise AssertionError("the node does not listen")

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + 60
        while True:
            if self.wait_until_listening() == 200:
                return
            assert time.monotonic() < deadline, self.client.get("/health").text
            time.sleep(0.05)


def quoted(name: str) -> str:
    from urllib.parse import quote

    return quote(name, safe="")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running_node(
    home: Path, *, workers: int = 2, largest_file: int = 0, llm_api_url: str = "", wait: bool = True
) -> Iterator[RunningNode]:
    port, begun = free_port(), time.monotonic()
    arguments = [str(port), str(home), str(workers), str(largest_file), llm_api_url]
    process = psutil.Popen([sys.executable, "-c", _SERVE, *arguments], stderr=subprocess.DEVNULL)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        node = RunningNode(process, client, home, 0.0)
        try:
            if wait:
                node.wait_until_ready()
                node.ready_seconds = time.monotonic() - begun
            yield node
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    with running_node(tmp_path_factory.mktemp("node")) as running:
        yield running
