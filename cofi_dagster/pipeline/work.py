"""What passes between a stage, the dispatcher and the sink: work for a file, the request for it, and its outcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

import sqlalchemy as sa

from cofi_dagster.fleet.client import Part
from cofi_dagster.stages import Stage


class BadReply(ValueError):
    """A reply that is not the shape that the protocol gives; the message says what is wrong with it."""


class FileFault(ValueError):
    """A file that cannot be processed, found before anything was sent; the message says why."""


class State(StrEnum):
    """How a stage ended for a file."""

    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(slots=True)
class Work:
    """One file that a stage has to do.

    Attributes:
        row_id: ``fileDistribution.id``.
        call_id: ``call.id``.
        file: the audio file's name.
        home: the machine that has the file, or None.
        weight: expected work: seconds of audio where known, else seconds estimated from the file's size.
        detail: what the stage itself needs to know about the file.
        attempts: requests made so far that count.
        troubles: requests that got no reply, counted or not.
        moved: whether it is on another machine than the database says.
        reuploaded: whether a machine said that it does not have it, and got it again.
        busy_since: since when (the loop's time) machines refuse it as too much.
        started: when (the loop's time) the last request for it began.
        sent: the last request, shortened; None before the first.
    """

    row_id: int
    call_id: int
    file: str
    home: str | None
    weight: float
    detail: Any = None
    attempts: int = 0
    troubles: int = 0
    moved: bool = False
    reuploaded: bool = False
    busy_since: float | None = None
    started: float = 0.0
    sent: str | None = None


@dataclass(frozen=True, slots=True)
class PostJson:
    """A JSON request to the stage's service: path below the endpoint's base, body, seconds to wait for the reply."""

    path: str
    body: bytes
    timeout: float
    with_key: bool = False


@dataclass(frozen=True, slots=True)
class PostForm:
    """A multipart request with the file itself."""

    path: str
    part: Part
    timeout: float


@dataclass(frozen=True, slots=True)
class PutFile:
    """An upload of the file to the endpoint's files service."""

    path: Path
    timeout: float


Request = PostJson | PostForm | PutFile


@dataclass(slots=True)
class Outcome:
    """What a stage made of a file: all of it is committed in one transaction.

    Attributes:
        work: the file.
        state: done, failed, or skipped (by a rule, never by a fault).
        call: new values of columns of its ``call`` row.
        file_row: new values of columns of its ``fileDistribution`` row beside the done flag.
        rows: rows to insert, by table.
        replace: tables whose rows of this call make room before ``rows`` are inserted (see ``replacing``).
        error: why it failed, for a failed one.
        output: the reply's beginning, for a failed one.
    """

    work: Work
    state: State
    call: Mapping[str, Any] = field(default_factory=dict)
    file_row: Mapping[str, Any] = field(default_factory=dict)
    rows: Mapping[sa.Table, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    replace: Sequence[sa.Table] = ()
    error: str | None = None
    output: str | None = None


@dataclass(slots=True)
class Plan:
    """What a stage has to do in a batch.

    Attributes:
        works: the pending files.
        decided: outcomes that need no request.
        done: how many files were through before.
        skipped: how many files a rule kept out before.
    """

    works: list[Work]
    decided: list[Outcome] = field(default_factory=list)
    done: int = 0
    skipped: int = 0

    @property
    def total(self) -> int:
        """All the stage's files in this batch."""
        return self.done + self.skipped + len(self.works) + len(self.decided)


class FileStage(Protocol):
    """What a stage of kind ``files`` says about itself. It knows neither HTTP nor transactions."""

    stage: Stage

    def plan(self, connection: sa.Connection) -> Plan:
        """Which files are pending."""
        ...

    async def request(self, work: Work) -> Request:
        """The request for a file.

        Raises:
            FileFault: the file cannot be processed.
        """
        ...

    def outcome(self, work: Work, body: bytes) -> Outcome:
        """What the reply's body says.

        Raises:
            BadReply: it is not the shape of the protocol.
        """
        ...
