"""Start a simulated fleet: ``python -m cofi_dagster_tests.fleet_simulator --machines 4 --latency stt=0.2``.

Prints one line of JSON (addresses, port, address of the control endpoint) once every machine listens.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import signal
import sys

import orjson
import uvloop

from cofi_dagster_tests.fleet_simulator.control import Control
from cofi_dagster_tests.fleet_simulator.fleet import Fleet
from cofi_dagster_tests.fleet_simulator.machine import Machine
from cofi_dagster_tests.fleet_simulator.options import Options
from cofi_dagster_tests.fleet_simulator.protocol import Connection

_TRIES = 50


async def _listen(machines: list[Machine], port: int) -> int:
    """Let every machine listen on one port: the given one, or one that is free at all addresses."""
    for left in reversed(range(1 if port else _TRIES)):
        try:
            found = await machines[0].up(port)
            for machine in machines[1:]:
                await machine.up(found)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or left == 0:
                raise
            for machine in machines:
                machine.down()
        else:
            return found
    raise AssertionError("not reached: the last try returns or raises")


def _stop_at_end_of_input(stop: asyncio.Event) -> None:
    if not os.read(0, 1024):
        stop.set()


async def serve(options: Options) -> None:
    """Run a fleet until SIGTERM, SIGINT, or the end of standard input where that is asked for."""
    fleet = Fleet(options)
    machines = [Machine(fleet, index, speed) for index, speed in enumerate(options.speed_of_each)]
    port = await _listen(machines, options.port_base)
    loop = asyncio.get_running_loop()
    control = Control(fleet, machines, port)
    server = await loop.create_server(lambda: Connection(control), "127.0.0.1", 0)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if options.exit_with_stdin:
        loop.add_reader(0, _stop_at_end_of_input, stop)
    said = {
        "machines": [machine.address for machine in machines],
        "port": port,
        "control": server.sockets[0].getsockname()[1],
    }
    sys.stdout.write(orjson.dumps(said).decode() + "\n")
    sys.stdout.flush()
    gc.freeze()
    await stop.wait()
    for machine in machines:
        machine.down()
    server.close()


if __name__ == "__main__":
    try:
        uvloop.run(serve(Options.parse()))
    except (OSError, ValueError) as problem:
        sys.exit(f"fleet_simulator: {problem}")
