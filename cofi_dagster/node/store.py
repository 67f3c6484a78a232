"""The node's files: uploaded recordings and what was derived from them. No HTTP, no sound.

A client's file name never becomes a path: a file lives in ``<home>/files/<batch>/<sha256 of its name>/``. There the
body and everything derived from it carry the body's own checksum in their names, and ``current.json`` names the body
that counts. So a reader sees one whole body or another, and what was derived from an old body can never be taken for
the new one's, whenever it is finished.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

from cofi_dagster.node.engines import IvrSegment

Result = TypeVar("Result")

_ABANDONED_SECONDS = 3600.0


class MissingFile(LookupError):
    """The node does not have the file; the message says which."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One uploaded recording: the client's name for it, its size and checksum, and the folder that it is in."""

    file: str
    bytes: int
    sha256: str
    folder: Path

    @property
    def body(self) -> Path:
        """The recording as it came."""
        return self.folder / f"{self.sha256}.audio"

    @property
    def clean(self) -> Path:
        """The denoised recording, where denoise has run."""
        return self.folder / f"{self.sha256}.clean.wav"

    @property
    def segments(self) -> Path:
        """The IVR segments, where IVR has run."""
        return self.folder / f"{self.sha256}.ivr.json"

    def sound(self) -> tuple[Path, str]:
        """The recording that later stages read (clean where it is there), and the name that tells its format."""
        return (self.clean, self.clean.name) if self.clean.exists() else (self.body, self.file)

    def read_segments(self) -> list[IvrSegment] | None:
        """The stored IVR segments, or None where IVR has not run."""
        try:
            rows = json.loads(self.segments.read_bytes())
        except FileNotFoundError:
            return None
        return [IvrSegment(**row) for row in rows]


class Store:
    """All files of one node, under ``home``. Safe for threads and processes: every change is one rename."""

    def __init__(self, home: Path) -> None:
        self._files = home.absolute() / "files"
        self._incoming = home.absolute() / "incoming"
        self._commit = threading.Lock()

    def prepare(self) -> None:
        """Make the folders, and drop what an earlier process left half-written over an hour ago."""
        self._files.mkdir(parents=True, exist_ok=True)
        self._incoming.mkdir(parents=True, exist_ok=True)
        before = time.time() - _ABANDONED_SECONDS
        for path in self._incoming.iterdir():
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < before:
                    _remove(path)

    @contextlib.contextmanager
    def temporary(self) -> Iterator[Path]:
        """A path on the store's own disk for a file in the making; gone afterwards unless it was moved away."""
        path = self._incoming / uuid.uuid4().hex
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def put(self, batch: int, file: str, temporary: Path, sha256: str) -> Stored:
        """Move a complete upload to its place. What was derived stays if the body is the same, else it goes."""
        folder = self._folder(batch, file)
        stored = Stored(file, temporary.stat().st_size, sha256, folder)
        pointer = {"bytes": stored.bytes, "sha256": sha256}
        with self._commit, self.temporary() as current:
            current.write_text(json.dumps(pointer))
            _retry_while_deleted(folder, lambda: os.replace(temporary, stored.body))
            _retry_while_deleted(folder, lambda: os.replace(current, folder / "current.json"))
            for path in folder.iterdir():
                if path.name != "current.json" and not path.name.startswith(sha256):
                    path.unlink(missing_ok=True)
        return stored

    def find(self, batch: int, file: str) -> Stored:
        """The file's current body.

        Raises:
            MissingFile: it was never uploaded, was deleted, or is not whole (a machine that lost power).
        """
        folder = self._folder(batch, file)
        missing = MissingFile(f"this machine does not have the file {file!r} of batch {batch}")
        for _ in range(10):
            try:
                pointer = json.loads((folder / "current.json").read_bytes())
                stored = Stored(file, pointer["bytes"], pointer["sha256"], folder)
            except (FileNotFoundError, ValueError, KeyError):
                raise missing from None
            with contextlib.suppress(FileNotFoundError):
                if stored.body.stat().st_size == stored.bytes:
                    return stored
        raise missing

    def using(self, batch: int, file: str, work: Callable[[Stored], Result]) -> Result:
        """``work`` with the file's current body; once more where the body was replaced before it could be read.

        Raises:
            MissingFile: the machine does not have the file, or it went away during the work.
        """
        while True:
            stored = self.find(batch, file)
            try:
                return work(stored)
            except FileNotFoundError:
                if self.find(batch, file) == stored:
                    raise

    def derive(self, target: Path, write: Callable[[BinaryIO], object]) -> None:
        """Write a derived file (``Stored.clean``, ``Stored.segments``) so that it is there whole or not at all."""
        with self.temporary() as temporary:
            with temporary.open("wb") as out:
                write(out)
            os.replace(temporary, target)

    def delete(self, batch: int) -> None:
        """Forget a batch's files; harmless where there are none."""
        doomed = self._incoming / uuid.uuid4().hex
        with self._commit, contextlib.suppress(FileNotFoundError):
            os.replace(self._files / str(batch), doomed)
        _remove(doomed)

    def _folder(self, batch: int, file: str) -> Path:
        return self._files / str(batch) / hashlib.sha256(file.encode("utf-8", "surrogatepass")).hexdigest()


def _retry_while_deleted(folder: Path, move: Callable[[], None]) -> None:
    for _ in range(10):
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            return move()
    return move()


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
