"""A reaudit: named calls through chosen stages again (seed 002, section 3). ``batchStatus`` is never touched.

Old transcripts and answers stay visible until new ones take their place in one transaction. While the task works, its
batches are held by their lease. A call whose redoing fails gets back the status and the flags that it had.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from cofi_dagster.adhoc import tasks
from cofi_dagster.adhoc.tasks import Task, TaskKind
from cofi_dagster.database import tables as t
from cofi_dagster.database.engine import reading
from cofi_dagster.database.transactions import inquire, transact
from cofi_dagster.pipeline.progress import StageReport
from cofi_dagster.pipeline.run import Pipeline
from cofi_dagster.pipeline.scope import OPEN_STATES, CallState, Scope, reset, restore
from cofi_dagster.pipeline.tracker import BatchBusy, Tracker, log_event
from cofi_dagster.settings import Settings
from cofi_dagster.stages import BY_NAME, STAGES

STAGE_NAMES: tuple[str, ...] = tuple(stage.name for stage in STAGES if stage.in_reaudit)
MOST_NAMES = 10_000
"""Most audio names of one reaudit."""
NO_BATCH = 0
"""``batchId`` of the events that say that a reaudit began and ended (seed 002)."""
_CHUNK = 500


class RequestRefused(ValueError):
    """A reaudit that cannot be queued; the message names the field and says why."""


class UnknownBatch(RequestRefused):
    """The batch that the request names is not there."""


@dataclass(frozen=True, slots=True)
class _Call:
    """A row of ``auditTaskCall``."""

    call_id: int
    batch_id: int
    status: CallState
    stage_done: str | None
    status_before: str | None


# -- the request -----------------------------------------------------------------------------------------------------


def request_of(
    engine: sa.Engine, settings: Settings, audio_names: Sequence[str], stages: Sequence[str], batch_id: int | None
) -> dict[str, Any]:
    """The request as it is stored: each name once, the stages in pipeline order whatever the order given.

    Raises:
        RequestRefused: a field cannot be used.
        UnknownBatch: there is no such batch.
    """
    names = [name for name in dict.fromkeys(audio_names) if name]
    if not names:
        raise RequestRefused("audio_names: at least one name is needed")
    if len(names) > MOST_NAMES:
        raise RequestRefused(f"audio_names: at most {MOST_NAMES} names in one reaudit")
    chosen = _stages(settings, stages)
    if batch_id is not None:
        wanted = sa.select(t.batch_status.c.id).where(t.batch_status.c.id == batch_id)
        with reading(engine) as connection:
            if connection.execute(wanted).first() is None:
                raise UnknownBatch(f"there is no batch {batch_id}")
    return {"audio_names": names, "stages": chosen, "batch_id": batch_id}


def _stages(settings: Settings, given: Sequence[str]) -> list[str]:
    if not given:
        raise RequestRefused(f"stages: at least one of {', '.join(STAGE_NAMES)} is needed")
    for name in given:
        if name not in STAGE_NAMES:
            raise RequestRefused(f"stages: '{name[:64]}' cannot be redone; choose from {', '.join(STAGE_NAMES)}")
        if not settings.is_enabled(BY_NAME[name]):
            raise RequestRefused(f"stages: {name} is disabled by COFI_STAGES_DISABLED")
    return [name for name in STAGE_NAMES if name in given]


def queue(engine: sa.Engine, request: Mapping[str, Any], *, run_id: str | None = None, by: str | None = None) -> str:
    """Queue a reaudit; its id."""
    return tasks.queue(engine, TaskKind.REAUDIT, request, run_id=run_id, by=by)


# -- the steps -------------------------------------------------------------------------------------------------------


def begin(pipeline: Pipeline, task: Task, run_id: str, stages: Sequence[str], *, afresh: bool = False) -> int:
    """Find the calls, hold their batches, and make the calls ready; how many calls are to be done.

    ``stages``: those that this run does, in order. ``afresh``: also calls that the task has done before are done again.

    Raises:
        TaskError: no call has any of the names.
        BatchBusy: a run is at work on one of the batches.
    """
    engine = pipeline.engine

    def find(connection: sa.Connection) -> list[_Call]:
        _find_calls(connection, task)
        return _calls(connection, task.id)

    calls = transact(engine, find)
    if not calls:
        raise tasks.TaskError(_none_known(task))
    _hold(pipeline, task, run_id, {call.batch_id for call in calls})

    def make_ready(connection: sa.Connection) -> int:
        ready = _make_ready(connection, task, stages, afresh=afresh)
        said = {"taskId": task.id, "runId": run_id, "stages": list(stages), "calls": len(ready)}
        log_event(connection, NO_BATCH, None, "reaudit_start", status="processing", total=len(ready), metadata=said)
        for batch_id, count in _by_batch(ready).items():
            log_event(connection, batch_id, None, "reaudit_reset", total=count, metadata=said)
        return len(ready)

    return transact(engine, make_ready)


def run_stage(pipeline: Pipeline, task: Task, run_id: str, stage: str, stages: Sequence[str]) -> list[StageReport]:
    """Do one stage for the task's calls that are ready for it, batch by batch; the reports.

    Raises:
        StageFailed: the stage could not go on.
    """
    rank = {name: place for place, name in enumerate(STAGE_NAMES)}
    calls = inquire(pipeline.engine, lambda connection: _calls(connection, task.id))
    scopes: dict[int, dict[int, str]] = defaultdict(dict)
    for call in calls:
        if call.status in OPEN_STATES and (call.stage_done is None or rank[call.stage_done] < rank[stage]):
            scopes[call.batch_id][call.call_id] = call.status_before or ""
    reports = []
    for batch_id, before in scopes.items():
        scope = Scope(task.id, tuple(stages), before)
        with pipeline.tracker.heartbeat(batch_id, run_id):
            _log_stage(pipeline, task, batch_id, StageReport(BY_NAME[stage], len(before)), "start")
            report = pipeline.redo_stage(batch_id, stage, scope)
            _log_stage(pipeline, task, batch_id, report, "complete")
        reports.append(report)
    return reports


def finish(pipeline: Pipeline, task: Task) -> None:
    """End the task: completed if any of its calls is through, else failed; its batches are free."""
    calls = inquire(pipeline.engine, lambda connection: _calls(connection, task.id))
    through = sum(call.status in (CallState.COMPLETED, CallState.SKIPPED) for call in calls)
    if through:
        _log_end(pipeline.engine, task, "completed", None)
        tasks.complete(pipeline.engine, task.id)
        pipeline.tracker.release(task.id)
    else:
        close(pipeline, task, f"none of {len(calls)} calls could be redone: {_first_error(pipeline.engine, task.id)}")


def close(pipeline: Pipeline, task: Task, error: str) -> None:
    """End the task as failed: calls that it has replaced nothing of are as they were; its batches are free."""
    give_up(pipeline.engine, task, error)
    pipeline.tracker.release(task.id)


def give_up(engine: sa.Engine, task: Task, error: str) -> None:
    """The same for a task whose run died: its leases died with it."""
    mine = t.audit_task_call

    def restore_all(connection: sa.Connection) -> None:
        unfinished = [call.call_id for call in _calls(connection, task.id) if call.status in OPEN_STATES]
        for ids in _chunks(unfinished):
            restore(connection, task.id, ids)
        still = mine.update().where(mine.c.taskId == task.id, mine.c.status.in_(OPEN_STATES))
        connection.execute(still.values(status=CallState.FAILED, error=error))

    transact(engine, restore_all)
    _log_end(engine, task, "failed", error)
    tasks.fail(engine, task.id, error)


def put_back(pipeline: Pipeline, task: Task, reason: str) -> None:
    """Queue the task again, for a batch that is being worked on."""
    pipeline.tracker.release(task.id)
    tasks.put_back(pipeline.engine, task.id, reason)


def busy_batches(tracker: Tracker, engine: sa.Engine, task: Task) -> list[int]:
    """The batches of the task's calls that a living run holds; it is not worth beginning before they are free."""
    names, wanted = task.request["audio_names"], task.request.get("batch_id")
    lease, call = t.batch_lease, t.call
    query = sa.select(lease.c.batchId).where(
        sa.exists().where(call.c.batchId == lease.c.batchId, call.c.audioName.in_(names[:_CHUNK]))
    )
    if wanted is not None:
        query = query.where(lease.c.batchId == wanted)
    with reading(engine) as connection:
        held = list(connection.execute(query).scalars())
    holders = {batch_id: tracker.holder(batch_id) for batch_id in held}
    return [batch_id for batch_id, holder in holders.items() if holder is not None and holder.is_alive()]


# -- parts -----------------------------------------------------------------------------------------------------------


def _find_calls(connection: sa.Connection, task: Task) -> None:
    """Insert the task's calls, once: all that have one of the names, or those of the given batch."""
    mine, call = t.audit_task_call, t.call
    if connection.execute(sa.select(mine.c.callId).where(mine.c.taskId == task.id)).first() is not None:
        return
    for names in _chunks(task.request["audio_names"]):
        found = sa.select(sa.literal(task.id), call.c.id, call.c.batchId, call.c.audioName)
        found = found.where(call.c.audioName.in_(names))
        if task.request.get("batch_id") is not None:
            found = found.where(call.c.batchId == task.request["batch_id"])
        connection.execute(mine.insert().from_select(["taskId", "callId", "batchId", "audioName"], found))
    batches = set(connection.execute(sa.select(mine.c.batchId).where(mine.c.taskId == task.id)).scalars())
    if len(batches) == 1:
        its = t.audit_task.update().where(t.audit_task.c.taskId == task.id)
        connection.execute(its.values(batchId=batches.pop()))


def _calls(connection: sa.Connection, task_id: str) -> list[_Call]:
    mine = t.audit_task_call
    query = sa.select(mine).where(mine.c.taskId == task_id).order_by(mine.c.callId)
    return [
        _Call(row.callId, row.batchId, CallState(row.status), row.stageDone, row.statusBefore)
        for row in connection.execute(query)
    ]


def _hold(pipeline: Pipeline, task: Task, run_id: str, batch_ids: Iterable[int]) -> None:
    """Hold all the batches, or none.

    Raises:
        BatchBusy: a run is at work on one of them.
    """
    try:
        for batch_id in sorted(batch_ids):
            pipeline.tracker.claim(batch_id, run_id, task.id)
    except sa.exc.IntegrityError as error:
        pipeline.tracker.release(task.id)
        raise BatchBusy(f"another run took a batch of task {task.id} at the same moment") from error
    except BatchBusy:
        pipeline.tracker.release(task.id)
        raise


def _make_ready(connection: sa.Connection, task: Task, stages: Sequence[str], *, afresh: bool) -> list[_Call]:
    """Reset what is to be done (seed 002, steps 4 and 5), having kept what was; the calls that are to be done."""
    mine = t.audit_task_call
    its = mine.update().where(mine.c.taskId == task.id)
    if afresh:
        connection.execute(its.values(status=CallState.PROCESSING, stageDone=None, statusBefore=None, error=None))
    else:
        over = [CallState.COMPLETED, CallState.SKIPPED]
        connection.execute(its.where(mine.c.status.not_in(over)).values(status=CallState.PROCESSING, error=None))
    ready = [call for call in _calls(connection, task.id) if call.status is CallState.PROCESSING]
    replaced = (None, "lid") if not afresh else (None,)
    for ids in _chunks([call.call_id for call in ready if call.stage_done in replaced]):
        _keep_state(connection, task.id, ids, stages)
    left: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for call in ready:
        done = STAGE_NAMES.index(call.stage_done) if call.stage_done else -1
        left[tuple(name for name in stages if STAGE_NAMES.index(name) > done)].append(call.call_id)
    for remaining, ids in left.items():
        for chunk in _chunks(ids if remaining else []):
            reset(connection, chunk, remaining)
    return ready


def _keep_state(connection: sa.Connection, task_id: str, call_ids: Sequence[int], stages: Sequence[str]) -> None:
    """Keep the status and the done flags of calls that the task has replaced nothing of."""
    mine, call, files = t.audit_task_call, t.call, t.file_distribution
    flags = [flag for name in stages if (flag := BY_NAME[name].done_flag)]
    same = sa.and_(files.c.batchId == call.c.batchId, files.c.file == call.c.audioName)
    query = sa.select(call.c.id, call.c.status, *(files.c[flag] for flag in flags)).select_from(
        call.outerjoin(files, same)
    )
    for row in connection.execute(query.where(call.c.id.in_(call_ids))).mappings().all():
        kept = ",".join(flag for flag in flags if row[flag])
        its = mine.update().where(mine.c.taskId == task_id, mine.c.callId == row["id"])
        connection.execute(its.values(statusBefore=row["status"], flagsBefore=kept))


def _none_known(task: Task) -> str:
    names = task.request["audio_names"]
    where = f" in batch {task.request['batch_id']}" if task.request.get("batch_id") is not None else ""
    shown = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
    return f"there is no call of any of these names{where}: {shown}"


def _first_error(engine: sa.Engine, task_id: str) -> str:
    mine = t.audit_task_call
    query = sa.select(mine.c.error).where(mine.c.taskId == task_id, mine.c.error.is_not(None)).limit(1)
    return inquire(engine, lambda connection: connection.execute(query).scalar()) or "no reason is known"


def _log_stage(pipeline: Pipeline, task: Task, batch_id: int, report: StageReport, what: str) -> None:
    said = {"taskId": task.id, "failed": report.failed, "skipped": report.skipped}
    stage, kind = report.stage.name, f"reaudit_stage_{what}"

    def log(connection: sa.Connection) -> int:
        return log_event(connection, batch_id, stage, kind, total=report.total, processed=report.done, metadata=said)

    transact(pipeline.engine, log)


def _log_end(engine: sa.Engine, task: Task, status: str, error: str | None) -> None:
    said = {"taskId": task.id, **({"error": error} if error else {})}
    kind = f"reaudit_{status}"
    transact(engine, lambda connection: log_event(connection, NO_BATCH, None, kind, status=status, metadata=said))


def _by_batch(calls: Iterable[_Call]) -> dict[int, int]:
    counts: dict[int, int] = defaultdict(int)
    for call in calls:
        counts[call.batch_id] += 1
    return counts


def _chunks(items: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK))
