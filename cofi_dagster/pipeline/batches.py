"""A batch as the pipeline knows it: its row, its key, its directory, and the audio files in there."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from cofi_dagster.audit.questionnaire import DEFAULT_CATEGORY_MAPPING_ID, DEFAULT_PROCESS_ID
from cofi_dagster.database.tables import audit_task, batch_status
from cofi_dagster.database.transactions import inquire, transact
from cofi_dagster.settings import parse_batch_key

AUDIO_SUFFIXES = frozenset({
    ".wav", ".mp3", ".flac", ".ogg", ".oga", ".opus", ".m4a", ".mp4", ".aac", ".amr", ".3gp", ".g729", ".g723",
    ".gsm", ".au", ".wma", ".webm", ".aif", ".aiff",
})  # fmt: skip
UPLOAD = "upload"
SUCCESS_MARK = "_SUCCESS"
CALL_CSV = "callMetadata.csv"
TRADE_CSV = "tradeMetadata.csv"


class BatchError(RuntimeError):
    """A batch that cannot be worked on; the message says what, where and what to do."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A row of ``batchStatus``, as far as stages need it."""

    id: int
    key: str
    status: str
    total_files: int
    kind: str
    directory: Path
    process_id: int
    category_mapping_id: int
    stored: Mapping[str, str] = field(default_factory=dict)
    """Of an upload: the name that COFI gave each file on disk, by the client's name."""

    def path_of(self, file: str) -> Path:
        """Where a file of this batch is on COFI's own disk."""
        return self.directory / self.stored.get(file, file)

    def files(self) -> list[Found]:
        """The audio files of the batch: of an upload those that were sent, of any other those in its directory.

        Raises:
            BatchError: the directory cannot be read.
        """
        if self.kind != UPLOAD:
            return audio_files(self.directory)
        return [_stored_file(name, self.path_of(name)) for name in self.stored]


_COLUMNS = (
    batch_status.c.id,
    batch_status.c.batchDate,
    batch_status.c.batchNumber,
    batch_status.c.status,
    batch_status.c.totalFiles,
    batch_status.c.kind,
    batch_status.c.directory,
    batch_status.c.processId,
    batch_status.c.categoryMappingId,
)


def _batch(connection: sa.Connection, row: Any, root: Path) -> Batch:
    key = f"{row.batchDate.isoformat()}_{row.batchNumber}"
    return Batch(
        id=row.id,
        key=key,
        status=row.status,
        total_files=row.totalFiles or 0,
        kind=row.kind or "batch",
        directory=Path(row.directory) if row.directory else root / key,
        process_id=row.processId if row.processId is not None else DEFAULT_PROCESS_ID,
        category_mapping_id=(
            row.categoryMappingId if row.categoryMappingId is not None else DEFAULT_CATEGORY_MAPPING_ID
        ),
        stored=_stored_names(connection, row.id) if row.kind == UPLOAD else {},
    )


def _stored_names(connection: sa.Connection, batch_id: int) -> dict[str, str]:
    """The names on disk of an upload's files: its task has them."""
    query = sa.select(audit_task.c.request).where(audit_task.c.batchId == batch_id, audit_task.c.kind == UPLOAD)
    request = connection.execute(query).scalars().first() or {}
    return {item["file"]: item["stored"] for item in request.get("files", [])}


def _stored_file(name: str, path: Path) -> Found:
    try:
        return Found(name, path.stat().st_size)
    except OSError as error:
        return Found(name, 0, f"the uploaded file cannot be read: {error.strerror}")


def by_id(engine: sa.Engine, batch_id: int, root: Path) -> Batch:
    """The batch with this id; ``root`` is where its directory is if its row does not say.

    Raises:
        BatchError: there is none.
    """
    found = _find(engine, batch_status.c.id == batch_id, root)
    if found is None:
        raise BatchError(f"there is no batch {batch_id}")
    return found


def by_key(engine: sa.Engine, key: str, root: Path) -> Batch | None:
    """The batch of this key, or None.

    Raises:
        ValueError: the key is no batch key.
    """
    day, number = parse_batch_key(key)
    chosen = (batch_status.c.batchDate == day) & (batch_status.c.batchNumber == number)
    return _find(engine, chosen, root)


def _find(engine: sa.Engine, chosen: sa.ColumnElement[bool], root: Path) -> Batch | None:
    def query(connection: sa.Connection) -> Batch | None:
        row = connection.execute(sa.select(*_COLUMNS).where(chosen)).one_or_none()
        return _batch(connection, row, root) if row is not None else None

    return inquire(engine, query)


def register(engine: sa.Engine, directory: Path, root: Path) -> Batch:
    """The batch of a directory; its row is made where there is none yet. Safe to call twice at once.

    Raises:
        BatchError: the directory's name is no batch key, or a batch of that key came from elsewhere.
    """
    try:
        day, number = parse_batch_key(directory.name)
    except ValueError as error:
        raise BatchError(str(error)) from None
    known = by_key(engine, directory.name, root)
    if known is None:
        made = batch_status.insert().values(batchDate=day, batchNumber=number, directory=str(directory))
        with suppress(sa.exc.IntegrityError):  # another process made it between the two statements
            transact(engine, lambda connection: connection.execute(made).rowcount)
        known = by_key(engine, directory.name, root)
    assert known is not None
    if known.directory != directory:
        if known.directory.exists():
            raise BatchError(f"batch {known.key} ({known.id}) comes from {known.directory}, not from {directory}")
        moved = batch_status.update().where(batch_status.c.id == known.id).values(directory=str(directory))
        transact(engine, lambda connection: connection.execute(moved).rowcount)
        known = by_id(engine, known.id, root)
    return known


@dataclass(frozen=True, slots=True)
class Found:
    """An audio file of a directory: its name as text, its size in bytes, and why it cannot be used, if so."""

    name: str
    size: int
    fault: str | None = None


def audio_files(directory: Path) -> list[Found]:
    """The audio files of a batch directory by name, in order. Folders are none; a link is a file that cannot be used.

    Raises:
        BatchError: the directory cannot be read.
    """
    try:
        return sorted(_scan(directory), key=lambda found: found.name)
    except OSError as error:
        raise BatchError(f"the batch directory {directory} cannot be read: {error.strerror}") from error


def _scan(directory: Path) -> Iterator[Found]:
    with os.scandir(directory) as entries:
        for entry in entries:
            if os.path.splitext(entry.name)[1].lower() not in AUDIO_SUFFIXES:
                continue
            if not entry.is_dir(follow_symlinks=False):
                yield _found(entry)


def _found(entry: os.DirEntry[str]) -> Found:
    size = entry.stat(follow_symlinks=False).st_size
    try:
        entry.name.encode("utf-8")
    except UnicodeEncodeError:
        return Found(_shown(os.fsencode(entry.name)), size, "its name is not UTF-8: rename it")
    if entry.is_symlink():
        return Found(entry.name, size, "it is a link, not a file: copy the file itself here")
    if not entry.is_file(follow_symlinks=False):
        return Found(entry.name, size, "it is no regular file")
    if size == 0:
        return Found(entry.name, size, "the file is empty (0 bytes)")
    return Found(entry.name, size)


def _shown(name: bytes) -> str:
    """A name that is not UTF-8 as text of at most 255 characters; a long one keeps apart from its like by a digest."""
    shown = name.decode("utf-8", "backslashreplace")
    return shown if len(shown) <= 255 else f"{shown[:238]}~{blake2b(name, digest_size=8).hexdigest()}"
