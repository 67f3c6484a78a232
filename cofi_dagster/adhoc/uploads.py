"""Files that people send: checked, and stored under names that COFI makes. The sender's name is data, never a path."""

from __future__ import annotations

import shutil
import stat
import unicodedata
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self
from uuid import UUID

import sqlalchemy as sa

from cofi_dagster.adhoc import tasks
from cofi_dagster.adhoc.audio_kind import HEAD_BYTES, suffix_of
from cofi_dagster.adhoc.tasks import Task, TaskKind
from cofi_dagster.database import tables as t
from cofi_dagster.database.engine import reading
from cofi_dagster.database.transactions import transact
from cofi_dagster.pipeline.batches import UPLOAD
from cofi_dagster.settings import Settings

_LONGEST_NAME = 255
_CHUNK = 1 << 20
_TRIES = 1000
_AT_ONCE = 500
_LEFT_SECONDS = 24 * 3600.0


class UploadRefused(ValueError):
    """An upload that cannot be taken; the message names the file or the field, and says why."""


class UploadTooLarge(UploadRefused):
    """A file, or the number of files, is over its limit."""


def clean_name(name: str) -> str:
    """A sender's file name as it is kept: without folders, control and formatting characters, in NFC.

    Raises:
        UploadRefused: nothing is left of it, or it is too long.
    """
    base = name.replace("\\", "/").rpartition("/")[2]
    kept = "".join(char for char in unicodedata.normalize("NFC", base) if unicodedata.category(char)[0] != "C").strip()
    if kept in ("", ".", ".."):
        raise UploadRefused("files: a file has no name")
    if len(kept) > _LONGEST_NAME:
        raise UploadRefused(f"files: the name {kept[:40]}… is longer than {_LONGEST_NAME} characters")
    return kept


@dataclass(slots=True)
class _File:
    """A file that is being stored."""

    name: str
    path: Path
    out: BinaryIO
    size: int = 0
    head: bytes = b""


@dataclass(slots=True)
class Upload:
    """One upload on its way to disk, file after file. As a context it removes everything where it is not queued.

    Attributes:
        settings: where uploads are, and their limits.
        task_id: the task that it becomes.
        files: of each stored file the sender's name, the stored name and the size in bytes.
    """

    settings: Settings
    task_id: str = field(default_factory=tasks.new_id)
    files: list[dict[str, Any]] = field(default_factory=list)
    _open: _File | None = None
    _queued: bool = False

    @property
    def directory(self) -> Path:
        """Where its files are."""
        return upload_root(self.settings) / self.task_id

    def __enter__(self) -> Self:
        self.directory.mkdir(parents=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._open is not None:
            self._open.out.close()
        if not self._queued:
            shutil.rmtree(self.directory, ignore_errors=True)

    def start(self, name: str) -> None:
        """Begin the next file.

        Raises:
            UploadRefused: its name is none, or another file of this upload has it.
            UploadTooLarge: there are more files than one upload may have.
        """
        kept = clean_name(name)
        if len(self.files) >= self.settings.upload_max_files:
            raise UploadTooLarge(f"files: more than {self.settings.upload_max_files} files in one upload")
        if any(item["file"] == kept for item in self.files):
            raise UploadRefused(f"files: two files are called {kept}")
        path = self.directory / f"{len(self.files) + 1:04d}"
        self._open = _File(kept, path, path.open("xb"))

    def write(self, chunk: bytes) -> None:
        """Store the next bytes of the file.

        Raises:
            UploadTooLarge: the file is over the limit.
        """
        file = self._open
        assert file is not None
        if len(file.head) < HEAD_BYTES:
            file.head += chunk[: HEAD_BYTES - len(file.head)]
        file.size += len(chunk)
        if file.size > self.settings.upload_max_file_mb * 1e6:
            raise UploadTooLarge(f"files: {file.name} is larger than {self.settings.upload_max_file_mb:g} MB")
        file.out.write(chunk)

    def end(self) -> None:
        """The file is whole.

        Raises:
            UploadRefused: it is empty, or no audio.
        """
        file = self._open
        assert file is not None
        file.out.close()
        self._open = None
        if not file.size:
            raise UploadRefused(f"files: {file.name} is empty (0 bytes)")
        suffix = suffix_of(file.name, file.head)
        if suffix is None:
            raise UploadRefused(f"files: {file.name} is no audio that COFI knows")
        stored = file.path.with_suffix(suffix)
        file.path.rename(stored)
        self.files.append({"file": file.name, "stored": stored.name, "bytes": file.size})

    def add(self, path: Path) -> None:
        """Take a file of this machine, by copy.

        Raises:
            UploadRefused: it cannot be read, or see above.
        """
        try:
            with path.open("rb") as source:
                self.start(path.name)
                while chunk := source.read(_CHUNK):
                    self.write(chunk)
        except OSError as error:
            raise UploadRefused(f"files: {path} cannot be read: {error.strerror}") from None
        self.end()

    def queue(
        self,
        engine: sa.Engine,
        process_id: int,
        category_mapping_id: int,
        *,
        run_id: str | None = None,
        by: str | None = None,
    ) -> str:
        """Queue the task; from here on the files are its own. Returns the task's id.

        Raises:
            UploadRefused: there are no files, or no questionnaire for this process and category.
        """
        if not self.files:
            raise UploadRefused("files: at least one file is needed")
        check_questionnaire(engine, process_id, category_mapping_id)
        request = {"process_id": process_id, "category_mapping_id": category_mapping_id, "files": self.files}
        tasks.queue(engine, TaskKind.UPLOAD, request, task_id=self.task_id, run_id=run_id, by=by)
        self._queued = True
        return self.task_id


def upload_root(settings: Settings) -> Path:
    """The folder of all uploads."""
    return settings.home.absolute() / "uploads"


def sweep(engine: sa.Engine, settings: Settings, now: float) -> list[Path]:
    """Remove the folders of uploads that a crash left before their task was queued; those that were removed.

    ``now``: seconds since the epoch. Only folders that COFI named, that have not changed for a day, and that neither a
    task nor a batch is of.
    """
    root = upload_root(settings)
    found = sorted(path for path in root.iterdir() if _is_left(path, now)) if root.is_dir() else []
    removed = []
    for start in range(0, len(found), _AT_ONCE):
        chunk = found[start : start + _AT_ONCE]
        its_task = sa.select(t.audit_task.c.taskId).where(t.audit_task.c.taskId.in_([path.name for path in chunk]))
        its_batch = sa.select(t.batch_status.c.directory).where(
            t.batch_status.c.directory.in_([str(path) for path in chunk])
        )
        with reading(engine) as connection:
            known = {*connection.execute(its_task).scalars()}
            known |= {Path(directory).name for directory in connection.execute(its_batch).scalars()}
        for path in chunk:
            if path.name not in known:
                shutil.rmtree(path, ignore_errors=True)
                removed.append(path)
    return removed


def _is_left(path: Path, now: float) -> bool:
    """Whether it is a folder of an upload that nothing has been written to for a day."""
    try:
        named = str(UUID(path.name)) == path.name
        found = path.lstat()
    except (ValueError, FileNotFoundError):
        return False
    return named and stat.S_ISDIR(found.st_mode) and now - found.st_mtime > _LEFT_SECONDS


def check_questionnaire(engine: sa.Engine, process_id: int, category_mapping_id: int) -> None:
    """Make sure that there are questions for the process and category.

    Raises:
        UploadRefused: there are none; the message names the field.
    """
    table = t.audit_question.c
    with reading(engine) as connection:
        query = sa.select(table.categoryMappingId).where(table.processId == process_id).distinct()
        categories = set(connection.execute(query).scalars())
    if not categories:
        raise UploadRefused(f"process_id: there is no questionnaire of process {process_id}")
    if category_mapping_id not in categories:
        raise UploadRefused(
            f"category_mapping_id: process {process_id} has no questionnaire of category {category_mapping_id}"
        )


def open_batch(engine: sa.Engine, settings: Settings, task: Task) -> int:
    """The batch of an upload; it is made, with the next free number of the database's date, where there is none yet.

    Raises:
        TaskError: no number could be had.
    """
    if task.batch_id is not None:
        return task.batch_id
    for _ in range(_TRIES):
        try:
            return transact(engine, lambda connection: _insert_batch(connection, settings, task))
        except sa.exc.IntegrityError:
            continue  # another upload took the number between the two statements
    raise tasks.TaskError(f"no batch number could be had for task {task.id}")


def _insert_batch(connection: sa.Connection, settings: Settings, task: Task) -> int:
    table = t.batch_status
    today = connection.execute(sa.select(sa.cast(t.utcnow(), sa.String(10)))).scalar_one()[:10]
    day = date.fromisoformat(today)
    taken = connection.execute(sa.select(sa.func.max(table.c.batchNumber)).where(table.c.batchDate == day)).scalar()
    number = (taken or 0) + 1
    while (settings.batches / f"{today}_{number}").exists():
        number += 1
    values = {
        "batchDate": day,
        "batchNumber": number,
        "kind": UPLOAD,
        "directory": str(upload_root(settings) / task.id),
        "processId": task.request["process_id"],
        "categoryMappingId": task.request["category_mapping_id"],
        "totalFiles": len(task.request["files"]),
    }
    inserted = connection.execute(table.insert().values(values)).inserted_primary_key
    assert inserted is not None
    batch_id = int(inserted[0])
    mine = t.audit_task.update().where(t.audit_task.c.taskId == task.id)
    connection.execute(mine.values(batchId=batch_id))
    return batch_id
