"""The page of one upload or reaudit: how it stands, file by file, and what a reaudit changed."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from cofi_dagster.adhoc import tasks
from cofi_dagster.adhoc.progress import file_states, share_done
from cofi_dagster.adhoc.tasks import OPEN, Task, TaskKind, WrongStatus
from cofi_dagster.pipeline.scope import CallState
from cofi_dagster.stages import BY_NAME
from cofi_dagster.web.pages import dagster_links
from cofi_dagster.web.pages.desk import Desk, Offset
from cofi_dagster.web.pages.tasks import keys_of_batches, size_of
from cofi_dagster.web.pages.tasks_changes import MOST_SHOWN, Summaries

_FILES, _CHANGES = 50, 50
_MANY = 500
"""More files than this are read less often, and their changes are counted after the page is there."""
_EVERY, _EVERY_OF_MANY = 2, 10


class Looked(BaseModel, frozen=True):
    """Which of a task's files and changes are looked at, as the address's query."""

    state: str = ""
    offset: Offset = 0
    changes: Offset = 0

    def query(self, **other: Any) -> str:
        """As the query of an address, with some of it changed."""
        wishes = {**self.model_dump(), **other}
        return "?" + urlencode({name: value for name, value in wishes.items() if value})


def routes(desk: Desk) -> APIRouter:
    """``/cofi/task/{id}``, its live part, and trying it again."""
    router = APIRouter()
    summaries = Summaries(desk.engine)

    @router.get("/cofi/task/{task_id}")
    def page(task_id: str, request: Request, looked: Annotated[Looked, Query()]) -> Response:
        """The whole page."""
        task = tasks.get(desk.engine, task_id)
        return desk.show(request, "task.html", page="tasks", **context(task, looked, count=size_of(task) <= _MANY))

    @router.get("/cofi/task/{task_id}/live")
    def live(task_id: str, request: Request, looked: Annotated[Looked, Query()]) -> Response:
        """What of it changes; nothing does once it has ended, until somebody tries it again."""
        task = tasks.get(desk.engine, task_id)
        every = (_EVERY if size_of(task) <= _MANY else _EVERY_OF_MANY) if task.status in OPEN else _EVERY_OF_MANY
        key = (task.id, looked)
        return desk.live(request, "task_live.html", key, lambda: context(task, looked, count=True), every)

    @router.post("/cofi/task/{task_id}/retry")
    async def retry(task_id: str, request: Request) -> Response:
        """Queue a failed task again."""
        await desk.form(request)
        return await run_in_threadpool(_retry, task_id)

    def _retry(task_id: str) -> Response:
        here = f"/cofi/task/{tasks.get(desk.engine, task_id).id}"
        try:
            tasks.retry(desk.engine, task_id)
        except WrongStatus as refused:
            return desk.back(here, str(refused), is_error=True)
        return desk.back(here, "It is tried again in a moment; what it had done stays done.")

    def context(task: Task, looked: Looked, *, count: bool) -> dict[str, Any]:
        files = file_states(desk.engine, desk.settings, task)
        counts = Counter(str(file.status) for file in files)
        chosen = [file for file in files if not looked.state or file.status == looked.state]
        shown = chosen[looked.offset : looked.offset + _FILES]
        named = (task.batch_id, *(file.batch_id for file in shown))
        batch_ids = {batch_id for batch_id in named if batch_id is not None}
        return {
            "task": task,
            "keys": keys_of_batches(desk, batch_ids),
            "stages": [BY_NAME[name].title for name in task.request.get("stages", ()) if name in BY_NAME],
            "looked": looked,
            "progress": share_done(task, files),
            "states": [(str(state), counts[state]) for state in CallState if counts[state]],
            "files": shown,
            "total": len(chosen),
            "all_files": len(files),
            "files_limit": _FILES,
            "run_link": dagster_links.run(task.run_id) if task.run_id else None,
            "runs_link": dagster_links.runs_of_task(task.id),
            **_changed(task, looked, count=count),
        }

    def _changed(task: Task, looked: Looked, *, count: bool) -> dict[str, Any]:
        if task.kind is not TaskKind.REAUDIT or task.status in OPEN:
            return {"changes": None, "counting": False}
        found = summaries.of(task) if count else summaries.known(task)
        return {
            "changes": found,
            "counting": found is None,
            "most_shown": MOST_SHOWN,
            "changed": found.shown[looked.changes : looked.changes + _CHANGES] if found else [],
            "changes_limit": _CHANGES,
        }

    return router
