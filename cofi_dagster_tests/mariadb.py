"""A private MariaDB for tests and benchmarks: started when first asked for, gone when the session that asked is.

One server serves a whole pytest session, also under xdist: the first worker starts a keeper process, which runs the
server as its child and waits for the end of the session's process, however that comes. No system service is touched.

The server differs from a default one where that finds mistakes: its time zone is India's (every session of COFI must
set its own to UTC) and its SQL mode is as strict as MySQL 8's.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path

import pymysql

_ROOT = Path(__file__).parents[1]
_READY_SECONDS = 60
_keepers: list[subprocess.Popen[bytes]] = []
"""The keepers that this process started: they outlive whoever asked, so nobody waits for them."""
_SQL_MODE = (
    "STRICT_TRANS_TABLES,ONLY_FULL_GROUP_BY,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,"
    "NO_ENGINE_SUBSTITUTION"
)
_SETTINGS = (
    "--skip-log-bin",
    "--sync-binlog=0",
    "--innodb-flush-log-at-trx-commit=2",
    "--innodb-buffer-pool-size=256M",
    "--innodb-log-file-size=64M",
    "--max-allowed-packet=64M",
    "--max-connections=500",
    "--character-set-server=utf8mb4",
    "--collation-server=utf8mb4_unicode_ci",
    "--default-time-zone=+05:30",
    f"--sql-mode={_SQL_MODE}",
    "--skip-name-resolve",
    "--skip-networking=0",
    "--bind-address=127.0.0.1",
)
"""Commits survive a kill of the server (``flush-log-at-trx-commit=2``), not a power cut: quick, enough for tests."""


class MariaDBMissingError(RuntimeError):
    """This machine has no MariaDB server; the message says what to install."""


@dataclass(frozen=True, slots=True)
class MariaDB:
    """A running server. ``user`` may do everything; there is no password."""

    port: int
    unix_socket: str
    user: str = "cofi"

    def url(self, database: str) -> str:
        """The SQLAlchemy URL of a database."""
        return f"mysql+pymysql://{self.user}@127.0.0.1:{self.port}/{database}?charset=utf8mb4"

    def fresh_database(self) -> str:
        """Create an empty database and return its SQLAlchemy URL."""
        name = f"cofi_{uuid.uuid4().hex[:12]}"
        with pymysql.connect(host="127.0.0.1", port=self.port, user=self.user) as connection:
            connection.cursor().execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        return self.url(name)


def server_program() -> str:
    """The path of the server's program.

    Raises:
        MariaDBMissingError: there is none.
    """
    places = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))
    found = shutil.which("mariadbd", path=places)
    if found is None:
        raise MariaDBMissingError(
            "these tests need a MariaDB server: run .ci/system-packages, or install mariadb-server"
        )
    return found


def shared_server(folder: Path, owner: int) -> MariaDB:
    """The one server of all processes that name the same folder; started by the first, ended with process ``owner``.

    Raises:
        MariaDBMissingError: this machine has none.
        RuntimeError: it did not start; the message has the end of its log.
    """
    server_program()
    folder.mkdir(parents=True, exist_ok=True)
    note = folder / "mariadb.json"
    with (folder / "mariadb.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not note.exists():
            with (folder / "mariadb.log").open("w") as log:
                keeper = subprocess.Popen(
                    [sys.executable, "-m", "cofi_dagster_tests.mariadb", str(note), str(owner)],
                    cwd=_ROOT,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
                _keepers.append(keeper)
            _wait_for(note, folder / "mariadb.log")
    return MariaDB(**json.loads(note.read_text()))


def _wait_for(note: Path, log: Path) -> None:
    end = time.monotonic() + _READY_SECONDS
    while not note.exists():
        if time.monotonic() > end or "keeper: " in log.read_text():
            raise RuntimeError(f"MariaDB did not start:\n{log.read_text()[-2000:]}")
        time.sleep(0.05)


# -- the keeper's process --------------------------------------------------------------------------------------
def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _as_user() -> list[str]:
    return ["--user=root"] if os.geteuid() == 0 else []


def _install(data: Path) -> None:
    command = ["mariadb-install-db", "--no-defaults", *_as_user(), f"--datadir={data}"]
    command += ["--auth-root-authentication-method=normal", "--skip-test-db"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _start(folder: Path) -> tuple[subprocess.Popen[bytes], MariaDB]:
    _install(folder / "data")
    server = MariaDB(port=_free_port(), unix_socket=str(folder / "s"))
    first_words = folder / "init.sql"
    first_words.write_text(
        f"CREATE USER '{server.user}'@'%';\nGRANT ALL PRIVILEGES ON *.* TO '{server.user}'@'%' WITH GRANT OPTION;\n"
    )
    command = [server_program(), "--no-defaults", *_as_user(), *_SETTINGS, f"--datadir={folder / 'data'}"]
    command += [f"--port={server.port}", f"--socket={server.unix_socket}", f"--init-file={first_words}"]
    command += [f"--pid-file={folder / 'pid'}", f"--tmpdir={folder}"]
    return subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *command]), server


def _answers(server: MariaDB) -> bool:
    try:
        pymysql.connect(host="127.0.0.1", port=server.port, user=server.user).close()
    except pymysql.err.OperationalError:
        return False
    return True


def _await_ready(process: subprocess.Popen[bytes], server: MariaDB) -> None:
    end = time.monotonic() + _READY_SECONDS
    while not _answers(server):
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError("the server did not get ready")
        time.sleep(0.05)


def keep(note: Path, owner: int) -> None:
    """Run a server until the process ``owner`` has ended; ``note`` says how to reach it once it answers."""
    owner_end = os.pidfd_open(owner)
    # A path of a Unix socket has at most 107 bytes, which pytest's own folders exceed.
    with tempfile.TemporaryDirectory(prefix="cofi-mariadb-") as folder:
        process, server = _start(Path(folder))
        try:
            _await_ready(process, server)
            part = note.with_suffix(".part")
            part.write_text(json.dumps(asdict(server)))
            part.rename(note)
            server_end = os.pidfd_open(process.pid)
            select.select([owner_end, server_end], [], [])
        finally:
            note.unlink(missing_ok=True)
            process.kill()
            process.wait()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    try:
        keep(Path(sys.argv[1]), int(sys.argv[2]))
    except (OSError, RuntimeError, subprocess.CalledProcessError) as problem:
        sys.exit(f"keeper: {problem}")
