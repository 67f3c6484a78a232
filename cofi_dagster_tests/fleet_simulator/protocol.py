"""One HTTP connection to a simulated machine: bytes to requests, replies to bytes. It knows no stage.

``asyncio.Protocol`` and httptools, because the simulator has to cost less than the clients it is measured with.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from hashlib import sha256
from http import HTTPStatus
from typing import Protocol, cast

import httptools

_WANTED = (b"x-content-sha256", b"content-type", b"expect")
_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
_OK = _STATUS_LINES[200] + b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"


class Handler(Protocol):
    """What a connection hands its requests to."""

    connections: set[Connection]

    def handle(self, connection: Connection) -> None:
        """Answer ``connection.method``, ``.url`` and ``.body`` now or later."""

    def dropped(self, connection: Connection) -> None:
        """The connection ended."""


class Connection(asyncio.Protocol):
    """A connection and the request that it is at. Requests on one connection come one after another."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.transport: asyncio.Transport
        self.method = ""
        self.url = b""
        self.headers: dict[bytes, bytes] = {}
        self.digest = sha256()
        self.received = 0
        self.started = 0.0
        self.pending: object | None = None
        """What the handler remembers while a reply is outstanding."""
        self._chunks: list[bytes] = []
        self._keep_alive = True
        self._parser = httptools.HttpRequestParser(self)

    @property
    def body(self) -> bytes:
        """The request's body; empty for PUT, whose body is only hashed and counted."""
        return self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)

    # -- asyncio ---------------------------------------------------------------------------------------------
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by class, but is one by its methods
        self.handler.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.handler.connections.discard(self)
        self.handler.dropped(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.transport.write(_STATUS_LINES[400] + b"Connection: close\r\nContent-Length: 0\r\n\r\n")
            self.transport.close()

    # -- httptools -------------------------------------------------------------------------------------------
    def on_message_begin(self) -> None:
        self.url = b""
        self._chunks = []
        if self.headers:
            self.headers = {}
        self.started = time.time()

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name in _WANTED:
            self.headers[name] = value

    def on_headers_complete(self) -> None:
        self.method = self._parser.get_method().decode()
        if self.method == "PUT":
            self.digest = sha256()
            self.received = 0
        if self.headers.get(b"expect", b"").lower() == b"100-continue":
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        if self.method == "PUT":
            self.digest.update(body)
            self.received += len(body)
        else:
            self._chunks.append(body)

    def on_message_complete(self) -> None:
        self._keep_alive = self._parser.should_keep_alive()
        self.handler.handle(self)

    # -- replies ---------------------------------------------------------------------------------------------
    def reply(self, body: bytes) -> None:
        """200 with JSON."""
        self.transport.write(_OK % (len(body), body))
        if not self._keep_alive:
            self.transport.close()

    def reply_status(self, status: int, body: bytes = b"", retry_after: str | None = None) -> None:
        """Any other reply."""
        lines = _STATUS_LINES.get(status) or f"HTTP/1.1 {status} Unnamed\r\n".encode()
        if retry_after is not None:
            lines += f"Retry-After: {retry_after}\r\n".encode()
        if status != HTTPStatus.NO_CONTENT:
            lines += b"Content-Type: application/json\r\nContent-Length: %d\r\n" % len(body)
        self.transport.write(lines + b"\r\n" + body)
        if not self._keep_alive:
            self.transport.close()

    def reply_half(self, body: bytes) -> None:
        """The first half of a 200, then the end of the connection."""
        self.transport.write(_OK % (len(body), body[: len(body) // 2]))
        self.transport.close()

    def reset(self) -> None:
        """End the connection with RST instead of FIN, as a machine does that went down and came back."""
        raw = self.transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()
