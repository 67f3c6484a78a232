"""COFI's HTTP API, the pages beside it. Requests in, replies out; what they mean is in ``adhoc`` and in the reads."""

from __future__ import annotations

from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import Depends, FastAPI, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response

from cofi_dagster.adhoc import reaudit, tasks
from cofi_dagster.adhoc.changes import Change, changes_of
from cofi_dagster.adhoc.progress import file_states, share_done
from cofi_dagster.adhoc.tasks import Task, TaskKind, UnknownTask, WrongStatus
from cofi_dagster.adhoc.uploads import Upload, UploadRefused, UploadTooLarge
from cofi_dagster.audit.questionnaire import DEFAULT_CATEGORY_MAPPING_ID, DEFAULT_PROCESS_ID
from cofi_dagster.database.engine import DatabaseError, explain
from cofi_dagster.pipeline.batches import BatchError
from cofi_dagster.pipeline.control import Control
from cofi_dagster.settings import Settings
from cofi_dagster.web import models as m
from cofi_dagster.web.batch_reads import BatchReads
from cofi_dagster.web.call_reads import UnknownCall, call_reply
from cofi_dagster.web.control_api import STATUS_CODES, DatabaseVerbs, Verbs, add_control
from cofi_dagster.web.keys import keys_of
from cofi_dagster.web.metrics import CONTENT_TYPE, metrics
from cofi_dagster.web.pages import add_pages, problem
from cofi_dagster.web.pages.desk import Desk, ForgedForm, FormRefused, key_of
from cofi_dagster.web.receive import questionnaire_of, receive
from cofi_dagster.web.review_api import REVIEW_CODES, add_reviews
from cofi_dagster.web.session import Sessions

PREFIXES = ("/audit", "/reaudit", "/api", "/status", "/stages", "/metrics", "/health", "/cofi")
"""What of the one address is COFI's own; the rest is the Dagster UI's."""

_MOST = 2**63 - 1
Id = Annotated[int, Path(ge=1, le=_MOST)]
Limit = Annotated[int, Query(ge=1, le=500, description="How many, at most.")]
Offset = Annotated[int, Query(ge=0, le=_MOST, description="How many to pass over.")]
Word = Annotated[str | None, Query(max_length=32, description="Only those with this status.")]
_TEXTS: dict[int | str, str] = {
    401: "No key, or an unknown one.", 403: "The key may only look, or the request comes from another site.",
    404: "There is no such thing.", 409: "It is not in the state for that.", 413: "Too large.",
    422: "Bad input: which field, and why.", 429: "Too many requests.", 503: "The database cannot be used.",
}  # fmt: skip
_KEY = HTTPBearer(auto_error=False, scheme_name="key", description="A key of `COFI_API_KEYS`; the gate asks for it.")
"""How the API's document says that a key is needed."""
_UPLOAD_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["files"],
                    "properties": {
                        "files": {
                            "type": "array",
                            "minItems": 1,
                            "items": {"type": "string", "format": "binary"},
                            "description": "Audio files, each under a name of its own.",
                        },
                        "process_id": {"type": "integer", "minimum": 1, "default": DEFAULT_PROCESS_ID},
                        "category_mapping_id": {
                            "type": "integer",
                            "minimum": 1,
                            "default": DEFAULT_CATEGORY_MAPPING_ID,
                        },
                    },
                }
            }
        },
    }
}


def _may(*codes: int) -> dict[int | str, dict[str, Any]]:
    """The errors of an endpoint, for the document."""
    return {code: {"model": m.Problem, "description": _TEXTS[code]} for code in (401, *codes, 429, 503)}


def create_api(
    settings: Settings, engine: sa.Engine, verbs: Verbs | None = None, sessions: Sessions | None = None
) -> FastAPI:
    """API and pages on a database that is ready; ``verbs`` are a person's, with the Dagster runs that they mean."""
    app = FastAPI(
        title="COFI",
        description="Evidence for telephone orders: batches, audit uploads, reaudits. All times are UTC.",
        docs_url=None,
        redoc_url=None,
        openapi_url="/cofi/openapi.json",
        dependencies=[Depends(_KEY)],
    )
    reads = BatchReads(engine, settings)
    verbs = verbs or DatabaseVerbs(Control(engine, settings))
    desk = Desk(settings, engine, reads, verbs, sessions or Sessions(settings, keys_of(settings)))
    _explain_errors(app, desk)
    _add_tasks(app, settings, engine)
    _add_batches(app, reads, engine)
    add_control(app, verbs)
    add_reviews(app, engine)
    _summarise(app)
    add_pages(app, desk)
    return app


def _summarise(app: FastAPI) -> None:
    """Let each request of the document be headed by its sentence, instead of its function's name."""
    for route in app.routes:
        if isinstance(route, APIRoute):
            route.summary, _, route.description = route.description.partition("\n\n")


# -- audit uploads and reaudits --------------------------------------------------------------------------------------


def _add_tasks(app: FastAPI, settings: Settings, engine: sa.Engine) -> None:
    @app.post(
        "/audit/upload", status_code=202, tags=["tasks"], responses=_may(403, 413, 422), openapi_extra=_UPLOAD_BODY
    )
    async def upload_files(request: Request) -> m.Queued:
        """Send audio files; they are audited as a batch of their own, as soon as possible."""
        with Upload(settings) as upload:
            fields = await receive(request, upload)
            asked = questionnaire_of(fields)
            task_id = await run_in_threadpool(upload.queue, engine, *asked, by=_by(request))
        return m.Queued(status="queued", task_id=task_id)

    @app.post("/reaudit", status_code=202, tags=["tasks"], responses=_may(403, 404, 422))
    def reaudit_calls(body: m.ReauditRequest, request: Request) -> m.ReauditQueued:
        """Take named calls through stages again; what is there stays visible until it is replaced."""
        wanted = reaudit.request_of(engine, settings, body.audio_names, body.stages, body.batch_id)
        return m.ReauditQueued(status="processing", task_id=reaudit.queue(engine, wanted, by=_by(request)))

    @app.get("/audit/status/{task_id}", tags=["tasks"], responses=_may(404, 422))
    def task_status(task_id: str) -> m.TaskReply:
        """How an upload or a reaudit stands, file by file."""
        return _task_reply(engine, settings, tasks.get(engine, task_id))

    @app.post("/audit/retry/{task_id}", status_code=202, tags=["tasks"], responses=_may(403, 404, 409, 422))
    def retry_task(task_id: str) -> m.Queued:
        """Queue a failed task again; what it had done stays done."""
        return m.Queued(status="queued", task_id=tasks.retry(engine, task_id).id)

    @app.get("/api/reaudit/{task_id}/changes", tags=["tasks"], responses=_may(404, 422))
    def reaudit_changes(task_id: str) -> m.ChangesReply:
        """What a reaudit changed: each question's old answer beside the new one."""
        task = tasks.get(engine, task_id)
        if task.kind is not TaskKind.REAUDIT:
            raise UnknownTask(f"task {task.id} is no reaudit")
        found = changes_of(engine, task)
        return m.ChangesReply(
            task_id=task.id,
            status=task.status,
            compared=found.compared,
            agreed=found.agreed,
            agreement_rate=found.agreement_rate,
            changes=[_change(change) for change in found.changes],
        )


def _by(request: Request) -> str | None:
    """Whose name is kept with what a program asks for."""
    key = key_of(request)
    return key.name if key is not None else None


def _task_reply(engine: sa.Engine, settings: Settings, task: Task) -> m.TaskReply:
    files = file_states(engine, settings, task)
    return m.TaskReply.model_validate(
        {
            "task_id": task.id,
            "kind": task.kind.value,
            "status": task.status.value,
            "batch_id": task.batch_id,
            "run_id": task.run_id,
            "created_at": task.created_at,
            "started_at": task.started_at,
            "completed_at": task.completed_at,
            "error": task.error,
            "progress": share_done(task, files),
            "files": [
                {"file": file.file, "batch_id": file.batch_id, "status": str(file.status), "error": file.error}
                for file in files
            ],
        }
    )


def _change(change: Change) -> m.ChangeShown:
    old, new = (_answer(row) for row in (change.old, change.new))
    return m.ChangeShown(
        call_id=change.call_id,
        batch_id=change.batch_id,
        file=change.file,
        question_id=change.question_id,
        question=change.question,
        agrees=change.agrees,
        old=old,
        new=new,
    )


def _answer(row: Any) -> m.AnswerShown | None:
    if row is None:
        return None
    return m.AnswerShown(
        answer=row["answer"],
        confidence=row["confidence"],
        evidence_status=row["evidenceStatus"],
        model=row["model"],
        prompt_version=row["promptVersion"],
        created_at=row["createdAt"],
    )


# -- batches ---------------------------------------------------------------------------------------------------------


def _add_batches(app: FastAPI, reads: BatchReads, engine: sa.Engine) -> None:
    @app.get("/api/batch/{batch_id}/timing", tags=["batches"], responses=_may(404, 422))
    def batch_timing(batch_id: Id) -> m.TimingReply:
        """When each stage began and ended, and how long the rest will take."""
        return reads.timing(batch_id)

    @app.get("/api/batch/{batch_id}/status", tags=["batches"], responses=_may(404, 422))
    def batch_status(batch_id: Id) -> m.JobStatusReply:
        """The batch as a job with phases."""
        return reads.job_status(batch_id)

    @app.get("/status/{batch_id}", tags=["batches"], responses=_may(404, 422))
    def document_status(batch_id: Id) -> m.DocumentStatusReply:
        """The batch with the status of each of its stages."""
        return reads.document_status(batch_id)

    @app.get("/stages/statistics", tags=["batches"], responses=_may())
    def stage_statistics() -> m.StatisticsReply:
        """Of each stage, how many batches stand where."""
        return reads.statistics()

    @app.get("/api/batches", tags=["batches"], responses=_may(422))
    def batches(limit: Limit = 50, offset: Offset = 0, status: Word = None) -> m.BatchesReply:
        """The batches, newest first."""
        return reads.batches(limit, offset, status)

    @app.get("/api/batch/{batch_id}/files", tags=["batches"], responses=_may(404, 422))
    def batch_files(batch_id: Id, limit: Limit = 100, offset: Offset = 0, status: Word = None) -> m.FilesReply:
        """A batch's files, by name."""
        return reads.files(batch_id, limit, offset, status)

    @app.get("/api/call/{call_id}", tags=["batches"], responses=_may(404, 422))
    def call(call_id: Id) -> m.CallReply:
        """A call: its transcript, its trades, its answers with their evidence, and what was there before."""
        return call_reply(engine, call_id)

    @app.get("/api/trends", tags=["batches"], responses=_may(422))
    def trends(days: Annotated[int, Query(ge=1, le=366)] = 30) -> m.TrendsReply:
        """Each stage's mean duration by day."""
        return reads.trends(days)

    @app.get("/metrics", tags=["service"], response_class=PlainTextResponse, responses=_may())
    def prometheus() -> PlainTextResponse:
        """Numbers for Prometheus."""
        return PlainTextResponse(metrics(engine), media_type=CONTENT_TYPE)

    @app.get("/health", tags=["service"])
    async def health() -> dict[str, str]:
        """Liveness: the server answers."""
        return {"status": "ok"}


# -- errors ----------------------------------------------------------------------------------------------------------

_STATUS: dict[type[Exception], int] = {
    UploadTooLarge: 413,
    UploadRefused: 422,
    reaudit.UnknownBatch: 404,
    reaudit.RequestRefused: 422,
    UnknownTask: 404,
    WrongStatus: 409,
    BatchError: 404,
    UnknownCall: 404,
    DatabaseError: 503,
    ForgedForm: 403,
    FormRefused: 422,
    **STATUS_CODES,
    **REVIEW_CODES,
}


def _explain_errors(app: FastAPI, desk: Desk) -> None:
    """Every foreseen error with the right code: to a program as ``{"detail": "…"}``, to a person as a page."""

    async def foreseen(request: Request, error: Exception) -> Response:
        code = next(_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS)
        return problem(desk, request, code, str(error))

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return problem(desk, request, 422, "; ".join(_sentence(item) for item in error.errors())[:1000])

    async def database(request: Request, error: Exception) -> Response:
        assert isinstance(error, sa.exc.DBAPIError)
        return problem(desk, request, 503, explain(error, desk.engine.url))

    async def unknown(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return problem(desk, request, error.status_code, str(error.detail))

    for kind in _STATUS:
        app.add_exception_handler(kind, foreseen)
    app.add_exception_handler(HTTPException, unknown)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(sa.exc.DBAPIError, database)


def _sentence(item: Any) -> str:
    where = ".".join(str(part) for part in item["loc"][1:]) or str(item["loc"][0])
    return f"{where}: {item['msg']}"
