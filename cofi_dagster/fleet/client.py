"""The client's side of the machine protocol, version 1: requests out, replies in. Their meaning is in ``verdicts``.

aiohttp is used as it is: at 64 connections it makes 12,900 requests a second on one core where httpx over the same
transport makes 4,400 (measured), and a batch of 10,000 files makes 70,000.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import aiohttp
import orjson
from yarl import URL

from cofi_dagster.fleet.verdicts import retry_after

_STREAM_FROM_BYTES = 8 << 20
_CHUNK = 1 << 20
_HEALTH_SECONDS = 5.0
_CONNECT_SECONDS = 10.0
_JSON = {"Content-Type": "application/json"}


class MachineTrouble(Exception):
    """No reply came: refused, reset or timed out. The message says which."""


class FileUnreadable(Exception):
    """The file on COFI's own disk cannot be read or is empty. The message says why."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply: HTTP status, body, and the seconds of its ``Retry-After``, if any."""

    status: int
    body: bytes
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Upload:
    """What was uploaded: its size in bytes and the SHA-256 of its content, in hex."""

    reply: Reply
    bytes: int
    sha256: str

    @property
    def is_confirmed(self) -> bool:
        """Whether the reply names the checksum that was sent."""
        try:
            said = orjson.loads(self.reply.body)
        except orjson.JSONDecodeError:
            return False
        return isinstance(said, dict) and said.get("sha256") == self.sha256


@dataclass(frozen=True, slots=True)
class Part:
    """A multipart request: form fields, and the path of the one file that goes with them."""

    fields: tuple[tuple[str, str], ...]
    file: Path
    filename: str


class FleetClient:
    """HTTP to the machines with pooled connections. An async context manager; one per event loop."""

    def __init__(self, *, connections_per_machine: int, api_key: str | None = None) -> None:
        self._limit = connections_per_machine
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(limit=0, limit_per_host=self._limit + 4, keepalive_timeout=30)
        self._session = aiohttp.ClientSession(connector=connector, auto_decompress=True)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    @property
    def session(self) -> aiohttp.ClientSession:
        """The open session.

        Raises:
            RuntimeError: the client is not open.
        """
        if self._session is None:
            raise RuntimeError("the fleet client is not open")
        return self._session

    async def post(self, url: str, body: bytes, *, timeout: float, with_key: bool = False) -> Reply:
        """POST a JSON body.

        Raises:
            MachineTrouble: no reply came within ``timeout`` seconds, or the connection broke.
        """
        headers = {**_JSON, **self._headers} if with_key else _JSON
        try:
            async with self.session.post(url, data=body, headers=headers, timeout=_limit(timeout)) as response:
                return Reply(response.status, await response.read(), retry_after(response.headers.get("Retry-After")))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise MachineTrouble(trouble(error, timeout)) from error

    async def post_form(self, url: str, part: Part, *, timeout: float) -> Reply:
        """POST a multipart form with one file.

        Raises:
            MachineTrouble: as ``post``.
            FileUnreadable: the file cannot be read.
        """
        content = await asyncio.to_thread(_read, part.file)
        form = aiohttp.FormData(quote_fields=True)
        for name, value in part.fields:
            form.add_field(name, value)
        form.add_field("file", content, filename=part.filename, content_type="application/octet-stream")
        try:
            async with self.session.post(url, data=form, headers=self._headers, timeout=_limit(timeout)) as response:
                return Reply(response.status, await response.read(), retry_after(response.headers.get("Retry-After")))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise MachineTrouble(trouble(error, timeout)) from error

    async def put_file(self, base: str, batch_id: int, name: str, path: Path, *, timeout: float) -> Upload:
        """Upload one file with its checksum; a large one is streamed.

        Raises:
            MachineTrouble: as ``post``.
            FileUnreadable: the file cannot be read, or is empty.
        """
        size, digest, content = await asyncio.to_thread(_fingerprint, path)
        url = f"{base}/files/{batch_id}/{quote(name, safe='')}"
        headers = {"X-Content-SHA256": digest, "Content-Length": str(size)}
        data: bytes | AsyncIterator[bytes] = content if content is not None else _stream(path)
        try:
            async with self.session.put(
                URL(url, encoded=True), data=data, headers=headers, timeout=_limit(timeout)
            ) as response:
                body = await response.read()
                reply = Reply(response.status, body, retry_after(response.headers.get("Retry-After")))
                return Upload(reply, size, digest)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise MachineTrouble(trouble(error, timeout)) from error

    async def healthy(self, urls: tuple[str, ...]) -> bool:
        """Whether the first of ``urls`` that exists (is not 404) answers 200 within five seconds."""
        for url in urls:
            try:
                async with self.session.get(url, timeout=_limit(_HEALTH_SECONDS), headers=self._headers) as response:
                    if response.status != 404:
                        return response.status == 200
            except (aiohttp.ClientError, TimeoutError, OSError):
                return False
        return False


def _limit(seconds: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=seconds, sock_connect=min(seconds, _CONNECT_SECONDS))


def trouble(error: BaseException, timeout: float) -> str:
    """Why no reply came within ``timeout`` seconds, in words."""
    if isinstance(error, TimeoutError):
        return f"no reply within {timeout:g} s"
    if isinstance(error, aiohttp.ClientConnectorError):
        number = error.os_error.errno
        return f"connection refused or unreachable: {os.strerror(number) if number else error.os_error}"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "the machine closed the connection without a reply"
    return f"the connection broke: {error or type(error).__name__}"


def _read(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise FileUnreadable(f"cannot be read: {error.strerror}") from error
    if not content:
        raise FileUnreadable("the file is empty (0 bytes)")
    return content


def _fingerprint(path: Path) -> tuple[int, str, bytes | None]:
    """Size, SHA-256, and the content itself where the file is small enough to be held."""
    try:
        if path.stat().st_size < _STREAM_FROM_BYTES:
            content = _read(path)
            return len(content), hashlib.sha256(content).hexdigest(), content
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return file.tell(), digest, None
    except OSError as error:
        raise FileUnreadable(f"cannot be read: {error.strerror}") from error


async def _stream(path: Path) -> AsyncIterator[bytes]:
    file = await asyncio.to_thread(path.open, "rb")
    try:
        while chunk := await asyncio.to_thread(file.read, _CHUNK):
            yield chunk
    finally:
        file.close()
