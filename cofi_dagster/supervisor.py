"""``cofi up``: everything in one terminal. Starts the processes, prints one URL, and ends all of them together."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path
from types import FrameType

from cofi_dagster.database.engine import connect
from cofi_dagster.database.upgrade import upgrade
from cofi_dagster.processes import Children, ProcessFault, free_port, start_node
from cofi_dagster.settings import Settings
from cofi_dagster.web.keys import check_binding

_UP_SECONDS = 120.0
_WORKSPACE = "load_from:\n  - grpc_server: {{host: 127.0.0.1, port: {port}, location_name: cofi}}\n"


class _Stop(Exception):
    """SIGINT or SIGTERM."""


def start_all(settings: Settings) -> None:
    """Run until a signal or until a part fails; ends with exit code 0 after a signal, 1 after a failure.

    Raises:
        SettingsError: the address needs keys and there are none.
        DatabaseError: the database cannot be brought to this version.
    """
    from cofi_dagster.orchestration.instance import make_storage

    check_binding(settings)
    for line in upgrade(connect(settings)):
        _say(line)
    home = make_storage(settings)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    with Children(settings) as children:
        try:
            _start(settings, children, str(home))
            while True:
                children.check()
                time.sleep(0.5)
        except _Stop:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            _say("stopping")
        except ProcessFault as fault:
            print(f"cofi: {fault}", file=sys.stderr)  # noqa: T201 - the command line's voice
            children.stop()
            sys.exit(1)
    _say("stopped")


def _start(settings: Settings, children: Children, home: str) -> None:
    environment = {"DAGSTER_HOME": home, "COFI_HOME": str(settings.home.absolute())}
    if not settings.gpu_machines:
        _say("no GPU machine is configured: starting the reference node here")
        environment |= start_node(children)
    code_port = free_port()
    code = ["-m", "dagster", "api", "grpc", "--module-name", "cofi_dagster.definitions", "--host", "127.0.0.1"]
    children.start("code-server", [*code, "--port", str(code_port), "--location-name", "cofi"], environment)
    web = children.start("web-server", ["-m", "cofi_dagster.web.server", str(code_port)], environment)
    host = f"[{settings.web_host}]" if ":" in settings.web_host else settings.web_host
    shown = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)
    children.wait_until_up(web, f"http://{shown}:{settings.web_port}/health", _UP_SECONDS)
    workspace = Path(home) / "code-server.yaml"
    workspace.write_text(_WORKSPACE.format(port=code_port), "utf-8")
    children.start("daemon", ["-m", "dagster._daemon", "run", "--workspace", str(workspace)], environment)
    _say(f"COFI is up: http://{shown}:{settings.web_port}   (pages at /cofi, Dagster at /; Ctrl-C stops everything)")


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise _Stop


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - the command line's voice
