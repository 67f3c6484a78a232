"""Fixtures of the command line's tests: `cofi` as a process of its own, in a folder and with settings of the test's."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cofi_dagster.cli import main
from cofi_dagster.settings import current

COFI = Path(sys.executable).with_name("cofi")
SECONDS = 60


@dataclass(frozen=True, slots=True)
class Said:
    """What a command said, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def last(self) -> str:
        """The last line of its output."""
        return self.out.splitlines()[-1]

    @property
    def complaint(self) -> str:
        """The one line that it said on standard error."""
        (line,) = self.err.splitlines()
        assert line.startswith("cofi: ")
        return line.removeprefix("cofi: ")


class CommandLine:
    """Runs `cofi` in a folder. ``settings`` are the environment's; each call may add its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = {"COFI_HOME": str(folder / "home")}

    def start(self, *arguments: object, **settings: str) -> subprocess.Popen[str]:
        """Start a command and do not wait for it."""
        return subprocess.Popen(
            [COFI, *map(str, arguments)],
            env={**os.environ, **self.settings, **settings},
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *arguments: object, **settings: str) -> Said:
        """Run a command to its end. Whatever it says, it is never a traceback."""
        with self.start(*arguments, **settings) as process:
            try:
                out, err = process.communicate(timeout=SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        assert "Traceback" not in out + err
        return Said(process.returncode, out, err)


@pytest.fixture
def cofi(tmp_path: Path) -> CommandLine:
    """The command line on an installation of the test's own; its database is SQLite where no URL is given."""
    return CommandLine(tmp_path)


@pytest.fixture
def quick_cofi(
    cofi: CommandLine, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., Said]]:
    """The command line in this process: for what is answered before any work begins."""

    def run(*arguments: object, **settings: str) -> Said:
        for name, value in {**cofi.settings, **settings}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["cofi", *map(str, arguments)])
        monkeypatch.chdir(cofi.folder)
        current.cache_clear()
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capfd.readouterr()
        assert "Traceback" not in out + err
        assert isinstance(end.value.code, int)
        return Said(end.value.code, out, err)

    yield run
    current.cache_clear()


@pytest.fixture
def directory(cofi: CommandLine) -> Callable[..., Path]:
    """Make an empty batch directory: ``directory("2026-01-15_1")``."""

    def make(name: str = "2026-01-15_1") -> Path:
        made = cofi.folder / name
        made.mkdir()
        return made

    return make
