"""The web server process of ``cofi up``: the Dagster UI at ``/`` and COFI's API on one address, behind the gate."""

from __future__ import annotations

import sys

import dagster as dg
import uvicorn
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import GrpcServerTarget
from dagster_webserver.app import create_app_from_workspace_process_context
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from cofi_dagster.settings import Settings, current
from cofi_dagster.web.gate import Gate
from cofi_dagster.web.keys import check_binding, keys_of


async def _health(_request: Request) -> JSONResponse:
    """Liveness: the server answers."""
    return JSONResponse({"status": "ok"})


def create_app(settings: Settings, dagster_ui: ASGIApp) -> ASGIApp:
    """COFI's routes and the Dagster UI behind the gate."""
    routes = [Route("/health", _health), Mount("/", dagster_ui)]
    return Gate(Starlette(routes=routes), keys_of(settings))


def main(code_port: int) -> None:
    """Serve until a signal.

    Raises:
        SettingsError: the address needs keys and there are none.
    """
    settings = current()
    check_binding(settings)
    with dg.DagsterInstance.get() as instance:
        target = GrpcServerTarget(host="127.0.0.1", port=code_port, socket=None, location_name="cofi")
        with WorkspaceProcessContext(instance, target) as workspace:
            app = create_app(settings, create_app_from_workspace_process_context(workspace))
            uvicorn.run(
                app,
                host=settings.web_host,
                port=settings.web_port,
                log_level="warning",
                access_log=False,
                timeout_graceful_shutdown=2,
            )


if __name__ == "__main__":
    main(int(sys.argv[1]))
