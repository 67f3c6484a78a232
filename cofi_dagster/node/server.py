"""The reference node over HTTP: the whole GPU protocol, version 1, on one port. The work itself is in ``tasks``.

Every reply is JSON; every error is ``{"detail": "one sentence"}`` with a status from the protocol's table.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import httpx
import uvicorn
from anyio import to_thread
from starlette.applications import Starlette
from starlette.convertors import Convertor, register_url_convertor
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from cofi_dagster.node import tasks
from cofi_dagster.node.audio import AudioError
from cofi_dagster.node.incoming import (
    batch_id,
    file_address,
    language_code,
    read_body,
    read_json,
    receive_file,
    still_connected,
)
from cofi_dagster.node.store import MissingFile, Store
from cofi_dagster.node.workers import Abandoned, Busy, WorkerDied, Workers

_DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_PRELOAD = ["noisereduce", "cofi_dagster.node.tasks"]
_LLM_TIMEOUT = httpx.Timeout(600.0, connect=10.0)
_STOP_SECONDS = 1


class _FileName(Convertor[str]):
    """The rest of a URL, whatever it holds: a file's name may have slashes and line ends in it."""

    regex = r"[\s\S]*"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("file_name", _FileName())


class _Json(JSONResponse):
    """JSON in ASCII: a file name that is no UTF-8 goes out as it came in."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")


def create_app(
    home: Path,
    *,
    whisper_model_dir: Path | None = None,
    llm_api_url: str | None = None,
    workers: int | None = None,
    waiting_limit: int | None = None,
) -> Starlette:
    """The node as an ASGI application; its workers start and end with its lifespan.

    Args:
        home: folder of the node's files; made where it does not exist.
        whisper_model_dir: a faster-whisper model for ``/lid`` and ``/stt``; None: the embedded engines. Whisper
            gets one process of its own, since it uses all cores or the GPU by itself.
        llm_api_url: base URL (``http://host:port/v1``) of an OpenAI-compatible server; None: the rules.
        workers: worker processes; None: one per CPU.
        waiting_limit: requests that may wait for a worker before the node says 503; None: eight per worker.

    Raises:
        ValueError: ``whisper_model_dir`` is no directory.
    """
    if whisper_model_dir is not None and not whisper_model_dir.is_dir():
        raise ValueError(f"the Whisper model directory {whisper_model_dir} does not exist")
    services = _Services(home, whisper_model_dir, llm_api_url, workers or os.cpu_count() or 1, waiting_limit)
    return Starlette(
        routes=[
            Route("/files/{batch}/{file:file_name}", services.put_file, methods=["PUT"]),
            Route("/files/{batch}/{file:file_name}", services.head_file, methods=["HEAD"]),
            Route("/files/{batch}", services.delete_batch, methods=["DELETE"]),
            *(
                Route(f"/{stage}", partial(services.stage, task), methods=["POST"])
                for stage, task in services.stages.items()
            ),
            Route("/v1/audio/transcriptions", services.transcriptions, methods=["POST"]),
            Route("/v1/chat/completions", services.chat, methods=["POST"]),
            Route("/v1/models", services.models, methods=["GET"]),
            Route("/health", services.health, methods=["GET"]),
        ],
        exception_handlers=_HANDLERS,
        lifespan=services.lifespan,
    )


def serve(
    host: str,
    port: int,
    home: Path,
    *,
    whisper_model_dir: Path | None = None,
    llm_api_url: str | None = None,
    workers: int | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, which end the node within about a second (exit code 0); see :func:`create_app`."""
    app = create_app(home, whisper_model_dir=whisper_model_dir, llm_api_url=llm_api_url, workers=workers)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    uvicorn.run(
        app,
        host=host,
        port=port,
        access_log=False,
        log_level="warning",
        timeout_keep_alive=75,
        timeout_graceful_shutdown=_STOP_SECONDS,
    )


def _leave(_signal: int, _frame: object) -> None:
    raise SystemExit(0)


class _Services:
    """The handlers, with the store and the workers that they share."""

    stages: Mapping[str, Callable[..., tasks.Reply]] = {
        "denoise": tasks.denoise_file,
        "ivr": tasks.ivr_file,
        "lid": tasks.lid_file,
        "stt": tasks.stt_file,
    }

    def __init__(
        self,
        home: Path,
        whisper_model_dir: Path | None,
        llm_api_url: str | None,
        count: int,
        waiting_limit: int | None,
    ) -> None:
        self._node = tasks.Node(home.absolute(), whisper_model_dir)
        self._store = Store(home)
        self._llm_api_url = llm_api_url.rstrip("/") if llm_api_url else None
        self._count = count
        self._waiting_limit = 8 * count if waiting_limit is None else waiting_limit

    @contextlib.asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        """Start the workers in the background, so that uploads are served while they warm up; end them at the end."""
        await to_thread.run_sync(self._store.prepare)
        if self._node.whisper_model_dir is None:
            self._signal = self._speech = self._workers(self._count, tasks.prepare_all)
        else:
            self._signal = self._workers(self._count, tasks.prepare_signal)
            self._speech = self._workers(1, tasks.prepare_speech)
        self._pools = list({id(pool): pool for pool in (self._signal, self._speech)}.values())
        async with httpx.AsyncClient(timeout=_LLM_TIMEOUT) as self._llm:
            for pool in self._pools:
                pool.start()
            try:
                yield
            finally:
                for pool in self._pools:
                    pool.stop()

    def _workers(self, count: int, prepare: Callable[[tasks.Node], int]) -> Workers:
        return Workers(
            count,
            self._waiting_limit,
            initialise=tasks.watch_parent,
            prepare=partial(prepare, self._node),
            preload=_PRELOAD,
        )

    async def health(self, _request: Request) -> Response:
        """200 once every worker is warm."""
        trouble = next((pool.trouble for pool in self._pools if pool.trouble), None)
        if trouble or not all(pool.ready for pool in self._pools):
            return _error(503, trouble or "the workers are loading", {"Retry-After": "1"})
        return _Json({"status": "ready"})

    async def put_file(self, request: Request) -> Response:
        """Take a file; it is there whole or not at all."""
        batch, file = file_address(request)
        with self._store.temporary() as path:
            try:
                sha256 = await receive_file(request, path)
                expected = request.headers.get("x-content-sha256", sha256).strip().lower()
                if sha256 != expected:
                    raise HTTPException(400, f"the body's SHA-256 is {sha256}, but X-Content-SHA256 says {expected}")
                stored = await to_thread.run_sync(self._store.put, batch, file, path, sha256)
            except OSError as error:
                if error.errno in _DISK_FULL:
                    raise HTTPException(507, f"the disk cannot take the file: {error.strerror}") from None
                raise
        return _Json({"file": stored.file, "bytes": stored.bytes, "sha256": stored.sha256}, 201)

    async def head_file(self, request: Request) -> Response:
        """Whether the file is here."""
        stored = await to_thread.run_sync(self._store.find, *file_address(request))
        return Response(headers={"X-Content-SHA256": stored.sha256})

    async def delete_batch(self, request: Request) -> Response:
        """Forget a batch's files."""
        await to_thread.run_sync(self._store.delete, batch_id(request.path_params["batch"]))
        return Response(status_code=204)

    async def stage(self, task: Callable[..., tasks.Reply], request: Request) -> Response:
        """One audio stage on one uploaded file."""
        body = await read_json(request)
        batch, file = body.get("batch_id"), body.get("file")
        if type(batch) is not int or batch < 0:
            raise HTTPException(422, "batch_id must be a whole number, 0 or more")
        if not isinstance(file, str) or not file:
            raise HTTPException(422, "file must be the name of an uploaded file")
        arguments: list[object] = [self._node, batch, file]
        if task is tasks.stt_file:
            arguments.append(language_code(body.get("language")))
        speech = task in (tasks.lid_file, tasks.stt_file)
        pool = self._speech if speech else self._signal
        return _Json(await pool.run(still_connected(request), task, *arguments))

    async def transcriptions(self, request: Request) -> Response:
        """OpenAI's form of speech to text: the recording comes with the request."""
        try:
            form = await request.form(max_files=1)
        except HTTPException as error:
            raise HTTPException(400, f"not a multipart form: {error.detail}") from None
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(form.close)
            upload = form.get("file")
            if not isinstance(upload, UploadFile):
                raise HTTPException(422, "the form has no file")
            shape = form.get("response_format", "json")
            if shape not in ("json", "verbose_json", "text"):
                raise HTTPException(422, "response_format must be json, verbose_json or text")
            path = stack.enter_context(self._store.temporary())
            await to_thread.run_sync(_copy, upload.file, path)
            reply = await self._speech.run(
                still_connected(request),
                tasks.transcribe_upload,
                self._node,
                path,
                upload.filename or "",
                language_code(form.get("language")),
            )
        if shape == "text":
            return PlainTextResponse(reply["text"] + "\n")
        return _Json(reply if shape == "verbose_json" else {"text": reply["text"]})

    async def chat(self, request: Request) -> Response:
        """One chat completion: the configured server's, else the rules'."""
        if self._llm_api_url:
            return await self._forward(request, "/chat/completions")
        body = await read_json(request)
        try:
            reply = await self._signal.run(still_connected(request), tasks.complete, self._node, json.dumps(body))
        except ValueError as error:
            raise HTTPException(400, str(error)) from None
        return _Json(reply)

    async def models(self, request: Request) -> Response:
        """The models behind ``/v1``."""
        if self._llm_api_url:
            return await self._forward(request, "/models")
        from cofi_dagster.node.rules.completion import MODEL as RULES
        from cofi_dagster.node.speech.recogniser import MODEL as SPHINX

        whisper = self._node.whisper_model_dir
        names = (RULES, whisper.name if whisper else SPHINX)
        rows = [{"id": name, "object": "model", "created": 0, "owned_by": "cofi"} for name in names]
        return _Json({"object": "list", "data": rows})

    async def _forward(self, request: Request, path: str) -> Response:
        """The configured LLM server's own reply, as it comes."""
        kept = {k: v for k, v in request.headers.items() if k in ("authorization", "content-type", "accept")}
        forwarded = self._llm.build_request(
            request.method, f"{self._llm_api_url}{path}", headers=kept, content=await read_body(request)
        )
        try:
            reply = await self._llm.send(forwarded, stream=True)
        except httpx.TimeoutException:
            raise HTTPException(504, "the LLM server does not answer in time") from None
        except httpx.TransportError as error:
            raise HTTPException(502, f"the LLM server cannot be reached: {error}") from None
        passed = {k: v for k, v in reply.headers.items() if k in ("content-type", "retry-after")}

        async def body() -> AsyncIterator[bytes]:
            try:
                async for chunk in reply.aiter_bytes():
                    yield chunk
            finally:
                await reply.aclose()

        return StreamingResponse(body(), reply.status_code, passed)


def _copy(source: BinaryIO, path: Path) -> None:
    with path.open("wb") as out:
        shutil.copyfileobj(source, out)


def _error(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    return _Json({"detail": detail}, status, headers)


def _on_http(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _error(error.status_code, error.detail, error.headers)


def _on_audio(_request: Request, error: Exception) -> Response:
    assert isinstance(error, AudioError)
    return _error(error.status, str(error))


def _on_busy(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Busy)
    return _error(503, str(error), {"Retry-After": str(error.retry_after)})


def _with_status(status: int) -> Callable[[Request, Exception], Response]:
    return lambda _request, error: _error(status, str(error) or type(error).__name__)


_HANDLERS: Mapping[Any, Callable[[Request, Exception], Response]] = {
    HTTPException: _on_http,
    AudioError: _on_audio,
    Busy: _on_busy,
    MissingFile: _with_status(404),
    WorkerDied: _with_status(500),
    Abandoned: _with_status(400),
    ClientDisconnect: _with_status(400),
    Exception: lambda _request, error: _error(500, f"the node failed: {type(error).__name__}: {error}"),
}
