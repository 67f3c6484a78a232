"""Logging in with a key and out again."""

from __future__ import annotations

import time

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from cofi_dagster.web.gate import LOGIN
from cofi_dagster.web.keys import Key, find
from cofi_dagster.web.limits import Rate
from cofi_dagster.web.pages.desk import Desk, own_address

_TRIES_A_MINUTE = 20


def routes(desk: Desk, keys: tuple[Key, ...]) -> APIRouter:
    """``/cofi/login`` and ``/cofi/logout``."""
    router = APIRouter()
    tries = Rate(_TRIES_A_MINUTE)

    @router.get(LOGIN)
    def login_page(request: Request, next: str = "/cofi") -> Response:
        """The form."""
        return desk.show(request, "login.html", page="", next=own_address(next, "/cofi"), wrong=None)

    @router.post(LOGIN)
    async def log_in(request: Request) -> Response:
        """A session for whoever has a key; so many tries a minute of one address."""
        fields = await desk.form(request)
        to = own_address(fields.get("next", ""), "/cofi")
        address = request.client.host if request.client else "local"
        if tries.wait(address, time.monotonic()):
            return _again(request, to, "Too many tries: wait a minute.", 429)
        key = find(keys, fields.get("key", "").strip())
        if key is None:
            return _again(request, to, "This is none of the keys.", 401)
        response = RedirectResponse(to, 303)
        desk.sessions.open(response, key, secure=request.url.scheme == "https")
        return response

    def _again(request: Request, to: str, wrong: str, status: int) -> Response:
        return desk.show(request, "login.html", status, page="", next=to, wrong=wrong)

    @router.post("/cofi/logout")
    async def log_out(request: Request) -> Response:
        """The session ends in this browser."""
        await desk.form(request)
        response = RedirectResponse(LOGIN, 303)
        desk.sessions.close(response)
        return response

    return router
