"""What every request to COFI's own paths passes: a request id and a line in the log, the role, the token, the rate.

The log holds method, path, status, milliseconds, whose key and the request id; no query and no body.
"""

from __future__ import annotations

import logging
import re
import time
from collections import OrderedDict
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cofi_dagster.web.keys import Role
from cofi_dagster.web.session import Sessions

_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_READS_PER_WRITE = 10
_MOST_CALLERS = 10_000
_QUIET = ("/health", "/metrics")
_FOR_ALL = ("/cofi/login", "/cofi/logout")
_PAGES = "/cofi/"
"""Below it are pages, whose forms hold the token themselves."""
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_LOG = logging.getLogger("cofi.web")


class Rate:
    """A bucket of tokens per caller: ``per_minute`` of them, filled evenly. 0 is no limit."""

    def __init__(self, per_minute: float) -> None:
        self._per_second = per_minute / 60
        self._most = per_minute
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, caller: str, now: float) -> float:
        """Take a token; 0, or the seconds until there is one."""
        if not self._most:
            return 0.0
        left, at = self._buckets.pop(caller, (self._most, now))
        left = min(self._most, left + (now - at) * self._per_second)
        enough = left >= 1
        self._buckets[caller] = (left - 1 if enough else left, now)
        if len(self._buckets) > _MOST_CALLERS:
            self._buckets.popitem(last=False)
        return 0.0 if enough else (1 - left) / self._per_second


class Limits:
    """ASGI middleware around COFI's own application."""

    def __init__(self, app: ASGIApp, per_minute: int, sessions: Sessions) -> None:
        """``per_minute``: changing requests of one key or address; ten times as many may read."""
        self._app = app
        self._sessions = sessions
        self._writes = Rate(per_minute)
        self._reads = Rate(per_minute * _READS_PER_WRITE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer 403 or 429."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = _request_id(headers.get("x-request-id"))
        key = scope.get("state", {}).get("key")
        caller = key.name if key is not None else str((scope.get("client") or ("local",))[0])
        began, status = time.monotonic(), 500

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        try:
            refusal = self._refusal(scope, headers, caller, is_viewer=key is not None and key.role is Role.VIEWER)
            await (refusal or self._app)(scope, receive, answer)
        finally:
            took = 1000 * (time.monotonic() - began)
            level = logging.DEBUG if scope["path"] in _QUIET else logging.INFO
            _LOG.log(level, "%s %s %d %.0f ms %s %s", scope["method"], scope["path"], status, took, caller, request_id)

    def _refusal(self, scope: Scope, headers: Headers, caller: str, *, is_viewer: bool) -> JSONResponse | None:
        reads, path = scope["method"] in _READING, scope["path"]
        if is_viewer and not reads and path not in _FOR_ALL:
            return JSONResponse({"detail": "this key may only look: an operator's key is needed"}, 403)
        session = scope.get("state", {}).get("session")
        if session is not None and not reads and not path.startswith(_PAGES):
            token = headers.get("x-csrf-token", "")
            if not self._sessions.is_token(session.id, token):
                return JSONResponse({"detail": "a browser's request needs its page's token in X-CSRF-Token"}, 403)
        wait = (self._reads if reads else self._writes).wait(caller, time.monotonic())
        if wait:
            said = {"detail": f"too many requests: try again in {wait:.0f} s"}
            return JSONResponse(said, 429, headers={"Retry-After": str(max(1, round(wait)))})
        return None


def _request_id(given: str | None) -> str:
    return given if given and _REQUEST_ID.fullmatch(given) else uuid4().hex
