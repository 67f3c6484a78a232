"""The page of the API: Swagger UI on the API's own document. Its script is the one that the installed package
fastapi-offline brings: these networks are closed.
"""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from cofi_dagster.web.pages.desk import Desk

DOCS = "/cofi/docs"


def routes(desk: Desk) -> APIRouter:
    """``/cofi/docs``."""
    router = APIRouter()

    @router.get(DOCS)
    def docs(request: Request) -> Response:
        """Every request and reply, to be tried where the role allows."""
        return desk.show(request, "docs.html", page="")

    return router
