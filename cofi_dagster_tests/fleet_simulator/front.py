"""The front of the simulator for tests and benchmarks: starts it as a process, sets its faults, reads its records."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from cofi_dagster_tests.fleet_simulator.faults import Kind
from cofi_dagster_tests.fleet_simulator.fleet import Request
from cofi_dagster_tests.fleet_simulator.options import Options

_ROOT = Path(__file__).parents[2]
_PORT_SETTINGS = ("FILES_PORT", "DENOISE_PORT", "IVR_PORT", "LID_PORT", "STT_PORT", "LLM_PORT")
_STOP_SECONDS = 10


class SimulatorError(RuntimeError):
    """The simulator did not start, or refused a command; the message is its own."""


class FleetSimulator:
    """A fleet in a process of its own, from ``with`` to its end. The options are those of :class:`Options`.

    Attributes:
        machines: the machines' addresses, as ``GPU_MACHINES`` and ``fileDistribution.ip`` have them.
        port: the one port of all services.
    """

    def __init__(self, machines: int = 2, *, latency: str | float = "0", **options: Any) -> None:
        self.options = Options(machines=machines, latency=str(latency), exit_with_stdin=True, **options)
        self.machines: tuple[str, ...] = ()
        self.port = 0
        self._control_port = 0
        self._process: subprocess.Popen[str] | None = None

    # -- the process -----------------------------------------------------------------------------------------
    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "cofi_dagster_tests.fleet_simulator", *self.options.arguments()]
        path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self.stop()
            raise SimulatorError("the fleet simulator did not start; its message is on standard error")
        said = json.loads(line)
        self.machines, self.port, self._control_port = tuple(said["machines"]), said["port"], said["control"]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.stdout.close()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    @property
    def pid(self) -> int:
        """The simulator's process, for measuring its CPU time."""
        if self._process is None:
            raise SimulatorError("the fleet simulator is not running")
        return self._process.pid

    def environment(self) -> dict[str, str]:
        """The settings with which COFI finds this fleet."""
        return {"GPU_MACHINES": ",".join(self.machines), **dict.fromkeys(_PORT_SETTINGS, str(self.port))}

    def url(self, machine: int = 0) -> str:
        """The base address of one machine, without a path."""
        return f"http://{self.machines[machine]}:{self.port}"

    def control(self, command: str, **members: Any) -> Any:
        """Send one command to the control endpoint.

        Raises:
            SimulatorError: it refused.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self._control_port, timeout=60)
        try:
            connection.request("POST", f"/{command}", orjson.dumps(members), {"Connection": "close"})
            reply = connection.getresponse()
            body = orjson.loads(reply.read())
        finally:
            connection.close()
        if reply.status != 200:
            raise SimulatorError(body["detail"])
        return body

    # -- faults ----------------------------------------------------------------------------------------------
    def fault(self, kind: Kind, **members: Any) -> None:
        """Give the next fitting request(s) a fault; the members are those of :class:`.faults.Fault`."""
        if "retry_after" in members:
            members["retry_after"] = str(members["retry_after"])
        self.control("fault", kind=kind, **members)

    def clear_faults(self) -> None:
        """No more faults. Machines that are down stay so."""
        self.control("clear_faults")

    def faults_left(self) -> int:
        """How many faults are not used up."""
        left: int = self.control("faults_left")
        return left

    def down(self, machine: int) -> None:
        """The machine refuses connections and has reset those it had. Its files are there when it is up again."""
        self.control("down", machine=machine)

    def kill(self, machine: int) -> None:
        """As :meth:`down`, and its disk is empty when it is up again."""
        self.control("down", machine=machine, forget=True)

    def up(self, machine: int) -> None:
        """The machine listens again."""
        self.control("up", machine=machine)

    def forget(self, machine: int, file: str) -> None:
        """The machine has lost a file."""
        self.control("forget", machine=machine, file=file)

    # -- what the calls are, and how fast the machines -------------------------------------------------------
    def describe(self, pattern: str, **said: Any) -> None:
        """Set ``language``, ``duration`` (seconds) or ``segments`` of the calls whose names fit the pattern."""
        self.control("describe", pattern=pattern, **said)

    def set_latency(self, specs: Mapping[str, str | float]) -> None:
        """Change the latency of some services."""
        self.control("latency", **{service: str(spec) for service, spec in specs.items()})

    def set_machine(self, machine: int, *, speed: float | None = None, capacity: int | None = None) -> None:
        """Change a machine's speed or capacity."""
        self.control("machine", machine=machine, speed=speed, capacity=capacity)

    # -- records ---------------------------------------------------------------------------------------------
    def requests(self, since: int = 0) -> list[Request]:
        """Every request in the order of its reply, from the ``since``-th on. Empty with ``record="count"``."""
        return [Request(*row) for row in self.control("requests", since=since)]

    def counts(self, status: int | None = None) -> Counter[tuple[str, str]]:
        """How many requests there were by (service, file): all, or those answered with a status."""
        counted: Counter[tuple[str, str]] = Counter()
        for service, file, found, number in self.control("counts"):
            if status in (None, found):
                counted[service, file] += number
        return counted

    def files(self, machine: int) -> list[str]:
        """What the machine has, as ``<batch_id>/<file>``."""
        found: list[str] = self.control("files", machine=machine)
        return found

    def in_flight(self) -> list[int]:
        """Requests in flight now, per machine."""
        found: list[int] = self.control("in_flight")
        return found

    def max_in_flight(self) -> list[int]:
        """Most requests that were in flight at a time, per machine."""
        found: list[int] = self.control("max_in_flight")
        return found

    def examples(self) -> dict[str, bytes]:
        """The last request body of each service."""
        return {service: body.encode() for service, body in self.control("examples").items()}

    def forget_records(self) -> None:
        """Begin the records anew."""
        self.control("forget_records")
