"""The web server process of ``cofi up``: the Dagster UI at ``/``, COFI's pages and API beside it, behind the gate."""

from __future__ import annotations

import logging
import sys
from contextlib import ExitStack

import dagster as dg
import uvicorn
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import GrpcServerTarget
from dagster_webserver.app import create_app_from_workspace_process_context
from starlette.types import ASGIApp, Receive, Scope, Send

from cofi_dagster.database.engine import connect
from cofi_dagster.database.upgrade import ready
from cofi_dagster.orchestration.control_jobs import Operator
from cofi_dagster.orchestration.resources import TrackingResource
from cofi_dagster.settings import Settings, current
from cofi_dagster.web.api import PREFIXES, create_api
from cofi_dagster.web.control_api import Verbs
from cofi_dagster.web.gate import Gate
from cofi_dagster.web.keys import Role, check_binding, keys_of
from cofi_dagster.web.limits import Limits
from cofi_dagster.web.session import Sessions


class Switch:
    """ASGI application of the one address: COFI's paths to COFI, all others to the Dagster UI."""

    def __init__(self, cofi: ASGIApp, dagster_ui: ASGIApp, viewers_ui: ASGIApp) -> None:
        """``viewers_ui``: the Dagster UI for those who may only look; it refuses to launch and to change."""
        self._cofi = cofi
        self._dagster_ui = dagster_ui
        self._viewers_ui = viewers_ui

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on by its path, and by the role of its key."""
        if scope["type"] == "lifespan" or _is_cofis(scope["path"]):
            await self._cofi(scope, receive, send)
            return
        key = scope.get("state", {}).get("key")
        looks_only = key is not None and key.role is Role.VIEWER
        await (self._viewers_ui if looks_only else self._dagster_ui)(scope, receive, send)


def _is_cofis(path: str) -> bool:
    return any(path == prefix or path.startswith(prefix + "/") for prefix in PREFIXES)


def create_app(
    settings: Settings, dagster_ui: ASGIApp, viewers_ui: ASGIApp | None = None, verbs: Verbs | None = None
) -> ASGIApp:
    """COFI's pages, its API and the Dagster UI behind the gate; ``verbs`` are what a person may do to batches.

    Raises:
        DatabaseError: the database cannot be reached, or is too old.
    """
    engine = connect(settings)
    ready(engine)
    keys = keys_of(settings)
    sessions = Sessions(settings, keys)
    api = Limits(create_api(settings, engine, verbs, sessions), settings.rate_limit_per_minute, sessions)
    return Gate(Switch(api, dagster_ui, viewers_ui or dagster_ui), keys, sessions)


def main(code_port: int) -> None:
    """Serve until a signal.

    Raises:
        SettingsError: the address needs keys and there are none.
    """
    settings = current()
    check_binding(settings)
    logging.basicConfig(level=logging.WARNING, stream=sys.stdout, format="%(asctime)s %(message)s")
    logging.getLogger("cofi.web").setLevel(logging.INFO)
    with dg.DagsterInstance.get() as instance, ExitStack() as stack:
        target = GrpcServerTarget(host="127.0.0.1", port=code_port, socket=None, location_name="cofi")

        def ui(*, read_only: bool) -> ASGIApp:
            workspace = stack.enter_context(WorkspaceProcessContext(instance, target, read_only=read_only))
            app: ASGIApp = create_app_from_workspace_process_context(workspace)
            return app

        has_viewers = any(key.role is Role.VIEWER for key in keys_of(settings))
        viewers_ui = ui(read_only=True) if has_viewers else None
        uvicorn.run(
            create_app(settings, ui(read_only=False), viewers_ui, Operator(instance, TrackingResource())),
            host=settings.web_host,
            port=settings.web_port,
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=2,
        )


if __name__ == "__main__":
    main(int(sys.argv[1]))
