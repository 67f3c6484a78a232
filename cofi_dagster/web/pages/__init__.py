"""COFI's pages below ``/cofi``: server-rendered, live by polling, drawn without anything from elsewhere."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from cofi_dagster.web.keys import keys_of
from cofi_dagster.web.pages import (
    audio,
    batch,
    batch_actions,
    batches,
    call,
    calls,
    docs,
    exceptions,
    fleet,
    login,
    reviews,
    static_files,
    tasks,
    tasks_one,
    trends,
)
from cofi_dagster.web.pages.desk import Desk

_HEADINGS = {404: "There is no such page", 503: "The database cannot be used"}


def add_pages(app: FastAPI, desk: Desk) -> None:
    """Add all pages to the application; none of them is part of the API's document."""
    for router in _routers(desk):
        app.include_router(router, include_in_schema=False)


def _routers(desk: Desk) -> list[APIRouter]:
    pages = (
        batches,
        batch,
        batch_actions,
        call,
        audio,
        calls,
        exceptions,
        reviews,
        fleet,
        docs,
        trends,
        tasks,
        tasks_one,
    )
    return [static_files.routes(), login.routes(desk, keys_of(desk.settings)), *(page.routes(desk) for page in pages)]


def problem(desk: Desk, request: Request, status: int, sentence: str) -> Response:
    """An error: to a person who looks at a page another page, to a program ``{"detail": "…"}``."""
    is_page = request.url.path == "/cofi" or request.url.path.startswith("/cofi/")
    if not is_page or "text/html" not in request.headers.get("accept", ""):
        return JSONResponse({"detail": sentence}, status)
    heading = _HEADINGS.get(status, HTTPStatus(status).phrase)
    return desk.show(request, "problem.html", status, page="", heading=heading, sentence=sentence)
