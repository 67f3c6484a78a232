"""What the page of a call says at its head: where it is from, how it stands, what failed, what holds it. Reads only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from cofi_dagster.adhoc import tasks
from cofi_dagster.adhoc.tasks import Task, TaskKind
from cofi_dagster.database import tables as t
from cofi_dagster.database.engine import reading
from cofi_dagster.database.retention import PURGED, Hold, holds
from cofi_dagster.pipeline import batches
from cofi_dagster.pipeline.batches import Batch
from cofi_dagster.pipeline.status import CallStatus
from cofi_dagster.settings import Settings
from cofi_dagster.stages import BY_NAME, DONE_FLAGS
from cofi_dagster.web.call_reads import UnknownCall

_MOST_TASKS = 200


@dataclass(frozen=True, slots=True)
class Failure:
    """The last failure of the call's file in a stage; ``is_mended``: the stage has been through since."""

    stage: str
    reason: str
    at: datetime | None
    is_mended: bool


@dataclass(frozen=True, slots=True)
class Head:
    """A call, and what is known of it besides what was said.

    ``metadata``: by its columns, each None where the batch's call metadata does not name the file (``has_metadata``).
    ``done``: the done flags by their columns.
    """

    call: Mapping[Any, Any]
    batch: Batch
    metadata: Mapping[Any, Any]
    has_metadata: bool
    done: Mapping[Any, Any]
    heard: Sequence[Any]
    language_confidence: float | None
    failures: Sequence[Failure]
    holds: Sequence[Hold]
    tasks: Sequence[Task]
    purged_at: datetime | None

    @property
    def script(self) -> str | None:
        """The language of what was said as HTML names it; None where it is none that is written in its own script."""
        return "hi" if self.call["lang"] == "hi" else None

    @property
    def failed(self) -> list[tuple[Failure, list[str]]]:
        """The failures, those of one reason together: one of them, and the titles of their stages."""
        found: dict[tuple[str, bool], tuple[Failure, list[str]]] = {}
        for one in self.failures:
            found.setdefault((one.reason, one.is_mended), (one, []))[1].append(BY_NAME[one.stage].title)
        return list(found.values())

    def why_no(self, stage: str) -> str:
        """Why the call has no result of a stage, in one sentence."""
        if sentence := _BY_STATUS.get(self.call["status"]):
            return sentence
        needed = _needed(stage)
        for one in self.failures:
            if one.stage in needed and not one.is_mended:
                return f"{BY_NAME[one.stage].title} failed for this call: {one.reason.rstrip('.')}."
        if self.purged_at is not None:
            return "It was removed when its time of keeping was over."
        return f"{BY_NAME[stage].title.partition(':')[0]} has not been through with this call yet."


def _needed(stage: str) -> set[str]:
    """The stage and all that it needs."""
    return {stage}.union(*(_needed(name) for name in BY_NAME[stage].prerequisites))


_BY_STATUS = {
    CallStatus.SHORT_CALL: "The call is too short: only calls of some seconds are transcribed (COFI_MIN_CALL_SECONDS).",
    CallStatus.UNSUPPORTED_LANGUAGE: "The call is in a language that is not transcribed (COFI_LANGUAGES).",
    CallStatus.NO_SPEECH: "Speech to text found nobody speaking in this call, so nothing is asked about it.",
}


def head(engine: sa.Engine, settings: Settings, call_id: int) -> Head:
    """The head of a call's page.

    Raises:
        UnknownCall: there is no such call.
    """
    with reading(engine) as connection:
        call = connection.execute(sa.select(t.call).where(t.call.c.id == call_id)).mappings().one_or_none()
        if call is None:
            raise UnknownCall(f"there is no call {call_id}")
        batch_id, name = call["batchId"], call["audioName"]
        known, files, lid = t.call_metadata.c, t.file_distribution.c, t.lid_status.c
        named = sa.select(t.call_metadata).where(known.batchId == batch_id, known.audioName == name)
        metadata = connection.execute(named).mappings().first()
        done = sa.select(t.file_distribution).where(files.batchId == batch_id, files.file == name)
        told = sa.select(lid.confidence).where(lid.batchId == batch_id, lid.file == name).order_by(lid.id.desc())
        return Head(
            call=call,
            batch=batches.by_id(engine, batch_id, settings.batches),
            metadata=metadata or dict.fromkeys(t.call_metadata.c.keys()),
            has_metadata=metadata is not None,
            done=connection.execute(done).mappings().first() or dict.fromkeys(DONE_FLAGS, 0),
            heard=_heard(connection, call_id),
            language_confidence=connection.execute(told.limit(1)).scalar(),
            failures=_failures(connection, call_id, name),
            holds=[one for one in holds(engine, batch_id) if one.audio_name in (None, name)],
            tasks=[task for task in tasks.tasks(engine, None, tasks.OPEN, _MOST_TASKS) if _is_about(task, call)],
            purged_at=_purged(connection, batch_id),
        )


def _heard(connection: sa.Connection, call_id: int) -> Sequence[Any]:
    """Prompts, ringing, music and silence, in order."""
    table = t.ivr_segment.c
    query = sa.select(table.kind, table.startTime, table.endTime).where(table.callId == call_id)
    return connection.execute(query.order_by(table.startTime, table.id)).all()


def _failures(connection: sa.Connection, call_id: int, name: str) -> list[Failure]:
    log = t.processing_logs.c
    query = sa.select(log.stage_name, log.status, log.error_message, log.created_at).where(log.call_id == call_id)
    found: dict[str, Failure] = {}
    for row in connection.execute(query.order_by(log.id)):
        if row.status == "failed" and row.stage_name in BY_NAME:
            reason = (row.error_message or "no reason is known").removeprefix(f"{name}: ")
            found[row.stage_name] = Failure(row.stage_name, reason, row.created_at, is_mended=False)
        elif row.stage_name in found:
            old = found[row.stage_name]
            found[row.stage_name] = Failure(old.stage, old.reason, old.at, is_mended=True)
    return list(found.values())


def _purged(connection: sa.Connection, batch_id: int) -> datetime | None:
    """When transcripts and audio of the batch were last removed."""
    log = t.batch_execution_log.c
    query = sa.select(log.createdAt).where(log.batchId == batch_id, log.eventType == PURGED, log.stage.is_(None))
    return connection.execute(query.order_by(log.id.desc()).limit(1)).scalar()


def _is_about(task: Task, call: Mapping[Any, Any]) -> bool:
    """Whether a task that is not over yet will do this call."""
    if task.kind is TaskKind.UPLOAD:
        return bool(task.batch_id == call["batchId"])
    its_batch = task.request.get("batch_id")
    return bool(call["audioName"] in task.request.get("audio_names", ()) and its_batch in (None, call["batchId"]))
