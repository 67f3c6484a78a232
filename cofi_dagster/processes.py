"""Child processes of the command line: the reference node, the code server, the web server, the daemon.

They end with this process, also when it is killed, and are stopped in reverse order of their start.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from cofi_dagster.settings import Settings
from cofi_dagster.stages import SERVICES

_STOP_SECONDS = 10.0
_PR_SET_PDEATHSIG = 1


class ProcessFault(RuntimeError):
    """A child process did not come up, or ended by itself; the message says which, and where its log is."""


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(slots=True)
class Child:
    """A child process and its log file."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path


class Children:
    """Starts child processes, waits until they serve, and stops all of them at the end. A context manager."""

    def __init__(self, settings: Settings) -> None:
        self._logs = settings.home.absolute() / "logs"
        self._children: list[Child] = []

    def __enter__(self) -> Self:
        self._logs.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, name: str, arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> Child:
        """Start ``python <arguments>`` with its output in ``COFI_HOME/logs/<name>.log``."""
        log = self._logs / f"{name}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
                preexec_fn=_end_with_parent,  # noqa: PLW1509 - nothing else runs yet that holds a lock
            )
        child = Child(name, process, log)
        self._children.append(child)
        return child

    def wait_until_up(self, child: Child, url: str, seconds: float) -> None:
        """Wait until ``url`` answers 200.

        Raises:
            ProcessFault: it ended, or did not answer in time.
        """
        end = time.monotonic() + seconds
        while not _answers(url):
            self.check()
            if time.monotonic() > end:
                raise ProcessFault(f"the {child.name} did not come up within {seconds:g} s: see {child.log}")
            time.sleep(0.1)

    def check(self) -> None:
        """Look whether all children live.

        Raises:
            ProcessFault: one has ended.
        """
        for child in self._children:
            code = child.process.poll()
            if code is not None:
                raise ProcessFault(f"the {child.name} ended with exit code {code}: see {child.log}")

    def stop(self) -> None:
        """Ask every child, and what they started, to end, the last first; kill what has not after ten seconds."""
        for child in reversed(self._children):
            _stop_tree(child.process)
        self._children.clear()


def _end_with_parent() -> None:
    """In the child, before it becomes its program: be sent SIGTERM when the parent dies (Linux)."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _stop_tree(process: subprocess.Popen[bytes]) -> None:
    try:
        parent = psutil.Process(process.pid)
        family = [*parent.children(recursive=True), parent]
    except psutil.NoSuchProcess:
        process.wait()
        return
    for member in family:
        _tell(member, signal.SIGTERM)
    _, alive = psutil.wait_procs(family, timeout=_STOP_SECONDS)
    for member in alive:
        _tell(member, signal.SIGKILL)
    process.wait()


def _tell(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def start_node(children: Children) -> dict[str, str]:
    """Start the reference node on a free port of this machine; the settings that make it the fleet.

    Raises:
        ProcessFault: it did not come up.
    """
    port = free_port()
    child = children.start("node", ["-m", "cofi_dagster.cli", "node", "--host", "127.0.0.1", "--port", str(port)])
    children.wait_until_up(child, f"http://127.0.0.1:{port}/health", 120)
    return {"GPU_MACHINES": "127.0.0.1", **{f"{service.upper()}_PORT": str(port) for service in SERVICES}}
