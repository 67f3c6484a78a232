"""Measure ``wire``: a bare aiohttp loop over all requests of a batch, whose replies are read and dropped.

It is what the pipeline is compared with: the same requests in the same order of stages, at the same concurrency, on the
same kind of event loop, and nothing else.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import aiohttp
import orjson
import psutil
import uvloop

from benchmarks.measure import Measure, Row, Surroundings
from cofi_dagster.audit.questionnaire import Question
from cofi_dagster.audit.requests import Segment, llm1_request, llm2_request
from cofi_dagster_tests.batches import make_batch
from cofi_dagster_tests.fleet_simulator import FleetSimulator

MACHINES = 4
PER_MACHINE = 8
"""Requests in flight to each machine."""

QUESTIONS = 25
SEGMENTS = 50
BATCH_ID = 1


@dataclass(frozen=True, slots=True)
class WireRun:
    """Seconds of wall time, in all and by service."""

    seconds: float
    stages: dict[str, float]


def own_bodies() -> dict[str, bytes]:
    """LLM requests of the usual size, for when no pipeline has sent any yet."""
    segments = [Segment(k, "agent", "It is trading a little higher than yesterday.") for k in range(SEGMENTS)]
    questions = [Question(k, k, "Was the order read back to the client?", "yes_no") for k in range(1, QUESTIONS + 1)]
    return {
        "llm1": orjson.dumps(llm1_request(segments, model="default")),
        "llm2": orjson.dumps(llm2_request(segments, questions, model="default")),
    }


class _Loop:
    """The loop over one batch directory."""

    def __init__(self, fleet: FleetSimulator, audio: list[Path], llm_bodies: Mapping[str, bytes]) -> None:
        self._urls = [fleet.url(index) for index in range(len(fleet.machines))]
        self._audio = audio
        self._llm_bodies = llm_bodies
        self._session: aiohttp.ClientSession

    async def run(self) -> WireRun:
        stages: dict[str, float] = {}
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as self._session:
            for service in ("files", "denoise", "ivr", "lid", "stt", "llm1", "llm2"):
                began = time.perf_counter()
                await self._stage(self._request(service))
                stages[service] = time.perf_counter() - began
        return WireRun(sum(stages.values()), stages)

    async def _stage(self, request: Callable[[int], Awaitable[None]]) -> None:
        waiting = iter(range(len(self._audio)))

        async def worker() -> None:
            for number in waiting:
                await request(number)

        await asyncio.gather(*(worker() for _ in range(PER_MACHINE * len(self._urls))))

    def _request(self, service: str) -> Callable[[int], Awaitable[None]]:
        if service == "files":
            return self._upload
        if service in self._llm_bodies:
            body = self._llm_bodies[service]
            return lambda number: self._post(number, "/v1/chat/completions", body)
        more = {"language": "en"} if service == "stt" else {}

        async def audio(number: int) -> None:
            said = {"batch_id": BATCH_ID, "file": self._audio[number].name, **more}
            await self._post(number, f"/{service}", orjson.dumps(said))

        return audio

    async def _upload(self, number: int) -> None:
        path = self._audio[number]
        body = path.read_bytes()
        url = f"{self._urls[number % len(self._urls)]}/files/{BATCH_ID}/{path.name}"
        async with self._session.put(url, data=body, headers={"X-Content-SHA256": sha256(body).hexdigest()}) as reply:
            await _drop(reply)

    async def _post(self, number: int, path: str, body: bytes) -> None:
        url = self._urls[number % len(self._urls)] + path
        async with self._session.post(url, data=body, headers={"Content-Type": "application/json"}) as reply:
            await _drop(reply)


async def _drop(reply: aiohttp.ClientResponse) -> None:
    body = await reply.read()
    if reply.status not in (200, 201):
        raise RuntimeError(f"{reply.method} {reply.url}: {reply.status} {body[:200]!r}")


def run_wire(fleet: FleetSimulator, folder: Path, llm_bodies: Mapping[str, bytes]) -> WireRun:
    """Make all requests of a batch directory made by :func:`.batches.make_batch`.

    Raises:
        RuntimeError: a request was not answered with 200 or 201.
    """
    audio = sorted(folder.glob("*.wav"))
    return uvloop.run(_Loop(fleet, audio, llm_bodies).run())


def _run(surroundings: Surroundings) -> Iterator[Row]:
    folder = make_batch(surroundings.folder, "2026-01-15_1", surroundings.files, calls=False, trades=False)
    with FleetSimulator(machines=MACHINES, languages="en", segments=SEGMENTS, record="count") as fleet:
        bodies = own_bodies()
        simulator = psutil.Process(fleet.pid)
        before = simulator.cpu_times()
        done = run_wire(fleet, folder, bodies)
        after = simulator.cpu_times()
        requests = fleet.counts().total()
    own = (after.user + after.system - before.user - before.system) / requests
    detail = {"stages": done.stages, "simulator_cpu_us_per_request": own * 1e6, "seconds": done.seconds}
    yield Row(f"{surroundings.files} files", requests / done.seconds, None, detail)


MEASURE = Measure("wire", "bare aiohttp loop against the simulator", "requests/s", "", _run)
