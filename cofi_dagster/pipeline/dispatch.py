"""Dispatch: keeps every machine of the fleet busy with a stage's files until each has an outcome.

Which machine gets which file is ``lanes``'; what a reply means is the fleet's table; here is what follows from it.
Knows no stage, no SQL.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from cofi_dagster.fleet.client import FileUnreadable, FleetClient, MachineTrouble, Reply, Upload
from cofi_dagster.fleet.endpoints import Endpoint
from cofi_dagster.fleet.verdicts import Verdict, verdict
from cofi_dagster.pipeline.lanes import Lane, Lanes
from cofi_dagster.pipeline.machine_tally import Mishap
from cofi_dagster.pipeline.pace import Pace
from cofi_dagster.pipeline.sink import Sink
from cofi_dagster.pipeline.work import BadReply, FileFault, FileStage, Outcome, PostForm, PostJson, PutFile, State, Work

_ASIDE_AFTER = 3
_TROUBLES_PER_ATTEMPT = 2
_PROBE_SECONDS = (0.5, 15.0)
_RETRY_SECONDS = (0.5, 30.0)
_BUSY_SECONDS = (0.25, 15.0)
_CLOCK_STEP = 0.002
_SHOWN_CHARACTERS = 2000


class FleetDown(RuntimeError):
    """No machine of the fleet answers; the message names them and says how long COFI waited."""


class Stop:
    """Asks a running dispatch to stop, from any thread."""

    def __init__(self) -> None:
        self.draining = threading.Event()
        self.aborting = threading.Event()
        self._ring: Callable[[], None] | None = None

    def bind(self, ring: Callable[[], None]) -> None:
        """Whom to tell that something was asked for."""
        self._ring = ring
        if self.draining.is_set() or self.aborting.is_set():
            ring()

    def drain(self) -> None:
        """Send nothing more; end when what is in flight has its outcome."""
        self.draining.set()
        self._tell()

    def abort(self) -> None:
        """Drop what is in flight and end at once; its files stay pending."""
        self.aborting.set()
        self._tell()

    def _tell(self) -> None:
        if self._ring is not None:
            self._ring()


@dataclass(slots=True)
class Limits:
    """How hard to try: requests in flight per machine, attempts per file, seconds to wait for a fleet that is down."""

    concurrency: int
    attempts: int
    fleet_wait_seconds: float


@dataclass(slots=True)
class Summary:
    """What the machines did: name to files done, seconds of requests and errors, and each time one was set aside."""

    machines: dict[str, dict[str, Any]] = field(default_factory=dict)
    set_aside: list[str] = field(default_factory=list)


class Dispatch:
    """One stage's files over the fleet. ``run`` returns when each has an outcome in the sink."""

    def __init__(
        self,
        stage: FileStage,
        works: Sequence[Work],
        endpoints: Sequence[Endpoint],
        *,
        client: FleetClient,
        sink: Sink,
        stop: Stop,
        limits: Limits,
        batch_id: int,
        path_of: Callable[[str], Path],
        pace: Pace,
    ) -> None:
        self._stage = stage
        self._client = client
        self._sink = sink
        self._stop = stop
        self._limits = limits
        self._batch_id = batch_id
        self._path_of = path_of
        self._pace = pace
        self._left = len(works)
        self._tasks: set[asyncio.Task[None]] = set()
        self._probes: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._failure: BaseException | None = None
        self.summary = Summary()
        self._lanes = Lanes(endpoints, works, limits.concurrency, pace.machine)

    async def run(self) -> None:
        """Send until all is done, or a stop is asked for.

        Raises:
            FleetDown: no machine answered for the time that the settings allow.
            Exception: what the sink met when it could not commit.
        """
        ring = _bell(asyncio.get_running_loop(), self._changed)
        self._stop.bind(ring)
        self._sink.on_room(ring)
        self._tick()
        try:
            while self._left and self._failure is None and not self._stop.aborting.is_set():
                self._sink.check()
                if self._stop.draining.is_set():
                    if not self._tasks:
                        return
                else:
                    self._fill()
                self._changed.clear()
                await self._changed.wait()
        finally:
            running = self._tasks | self._probes
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            self.summary.machines = {lane.endpoint.name: lane.did() for lane in self._lanes}
        if self._failure is not None:
            raise self._failure

    def _tick(self) -> None:
        """Once a second: look whether the fleet is still there, let waits end, and say what machines are given."""
        self._check_fleet()
        for lane in self._lanes:
            lane.tally.limit = int(lane.limit)
        self._changed.set()
        asyncio.get_running_loop().call_later(1.0, self._tick)

    def _fill(self) -> None:
        """Send what the lanes choose."""
        now = asyncio.get_running_loop().time()
        for lane, work in self._lanes.choose(now, is_full=lambda: self._sink.is_full):
            lane.in_flight += 1
            task = asyncio.create_task(self._do(lane, work))
            self._tasks.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._probes.discard(task)
        self._changed.set()
        if not task.cancelled() and (error := task.exception()) is not None and self._failure is None:
            self._failure = error

    # -- one file --------------------------------------------------------------------------------------------

    async def _do(self, lane: Lane, work: Work) -> None:
        """One attempt at one file, and what follows from it."""
        loop = asyncio.get_running_loop()
        work.started = started = loop.time()
        work.attempts += 1
        self._pace.begun(lane.endpoint.name, started)
        if work.sent is None:
            self._sink.started(work)
        try:
            await self._attempt(lane, work)
        except MachineTrouble as trouble:
            self._trouble(lane, work, str(trouble))
        except (FileFault, FileUnreadable) as fault:
            self._fail(work, str(fault))
        finally:
            lane.in_flight -= 1
            lane.busy_seconds += loop.time() - started
            self._pace.ended(lane.endpoint.name, started, loop.time())

    async def _attempt(self, lane: Lane, work: Work) -> None:
        request = await self._stage.request(work)
        if isinstance(request, PutFile):
            upload = await self._upload(lane, work, request.timeout)
            if upload is not None:
                self._take(lane, work, orjson.dumps({"bytes": upload.bytes, "sha256": upload.sha256}))
            return
        if lane.endpoint.files is not None and work.home != lane.endpoint.name:
            if await self._upload(lane, work, request.timeout) is None:
                return
            work.moved = True
        reply = await self._send(lane, work, request)
        meaning = verdict(reply.status)
        if meaning is Verdict.DONE:
            self._take(lane, work, reply.body)
        elif meaning is Verdict.MISSING:
            self._missing(lane, work, reply)
        else:
            self._refused(lane, work, meaning, reply)

    async def _send(self, lane: Lane, work: Work, request: PostJson | PostForm) -> Reply:
        url = lane.endpoint.base + request.path
        if isinstance(request, PostForm):
            work.sent = f"POST {request.path} {dict(request.part.fields)}"
            return await self._client.post_form(url, request.part, timeout=request.timeout)
        work.sent = f"POST {request.path} {_shorten(request.body)}"
        return await self._client.post(url, request.body, timeout=request.timeout, with_key=request.with_key)

    async def _upload(self, lane: Lane, work: Work, timeout: float) -> Upload | None:
        """Bring the file to the lane's machine; None where it did not get there and that has been dealt with."""
        base = lane.endpoint.files or lane.endpoint.base
        work.sent = f"PUT /files/{self._batch_id}/{work.file}"
        upload = await self._client.put_file(base, self._batch_id, work.file, self._path_of(work.file), timeout=timeout)
        status = upload.reply.status
        meaning = verdict(status)
        if meaning is Verdict.DONE and upload.is_confirmed:
            work.home = lane.endpoint.name
            return upload
        if meaning is Verdict.DONE:
            shown = _shorten(upload.reply.body)
            self._fault(lane, work, "the upload's reply does not confirm the file's SHA-256", shown)
        elif status == 507:
            self._trouble(lane, work, f"its disk is full{_detail(upload.reply.body)}")
        else:
            self._refused(lane, work, Verdict.PASSING if status == 400 else meaning, upload.reply)
        return None

    def _take(self, lane: Lane, work: Work, body: bytes) -> None:
        """An answer: hand its outcome to the sink, or see that it is none."""
        try:
            outcome = self._stage.outcome(work, body)
        except BadReply as bad:
            self._fault(lane, work, f"the reply is not what the protocol says: {bad}", _shorten(body))
            return
        lane.well()
        lane.done += 1
        lane.tally.answered += 1
        self._pace.answered(work.weight, asyncio.get_running_loop().time() - work.started)
        self._finish(outcome)

    def _missing(self, lane: Lane, work: Work, reply: Reply) -> None:
        """404: upload the file again, once, and repeat."""
        lane.well()
        message = f"HTTP 404{_detail(reply.body)}"
        lane.tally.met(Mishap.MISSING, message)
        if lane.endpoint.files is None or work.reuploaded:
            self._fail(work, message, _shorten(reply.body))
            return
        work.reuploaded = True
        work.home = None
        work.attempts -= 1
        lane.queue.appendleft(work)

    def _refused(self, lane: Lane, work: Work, meaning: Verdict, reply: Reply) -> None:
        message = f"HTTP {reply.status}{_detail(reply.body)}"
        if meaning is Verdict.BUSY:
            self._busy(lane, work, reply, message)
        elif meaning is Verdict.PASSING:
            lane.well()
            self._fault(lane, work, message, _shorten(reply.body))
        else:
            lane.well()
            lane.tally.met(Mishap.REFUSED, message)
            self._fail(work, message, _shorten(reply.body))

    # -- what follows ----------------------------------------------------------------------------------------

    def _finish(self, outcome: Outcome) -> None:
        self._left -= 1
        self._pace.finished(outcome.work.weight)
        self._sink.put(outcome)

    def _fail(self, work: Work, error: str, output: str | None = None) -> None:
        self._finish(Outcome(work, State.FAILED, error=error, output=output))

    def _busy(self, lane: Lane, work: Work, reply: Reply, message: str) -> None:
        """Wait, send it less, repeat; not counted as an attempt. A file that alone is refused so for long fails."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        lane.tally.met(Mishap.BUSY, message)
        work.attempts -= 1
        work.busy_since = work.busy_since or now
        refused_for = now - work.busy_since
        if lane.busy_since is None and refused_for > self._limits.fleet_wait_seconds:
            self._fail(work, f"{message}, for {refused_for:.0f} s while other files were taken", _shorten(reply.body))
            return
        lane.busy(now, work.started, message)
        wait = reply.retry_after if reply.retry_after is not None else _growing(lane.busy_streak, _BUSY_SECONDS)
        lane.paused_until = max(lane.paused_until, now + wait)
        lane.queue.appendleft(work)
        loop.call_later(wait + _CLOCK_STEP, self._changed.set)
        self._check_fleet()

    def _fault(self, lane: Lane, work: Work, error: str, output: str) -> None:
        """A reply that is none."""
        lane.tally.met(Mishap.FAULT, error)
        self._again(lane, work, error, output)

    def _again(self, lane: Lane, work: Work, error: str, output: str | None = None) -> None:
        """A passing fault: repeat after a growing, jittered wait, up to the most attempts."""
        if work.attempts >= self._limits.attempts:
            self._fail(work, f"{error} (attempt {work.attempts} of {self._limits.attempts})", output)
            return
        wait = _growing(max(work.attempts, 1), _RETRY_SECONDS)
        asyncio.get_running_loop().call_later(wait, self._return, lane, work)

    def _return(self, lane: Lane, work: Work) -> None:
        lane.queue.appendleft(work)
        self._changed.set()

    def _trouble(self, lane: Lane, work: Work, error: str) -> None:
        """No reply: as a passing fault; several in a row and the machine is set aside.

        What it met then was the machine's trouble, and no attempt at the file; but not for ever, as there are files
        that bring a machine down.
        """
        lane.troubles += 1
        lane.last_trouble = error
        lane.tally.met(Mishap.NO_REPLY, error)
        work.troubles += 1
        if lane.troubles >= _ASIDE_AFTER and lane.aside_since is None:
            self._set_aside(lane)
        if lane.aside_since is not None and work.troubles < _TROUBLES_PER_ATTEMPT * self._limits.attempts:
            work.attempts -= 1
        self._again(self._lanes.elsewhere(lane) if work.troubles > 1 else lane, work, f"{lane.endpoint.name}: {error}")

    def _set_aside(self, lane: Lane) -> None:
        lane.set_aside(asyncio.get_running_loop().time())
        self.summary.set_aside.append(f"{lane.endpoint.name}: {lane.last_trouble}")
        self._sink.machine_aside(lane.endpoint.name, lane.last_trouble)
        task = asyncio.create_task(self._probe(lane))
        self._probes.add(task)
        task.add_done_callback(self._ended)
        self._check_fleet()

    async def _probe(self, lane: Lane) -> None:
        """Ask a machine that was set aside for its health until it is back."""
        asked = 0
        while True:
            asked += 1
            await asyncio.sleep(_growing(asked, _PROBE_SECONDS))
            if await self._client.healthy(lane.endpoint.health):
                lane.back()
                self._sink.machine_back(lane.endpoint.name)
                return

    def _check_fleet(self) -> None:
        """Give up once every machine has been set aside or busy for longer than the settings allow."""
        now = asyncio.get_running_loop().time()
        shortest = min(lane.stuck_for(now) for lane in self._lanes)
        if self._failure is None and shortest > self._limits.fleet_wait_seconds:
            reasons = "; ".join(f"{lane.endpoint.name}: {lane.last_trouble}" for lane in self._lanes)
            waited = f"waited {self._limits.fleet_wait_seconds:g} s"
            self._failure = FleetDown(
                f"no machine of the fleet is in service for {self._stage.stage.name} ({waited}): {reasons}"
            )
            self._changed.set()


def _bell(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> Callable[[], None]:
    """Sets the event from any thread; once the loop has ended nobody waits for it, and nothing happens."""

    def ring() -> None:
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(event.set)

    return ring


def _growing(count: int, bounds: tuple[float, float]) -> float:
    """Seconds of the ``count``-th wait: doubling from the first bound to the second, jittered by a half."""
    first, most = bounds
    return float(min(first * 2 ** min(count - 1, 16), most) * random.uniform(0.5, 1.5))


def _shorten(body: bytes) -> str:
    return body[:_SHOWN_CHARACTERS].decode("utf-8", "replace")


def _detail(body: bytes) -> str:
    """The ``detail`` of an error reply, as ``: …``, or nothing."""
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ""
    detail = parsed.get("detail") or parsed.get("error") if isinstance(parsed, dict) else None
    if isinstance(detail, dict):
        detail = detail.get("message")
    return f": {detail}"[:_SHOWN_CHARACTERS] if detail else ""
