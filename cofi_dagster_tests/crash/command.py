"""`cofi` as a process of its own, as an operator starts it, and waiting for what it does. No assertion about COFI."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

_COFI = Path(sys.executable).with_name("cofi")


class Run:
    """A running `cofi batch run DIRECTORY`."""

    def __init__(self, directory: Path, settings: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [_COFI, "batch", "run", str(directory)],
            env={**os.environ, **settings},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=directory.parent,
        )
        self.out = self.err = ""

    @property
    def is_over(self) -> bool:
        """Whether the process has ended."""
        return self._process.poll() is not None

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it with SIGKILL; it is gone when this returns."""
        self._process.kill()
        self.wait()

    def wait(self, seconds: float = 90) -> int:
        """Wait for its end: the exit code; what it said is in ``out`` and ``err``."""
        try:
            self.out, self.err = self._process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self.out, self.err = self._process.communicate()
            raise
        return self._process.returncode

    def until(self, condition: Callable[[], bool], seconds: float = 60) -> None:
        """Wait until the condition holds; an error if the process ends first."""
        end = time.monotonic() + seconds
        while not condition():
            if self.is_over:
                self.wait()
                raise AssertionError(f"cofi ended before it happened: {self.out}{self.err}")
            assert time.monotonic() < end, "it did not happen"
            time.sleep(0.02)
