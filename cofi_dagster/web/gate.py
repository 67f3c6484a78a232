"""The gate in front of all that is served, the Dagster UI included: no key, no entry.

Programs send the key as ``Authorization: Bearer <key>`` or ``X-API-Key``; a person logs in with it once and has a
session after that. Without any configured key the gate is open, and then only loopback addresses are listened on.
What another site's page makes a browser send is refused, whoever is logged in.
"""

from __future__ import annotations

from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from cofi_dagster.web.keys import Key, find, is_loopback
from cofi_dagster.web.session import Sessions

LOGIN = "/cofi/login"
_OPEN = frozenset({"/health", LOGIN})
_OPEN_BELOW = "/cofi/static/"
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_FOREIGN = "requests from other sites' pages are refused"


class Gate:
    """ASGI middleware that checks every request and web socket against the keys and sessions."""

    def __init__(self, app: ASGIApp, keys: tuple[Key, ...], sessions: Sessions) -> None:
        self._app = app
        self._keys = keys
        self._sessions = sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through with ``key`` and ``session`` in ``scope["state"]``, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refusal = self._check(scope, Headers(scope=scope))
        if refusal is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": "a key is needed"})
        else:
            await refusal(scope, receive, send)

    def _check(self, scope: Scope, headers: Headers) -> Response | None:
        """None with the key and session noted; or the refusal."""
        state = scope.setdefault("state", {})
        if not self._keys and not _names_this_machine(headers.get("host", "")):
            return JSONResponse({"detail": "without keys only this machine's own names are served"}, 403)
        secret = _secret(headers)
        state["key"] = find(self._keys, secret) if secret else None
        state["session"] = None if secret else self._sessions.find(scope["headers"])
        if state["session"] is not None:
            state["key"] = state["session"].key
        changes = scope["type"] == "websocket" or scope["method"] not in _READING
        if changes and _is_foreign(headers, needs_origin=state["session"] is not None):
            return JSONResponse({"detail": _FOREIGN}, 403)
        path = scope["path"]
        if state["key"] is not None or not self._keys or path in _OPEN or path.startswith(_OPEN_BELOW):
            return None
        return _refusal(scope, headers)


def _secret(headers: Headers) -> str:
    """The key that a program brings, or an empty string."""
    if "x-api-key" in headers:
        return headers["x-api-key"]
    kind, _, value = headers.get("authorization", "").partition(" ")
    return value.strip() if kind.lower() == "bearer" else ""


def _names_this_machine(host: str) -> bool:
    """Whether the host of a request is a loopback name: another one can be a stranger's that points here."""
    name = host.rpartition(":")[0] if ":" in host and not host.endswith("]") else host
    return is_loopback(name.strip("[]"))


def _is_foreign(headers: Headers, *, needs_origin: bool) -> bool:
    """Whether a browser sends this from another site's page: it says so in ``Origin``, which it never leaves out."""
    origin = headers.get("origin")
    if origin is None:
        return needs_origin
    return origin.partition("://")[2] != headers.get("host")


def _refusal(scope: Scope, headers: Headers) -> Response:
    """To a person the page to log in on, to a program a sentence."""
    if scope["type"] == "http" and scope["method"] == "GET" and "text/html" in headers.get("accept", ""):
        query = f"?{scope['query_string'].decode('latin-1')}" if scope.get("query_string") else ""
        return RedirectResponse(f"{LOGIN}?next={quote(scope['path'] + query, safe='/')}", 303)
    challenge = {"WWW-Authenticate": 'Bearer realm="COFI"'}
    return JSONResponse({"detail": "a key is needed: Authorization: Bearer <key>"}, 401, headers=challenge)
