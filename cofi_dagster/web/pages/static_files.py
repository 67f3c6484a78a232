"""Style sheet, scripts and libraries, each under an address that holds its digest: cached for ever, and new when it
changes. The libraries are those that installed packages bring: Plotly draws, Swagger UI shows the API.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from importlib import resources
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import Response

PATH = "/cofi/static"
_KINDS = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
_FOR_EVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True)
class StaticFile:
    """A file that pages refer to."""

    path: Path

    @cached_property
    def digest(self) -> str:
        """What its address changes with."""
        return blake2b(self.path.read_bytes(), digest_size=8).hexdigest()

    @cached_property
    def packed(self) -> bytes:
        """Its bytes in gzip, made once."""
        return gzip.compress(self.path.read_bytes(), 6, mtime=0)

    def response(self, *, packed: bool) -> Response:
        """The file, to be kept for ever."""
        headers = {"Cache-Control": _FOR_EVER, "Vary": "Accept-Encoding", "X-Content-Type-Options": "nosniff"}
        if packed:
            headers["Content-Encoding"] = "gzip"
        body = self.packed if packed else self.path.read_bytes()
        return Response(body, headers=headers, media_type=_KINDS[self.path.suffix])


def _files() -> Iterator[Path]:
    yield from (Path(str(file)) for file in resources.files("cofi_dagster.web").joinpath("static").iterdir())
    yield Path(str(resources.files("plotly"))) / "package_data" / "plotly.min.js"
    swagger = Path(str(resources.files("fastapi_offline"))) / "static"
    yield from (swagger / name for name in ("swagger-ui-bundle.js", "swagger-ui.css"))


FILES: dict[str, StaticFile] = {path.name: StaticFile(path) for path in _files()}


def address(name: str) -> str:
    """The address of a file, for templates.

    Raises:
        KeyError: there is none of this name.
    """
    return f"{PATH}/{FILES[name].digest}/{name}"


def routes() -> APIRouter:
    """The files' route."""
    router = APIRouter()

    @router.get(PATH + "/{digest}/{name}")
    def static_file(digest: str, name: str, request: Request) -> Response:
        """A file, where the address is that of its content now."""
        file = FILES.get(name)
        if file is None or file.digest != digest:
            return Response("there is no such file", 404, media_type="text/plain")
        return file.response(packed="gzip" in request.headers.get("accept-encoding", ""))

    return router
