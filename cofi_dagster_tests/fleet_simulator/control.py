"""The control endpoint: each command is a POST with a JSON object, on an address of its own so that no machine's fault
stands in its way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import orjson

from cofi_dagster_tests.fleet_simulator.faults import Fault
from cofi_dagster_tests.fleet_simulator.fleet import Fleet
from cofi_dagster_tests.fleet_simulator.machine import Machine
from cofi_dagster_tests.fleet_simulator.protocol import Connection


class Control:
    """Commands by name: each takes the object's members and returns what is sent back as JSON."""

    def __init__(self, fleet: Fleet, machines: Sequence[Machine], port: int) -> None:
        self.connections: set[Connection] = set()
        self._fleet = fleet
        self._machines = machines
        self._port = port
        self._tasks: set[asyncio.Task[None]] = set()
        self._commands: dict[str, Callable[..., Awaitable[Any]]] = {
            name.removeprefix("do_"): getattr(self, name) for name in dir(self) if name.startswith("do_")
        }

    def handle(self, connection: Connection) -> None:
        task = asyncio.get_running_loop().create_task(self._answer(connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def dropped(self, connection: Connection) -> None:
        """Nothing is kept for a connection."""

    async def _answer(self, connection: Connection) -> None:
        name = connection.url.decode().removeprefix("/")
        try:
            result = await self._commands[name](**orjson.loads(connection.body or b"{}"))
        except (KeyError, TypeError, ValueError, IndexError, OSError) as error:
            connection.reply_status(400, orjson.dumps({"detail": f"{name}: {error!r}"}))
            return
        connection.reply(orjson.dumps(result))

    async def do_fault(self, **members: Any) -> None:
        self._fleet.faults.waiting.append(Fault(**members))

    async def do_clear_faults(self) -> None:
        self._fleet.faults.waiting.clear()

    async def do_faults_left(self) -> int:
        return len(self._fleet.faults.waiting)

    async def do_down(self, machine: int, *, forget: bool = False) -> None:
        self._machines[machine].down(forget=forget)

    async def do_up(self, machine: int) -> None:
        await self._machines[machine].up(self._port)

    async def do_forget(self, machine: int, file: str) -> None:
        files = self._machines[machine].files
        files.difference_update([key for key in files if key.partition("/")[2] == file])

    async def do_files(self, machine: int) -> list[str]:
        return [key.encode("utf-8", "replace").decode() for key in sorted(self._machines[machine].files)]

    async def do_describe(self, pattern: str, **said: Any) -> None:
        self._fleet.describe(pattern, said)

    async def do_latency(self, **specs: str) -> None:
        self._fleet.set_latency(specs)

    async def do_machine(self, machine: int, *, speed: float | None = None, capacity: int | None = None) -> None:
        found = self._machines[machine]
        found.speed = found.speed if speed is None else speed
        found.capacity = found.capacity if capacity is None else capacity

    async def do_requests(self, since: int = 0) -> list[tuple[float, int, str, str, int]]:
        return [(*row[:3], row[3].encode("utf-8", "replace").decode(), row[4]) for row in self._fleet.requests[since:]]

    async def do_counts(self) -> list[tuple[str, str, int, int]]:
        counted = self._fleet.count().items()
        return [(s, f.encode("utf-8", "replace").decode(), status, n) for (s, f, status), n in counted]

    async def do_max_in_flight(self) -> list[int]:
        return [machine.max_in_flight for machine in self._machines]

    async def do_in_flight(self) -> list[int]:
        return [machine.in_flight for machine in self._machines]

    async def do_examples(self) -> dict[str, str]:
        return {service: body.decode() for service, body in self._fleet.examples.items()}

    async def do_forget_records(self) -> None:
        self._fleet.forget_records()
        for machine in self._machines:
            machine.max_in_flight = machine.in_flight
