"""Reading what clients send to the node, and refusing what is malformed. No replies, no work.

Refusals are ``HTTPException`` with one sentence, of the protocol's status codes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

from anyio import to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request

_JSON_LIMIT = 64 << 20
_WRITE_BYTES = 1 << 20


def still_connected(request: Request) -> Callable[[], Awaitable[bool]]:
    """Whether the client still waits for the reply."""

    async def wanted() -> bool:
        return not await request.is_disconnected()

    return wanted


def batch_id(text: str) -> int:
    """The batch id in a URL."""
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise HTTPException(400, f"{text!r} is no batch id: it must be a whole number, 0 or more")
    return int(text)


def file_address(request: Request) -> tuple[int, str]:
    """Batch id and file name of the URL; a name that is no UTF-8 keeps its bytes as surrogates."""
    quoted = request.scope["raw_path"].split(b"?")[0].split(b"/", 3)[3]
    file = unquote_to_bytes(quoted).decode("utf-8", "surrogateescape")
    if not file:
        raise HTTPException(400, "the URL names no file")
    return batch_id(request.path_params["batch"]), file


async def receive_file(request: Request, path: Path) -> str:
    """Stream the body to ``path``; its SHA-256 in hex.

    Raises:
        OSError: the disk does not take it.
    """
    digest = hashlib.sha256()
    out = await to_thread.run_sync(path.open, "wb")

    def write(piece: bytes) -> None:
        digest.update(piece)
        out.write(piece)

    try:
        waiting = bytearray()
        async for chunk in request.stream():
            waiting += chunk
            if len(waiting) >= _WRITE_BYTES:
                await to_thread.run_sync(write, bytes(waiting))
                waiting.clear()
        await to_thread.run_sync(write, bytes(waiting))
        await to_thread.run_sync(out.flush)
    finally:
        with contextlib.suppress(OSError):
            out.close()
    return digest.hexdigest()


async def read_body(request: Request) -> bytes:
    """The body, of 64 MiB at most."""
    received = bytearray()
    async for chunk in request.stream():
        received += chunk
        if len(received) > _JSON_LIMIT:
            raise HTTPException(413, f"the body is larger than {_JSON_LIMIT >> 20} MiB")
    return bytes(received)


async def read_json(request: Request) -> dict[str, Any]:
    """The body as a JSON object."""
    try:
        body = json.loads(await read_body(request))
    except (ValueError, RecursionError):
        raise HTTPException(400, "the body is not JSON") from None
    if not isinstance(body, dict):
        raise HTTPException(422, "the body must be a JSON object")
    return body


def language_code(value: object) -> str | None:
    """The wanted language in lower case, None where the request names none."""
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > 32:
        raise HTTPException(422, "language must be an ISO 639-1 code or hinglish")
    return value.lower()
