"""The gate in front of all that is served, the Dagster UI included: no key, no entry; viewers only look.

Programs send the key as ``Authorization: Bearer <key>`` or ``X-API-Key``; a browser asks for it (HTTP Basic, the key as
the password). Without any configured key the gate is open, and then only loopback addresses are listened on.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from cofi_dagster.web.keys import Key, find

_OPEN = frozenset({"/health"})
_CHALLENGE = {"WWW-Authenticate": 'Basic realm="COFI", charset="UTF-8"'}


class Gate:
    """ASGI middleware that checks every request and web socket against the keys."""

    def __init__(self, app: ASGIApp, keys: tuple[Key, ...]) -> None:
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through with its key in ``scope["state"]["key"]``, or answer 401."""
        if not self._keys or scope["type"] == "lifespan" or scope["path"] in _OPEN:
            await self._app(scope, receive, send)
            return
        key = find(self._keys, _secret(scope["headers"]))
        if key is None:
            await _refuse(scope, receive, send)
            return
        scope.setdefault("state", {})["key"] = key
        await self._app(scope, receive, send)


def _secret(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The secret that a request brings, or an empty string."""
    by_name = {name.lower(): value.decode("latin-1") for name, value in headers}
    if b"x-api-key" in by_name:
        return by_name[b"x-api-key"]
    kind, _, value = by_name.get(b"authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return value.strip()
    if kind.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return ""


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": "a key is needed"})
        return
    response = JSONResponse({"detail": "a key is needed: Authorization: Bearer <key>"}, 401, headers=_CHALLENGE)
    await response(scope, receive, send)
