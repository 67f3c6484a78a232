"""A MariaDB of a test's own, which it may kill, start again, fill and lock; and a wire that drops replies."""

from __future__ import annotations

import os
import random
import select
import socket
import subprocess
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

import pymysql

from cofi_dagster_tests.mariadb import server_program

_READY_SECONDS = 30
_SETTINGS = (
    "--skip-log-bin", "--innodb-flush-log-at-trx-commit=2", "--innodb-buffer-pool-size=32M",
    "--innodb-log-file-size=8M", "--character-set-server=utf8mb4", "--skip-name-resolve", "--bind-address=127.0.0.1",
    "--innodb-file-per-table=0", "--innodb-data-file-path=ibdata1:12M:autoextend",
)  # fmt: skip


class OwnServer:
    """A server with a database ``cofi`` and a user ``cofi`` who may do everything in it, and nothing to the server."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="cofi-own-")
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        # A process with a death signal dies with the thread that made it: this one lives as long as the tests.
        self._maker = ThreadPoolExecutor(max_workers=1)

    def __enter__(self) -> Self:
        data = Path(self._folder.name) / "data"
        install = ["mariadb-install-db", "--no-defaults", *_as_user(), f"--datadir={data}", "--skip-test-db"]
        install += ["--auth-root-authentication-method=normal", "--innodb-file-per-table=0", _SETTINGS[-1]]
        subprocess.run(install, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.start()
        self.administer("CREATE DATABASE cofi CHARACTER SET utf8mb4")
        self.administer("CREATE USER 'cofi'@'%'")
        self.administer("GRANT ALL PRIVILEGES ON cofi.* TO 'cofi'@'%'")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        self._maker.shutdown()
        self._folder.cleanup()

    def url(self, port: int | None = None) -> str:
        """The URL of its database."""
        return f"mysql+pymysql://cofi@127.0.0.1:{port or self.port}/cofi?charset=utf8mb4"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        folder = Path(self._folder.name)
        command = [server_program(), "--no-defaults", *_as_user(), *_SETTINGS, f"--datadir={folder / 'data'}"]
        command += [f"--port={self.port}", f"--socket={folder / 's'}", f"--pid-file={folder / 'pid'}"]
        with (folder / "log").open("ab") as log:
            command = ["setpriv", "--pdeathsig", "KILL", *command]
            self._process = self._maker.submit(subprocess.Popen, command, stdout=log, stderr=log).result()
        end = time.monotonic() + _READY_SECONDS
        while not _listens(folder / "s"):
            if time.monotonic() > end or self._process.poll() is not None:
                raise RuntimeError((folder / "log").read_text()[-2000:])
            time.sleep(0.02)

    def revive(self) -> None:
        """Start it where a test that failed left it dead."""
        if self._process is None or self._process.poll() is not None:
            self.start()

    def kill(self) -> None:
        """Kill it, as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def administer(self, statement: str) -> list[tuple[object, ...]]:
        """Run a statement as the server's administrator."""
        path = str(Path(self._folder.name) / "s")
        with pymysql.connect(unix_socket=path, user="root", autocommit=True) as connection:
            cursor = connection.cursor()
            cursor.execute(statement)
            return list(cursor.fetchall())

    def kill_connections(self) -> int:
        """Kill every connection of COFI's; how many there were."""
        killed = 0
        for (number,) in self.administer("SELECT id FROM information_schema.PROCESSLIST WHERE user = 'cofi'"):
            try:
                self.administer(f"KILL {number}")
                killed += 1
            except pymysql.err.OperationalError:
                continue
        return killed


class LossyWire:
    """A TCP wire to a server that, once armed, loses the reply to a COMMIT and the connection with it."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.losses = 0
        self.lost = 0
        self._wires: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """End it."""
        for wire in [self._listener, *self._wires]:
            wire.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._target))
            self._wires += [client, server]
            threading.Thread(target=self._carry, args=(client, server), daemon=True).start()

    def _carry(self, client: socket.socket, server: socket.socket) -> None:
        try:
            while True:
                ready, _, _ = select.select([client, server], [], [])
                for wire in ready:
                    data = wire.recv(65536)
                    if not data:
                        return
                    (server if wire is client else client).sendall(data)
                    if wire is client and self.losses and data[5:] == b"COMMIT":
                        self.losses -= 1
                        self.lost += 1
                        server.recv(65536)
                        return
        except (OSError, ValueError):
            return
        finally:
            client.close()
            server.close()


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True


def _free_port() -> int:
    """A port below those that Linux gives to outgoing connections: one of them could take it during a restart."""
    for port in random.sample(range(20_000, 32_000), 200):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no port between 20000 and 32000 is free")


def _as_user() -> list[str]:
    return ["--user=root"] if os.geteuid() == 0 else []
