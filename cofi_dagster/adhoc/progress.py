"""How far a task is with each of its files, as its status says it. Reads only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from cofi_dagster.adhoc.reaudit import STAGE_NAMES
from cofi_dagster.adhoc.tasks import OPEN, Task, TaskKind
from cofi_dagster.database import tables as t
from cofi_dagster.database.engine import reading
from cofi_dagster.pipeline.pending import JOINED
from cofi_dagster.pipeline.scope import CallState
from cofi_dagster.pipeline.status import CallStatus
from cofi_dagster.settings import Settings
from cofi_dagster.stages import STAGES

_ENDED = (CallState.COMPLETED, CallState.SKIPPED, CallState.FAILED)
_WHY_SKIPPED: Mapping[str, str] = {
    CallStatus.SHORT_CALL: "ShortCall: it is too short to be transcribed",
    CallStatus.UNSUPPORTED_LANGUAGE: "UnsupportedLanguage: calls in its language are not transcribed",
    CallStatus.NO_SPEECH: "NoSpeech: nobody speaks in it",
}


@dataclass(frozen=True, slots=True)
class FileState:
    """One file of a task: ``queued``, ``processing``, ``completed``, ``skipped`` (by a rule) or ``failed``, and why.

    ``share``: how much of its way through the task's stages it has gone, from 0 to 1. ``call_id``: its call, once made.
    """

    file: str
    batch_id: int | None
    status: str
    error: str | None
    share: float
    call_id: int | None = None


def file_states(engine: sa.Engine, settings: Settings, task: Task) -> list[FileState]:
    """The task's files, in the order in which they were named."""
    if task.kind is TaskKind.REAUDIT:
        return _reaudited(engine, task)
    return _uploaded(engine, settings, task)


def share_done(task: Task, files: list[FileState]) -> float:
    """The task's progress in percent."""
    if task.status not in OPEN:
        return 100.0
    return round(100 * sum(file.share for file in files) / len(files), 1) if files else 0.0


def _reaudited(engine: sa.Engine, task: Task) -> list[FileState]:
    mine, stages = t.audit_task_call, task.request["stages"]
    with reading(engine) as connection:
        rows = connection.execute(sa.select(mine).where(mine.c.taskId == task.id).order_by(mine.c.batchId)).all()
    known: dict[str, list[FileState]] = {}
    for row in rows:
        error = _WHY_SKIPPED.get(row.error, row.error) if row.status == CallState.SKIPPED else row.error
        share = 1.0 if row.status in _ENDED else _stages_done(row.stageDone, stages) / len(stages)
        known.setdefault(row.audioName, []).append(
            FileState(row.audioName, row.batchId, row.status, error, share, row.callId)
        )
    looked = bool(rows) or task.status not in (*OPEN,)
    files: list[FileState] = []
    for name in task.request["audio_names"]:
        files += known.get(name, [_unknown(name, task.request.get("batch_id"), looked=looked)])
    return files


def _stages_done(last: str | None, stages: list[str]) -> int:
    return sum(STAGE_NAMES.index(name) <= STAGE_NAMES.index(last) for name in stages) if last else 0


def _unknown(name: str, batch_id: int | None, *, looked: bool) -> FileState:
    if not looked:
        return FileState(name, batch_id, CallState.QUEUED, None, 0.0)
    return FileState(name, batch_id, CallState.FAILED, "there is no call of this name", 1.0)


def _uploaded(engine: sa.Engine, settings: Settings, task: Task) -> list[FileState]:
    names = [item["file"] for item in task.request["files"]]
    if task.batch_id is None:
        state = (CallState.QUEUED, None) if task.status in OPEN else (CallState.FAILED, task.error)
        return [FileState(name, None, *state, 0.0) for name in names]
    files = t.file_distribution.c
    flags = [s.done_flag for s in STAGES if s.in_upload and s.done_flag and settings.is_enabled(s)]
    columns = [files.file, files.ip, t.call.c.id.label("callId"), t.call.c.status, *(files[flag] for flag in flags)]
    with reading(engine) as connection:
        query = sa.select(*columns).select_from(JOINED).where(files.batchId == task.batch_id)
        rows = {row["file"]: row for row in connection.execute(query).mappings()}
        errors = _errors(connection, task.batch_id)
    return [_upload_state(task, name, rows.get(name), flags, errors) for name in names]


def _upload_state(
    task: Task, name: str, row: RowMapping | None, flags: list[str], errors: Mapping[int, str]
) -> FileState:
    if row is None:
        status = CallState.PROCESSING if task.status in OPEN else CallState.FAILED
        return FileState(name, task.batch_id, status, task.error, 0.0)
    call = row["callId"]
    if row["status"] in _WHY_SKIPPED:
        return FileState(name, task.batch_id, CallState.SKIPPED, _WHY_SKIPPED[row["status"]], 1.0, call)
    done = sum(1 for flag in flags if row[flag])
    if done == len(flags):
        return FileState(name, task.batch_id, CallState.COMPLETED, None, 1.0, call)
    error = errors.get(call)
    share = ((row["ip"] is not None) + done) / (len(flags) + 1)
    if task.status in OPEN:
        return FileState(name, task.batch_id, CallState.PROCESSING, error, share, call)
    return FileState(name, task.batch_id, CallState.FAILED, error or task.error, share, call)


def _errors(connection: sa.Connection, batch_id: int) -> dict[int, str]:
    """The newest reason of failure of each call of the batch."""
    log = t.processing_logs.c
    query = sa.select(log.call_id, log.stage_name, log.error_message).where(
        log.batch_id == batch_id, log.status == "failed", log.call_id.is_not(None)
    )
    return {row.call_id: f"{row.stage_name}: {row.error_message}" for row in connection.execute(query.order_by(log.id))}
