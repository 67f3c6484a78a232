"""The page of uploads and reaudits: the forms that ask for one, and the list of all. One task's own page is apart."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import urlencode

import sqlalchemy as sa
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from cofi_dagster.adhoc import reaudit, tasks
from cofi_dagster.adhoc.progress import file_states, share_done
from cofi_dagster.adhoc.reaudit import MOST_NAMES, STAGE_NAMES, RequestRefused
from cofi_dagster.adhoc.tasks import Task, TaskKind, TaskStatus
from cofi_dagster.adhoc.uploads import Upload, UploadRefused, UploadTooLarge
from cofi_dagster.audit.questionnaire import DEFAULT_CATEGORY_MAPPING_ID, DEFAULT_PROCESS_ID
from cofi_dagster.database import tables as t
from cofi_dagster.database.engine import reading
from cofi_dagster.pipeline import batches
from cofi_dagster.pipeline.status import CallStatus
from cofi_dagster.stages import BY_NAME
from cofi_dagster.web.pages.desk import Desk, Offset
from cofi_dagster.web.receive import questionnaire_of, receive

_PAGE = 25
_LARGEST_FORM = 4 * 1024 * 1024
_FIELD_OF_THE_API = re.compile(r"^(files|audio_names|stages): ")


class Chosen(BaseModel, frozen=True):
    """Which tasks are asked for, as the address's query; the empty string is no wish."""

    kind: str = ""
    status: str = ""
    offset: Offset = 0

    def query(self) -> str:
        """As the query of an address, to which more can be added."""
        wishes = {name: value for name, value in (("kind", self.kind), ("status", self.status)) if value}
        return f"?{urlencode(wishes)}&" if wishes else "?"


class Wanted(Chosen, frozen=True):
    """The same, and what the form of reaudits begins with where a page leads to it: names, one a line, and a batch."""

    audio: str = Field("", max_length=10_000)
    batch: str = Field("", max_length=40)


def routes(desk: Desk) -> APIRouter:
    """``/cofi/uploads``, its live part, and what its forms ask for."""
    router = APIRouter()

    @router.get("/cofi/uploads")
    def page(request: Request, wanted: Annotated[Wanted, Query()]) -> Response:
        """The whole page."""
        fields = {"names": wanted.audio, "batch": wanted.batch}
        return _page(request, wanted, reaudit_fields={name: value for name, value in fields.items() if value})

    @router.get("/cofi/uploads/live")
    def live(request: Request, chosen: Annotated[Chosen, Query()]) -> Response:
        """The list."""
        return desk.live(request, "uploads_live.html", chosen, lambda: _listed(desk, chosen))

    @router.post("/cofi/uploads")
    async def upload_files(request: Request) -> Response:
        """The form of uploads, where the browser sends it without the page's script."""
        fields: dict[str, str] = {}
        try:
            with Upload(desk.settings) as upload:
                fields = await receive(request, upload)
                desk.check_token(request, fields)
                asked = questionnaire_of(fields)
                task_id = await run_in_threadpool(upload.queue, desk.engine, *asked, by=desk.who(request))
        except UploadRefused as refused:
            status = 413 if isinstance(refused, UploadTooLarge) else 422
            shown = {"upload_fields": fields, "upload_error": plain(refused)}
            return await run_in_threadpool(lambda: _page(request, Chosen(), status, **shown))
        return desk.back(f"/cofi/task/{task_id}", "The files are here. Their audit begins in a moment.")

    @router.post("/cofi/uploads/reaudit")
    async def reaudit_calls(request: Request) -> Response:
        """The form of reaudits."""
        fields = await desk.form(request, _LARGEST_FORM)
        by = desk.who(request)
        try:
            task_id = await run_in_threadpool(_queue_reaudit, desk, fields, by)
        except RequestRefused as refused:
            shown = {"reaudit_fields": fields, "reaudit_error": plain(refused)}
            return await run_in_threadpool(lambda: _page(request, Chosen(), 422, **shown))
        return desk.back(
            f"/cofi/task/{task_id}", "The reaudit begins in a moment. What is there stays until it is replaced."
        )

    def _page(request: Request, chosen: Chosen, status: int = 200, **shown: Any) -> Response:
        """The page; a refused form comes back with what was in it, and why."""
        forms = {"upload_fields": {}, "upload_error": None, "reaudit_fields": {}, "reaudit_error": None, **shown}
        return desk.show(
            request,
            "uploads.html",
            status,
            page="tasks",
            kinds=tuple(TaskKind),
            statuses=tuple(TaskStatus),
            stages=[BY_NAME[name] for name in STAGE_NAMES if desk.settings.is_enabled(BY_NAME[name])],
            call_statuses=tuple(CallStatus),
            default_process=DEFAULT_PROCESS_ID,
            default_category=DEFAULT_CATEGORY_MAPPING_ID,
            most_files=desk.settings.upload_max_files,
            most_mb=desk.settings.upload_max_file_mb,
            most_names=MOST_NAMES,
            **forms,
            **_listed(desk, chosen),
        )

    return router


def plain(refused: Exception) -> str:
    """A refusal as a person reads it: the API's own begins with the field's name in its document."""
    return _FIELD_OF_THE_API.sub("", str(refused))


def size_of(task: Task) -> int:
    """How many files or names a task is asked for."""
    return len(task.request.get("files" if task.kind is TaskKind.UPLOAD else "audio_names", ()))


def _listed(desk: Desk, chosen: Chosen) -> dict[str, Any]:
    """A page of the list. Only tasks at work are looked into: there is one at a time."""
    kind = TaskKind(chosen.kind) if chosen.kind in tuple(TaskKind) else None
    statuses = [TaskStatus(chosen.status)] if chosen.status in tuple(TaskStatus) else list(TaskStatus)
    total, found = tasks.page(desk.engine, kind, statuses, _PAGE, chosen.offset)
    progress = {
        task.id: share_done(task, file_states(desk.engine, desk.settings, task))
        for task in found
        if task.status is TaskStatus.PROCESSING
    }
    return {
        "chosen": chosen,
        "limit": _PAGE,
        "total": total,
        "tasks": [(task, size_of(task), progress.get(task.id)) for task in found],
        "batches": keys_of_batches(desk, {task.batch_id for task in found if task.batch_id is not None}),
    }


def keys_of_batches(desk: Desk, batch_ids: set[int]) -> dict[int, str]:
    """The keys of batches."""
    table = t.batch_status.c
    query = sa.select(table.id, table.batchDate, table.batchNumber).where(table.id.in_(batch_ids))
    with reading(desk.engine) as connection:
        return {row.id: f"{row.batchDate.isoformat()}_{row.batchNumber}" for row in connection.execute(query)}


# -- reaudits --------------------------------------------------------------------------------------------------------


def _queue_reaudit(desk: Desk, fields: Mapping[str, str], by: str) -> str:
    """Queue what the form asks for; the task's id.

    Raises:
        RequestRefused: it cannot be done; the message says why.
    """
    stages = [name for name in STAGE_NAMES if fields.get(f"stage_{name}")]
    batch_id = _batch_id(desk, fields.get("batch", "").strip())
    names = [line.strip() for line in fields.get("names", "").splitlines() if line.strip()]
    if not names and fields.get("status"):
        names = _names(desk, batch_id, fields["status"])
    return reaudit.queue(desk.engine, reaudit.request_of(desk.engine, desk.settings, names, stages, batch_id), by=by)


def _batch_id(desk: Desk, named: str) -> int | None:
    """The batch that a person names by its key or its id; None where none is named.

    Raises:
        RequestRefused: there is none.
    """
    if not named:
        return None
    if named.isascii() and named.isdigit() and int(named) < 2**63:
        return int(named)
    try:
        found = batches.by_key(desk.engine, named, desk.settings.batches)
    except ValueError:
        found = None
    if found is None:
        raise RequestRefused(f"there is no batch {named[:40]}")
    return found.id


def _names(desk: Desk, batch_id: int | None, status: str) -> list[str]:
    """The names of a batch's calls that have a status.

    Raises:
        RequestRefused: no batch is named, or it has no such call.
    """
    if batch_id is None:
        raise RequestRefused("name the calls, or the batch whose calls are meant")
    call = t.call.c
    query = sa.select(call.audioName).where(call.batchId == batch_id, call.status == status).limit(MOST_NAMES + 1)
    with reading(desk.engine) as connection:
        names = list(connection.execute(query).scalars())
    if not names:
        raise RequestRefused(f"batch {batch_id} has no call whose status is {status[:40]}")
    return names
