"""One simulated GPU machine: its files, its capacity, and what it answers on each path of the protocol."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote

import orjson

from cofi_dagster_tests.fleet_simulator import llm, replies
from cofi_dagster_tests.fleet_simulator.faults import Fault
from cofi_dagster_tests.fleet_simulator.fleet import Fleet
from cofi_dagster_tests.fleet_simulator.multipart import form_fields
from cofi_dagster_tests.fleet_simulator.protocol import Connection

_BACKLOG = 4096
_AUDIO_PATHS = {f"/{service}".encode(): service for service in replies.AUDIO}


@dataclass(slots=True, eq=False)
class Work:
    """A request that is being worked on, or waits for its turn."""

    connection: Connection
    service: str
    file: str
    body: Callable[[], bytes]
    fault: Fault | None
    counted: bool = False
    """Whether it is one of the machine's requests in flight."""
    timer: asyncio.TimerHandle | None = None


def _detail(text: str) -> bytes:
    return orjson.dumps({"detail": text})


class Machine:
    """A machine at its own loopback address."""

    def __init__(self, fleet: Fleet, index: int, speed: float) -> None:
        self.fleet = fleet
        self.index = index
        self.address = f"127.0.0.{index + 2}"
        self.speed = speed
        self.capacity = fleet.options.capacity
        self.files: set[str] = set()
        self.in_flight = 0
        self.max_in_flight = 0
        self.connections: set[Connection] = set()
        self._queue: deque[Work] = deque()
        self._server: asyncio.Server | None = None

    # -- being there -----------------------------------------------------------------------------------------
    async def up(self, port: int) -> int:
        """Listen; the port that was free where ``port`` is 0.

        Raises:
            OSError: the port is taken.
        """
        if self._server is None:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(
                lambda: Connection(self), self.address, port, backlog=_BACKLOG, reuse_address=True
            )
        number: int = self._server.sockets[0].getsockname()[1]
        return number

    def down(self, *, forget: bool = False) -> None:
        """Stop listening and reset every connection; with ``forget``, its disk is empty when it is back."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in list(self.connections):
            connection.reset()
        if forget:
            self.files.clear()

    # -- requests --------------------------------------------------------------------------------------------
    def handle(self, connection: Connection) -> None:
        """Answer one request, now or after its latency."""
        url, method = connection.url, connection.method
        if method == "POST":
            if (service := _AUDIO_PATHS.get(url)) is not None:
                self._audio(connection, service)
            elif url == b"/v1/chat/completions":
                self._llm(connection)
            elif url == b"/v1/audio/transcriptions":
                self._openai_stt(connection)
            else:
                self._not_found(connection)
        elif url.startswith(b"/files/"):
            self._file(connection, method, unquote(url[7:].decode("ascii"), errors="surrogateescape"))
        elif url == b"/health":
            self._at_once(connection, "health", lambda: b'{"status":"ok"}')
        elif url == b"/v1/models":
            self._at_once(
                connection, "models", lambda: b'{"object":"list","data":[{"id":"simulator","object":"model"}]}'
            )
        else:
            self._not_found(connection)

    def dropped(self, connection: Connection) -> None:
        """A connection ended: whatever was asked on it is given up."""
        work = connection.pending
        if isinstance(work, Work):
            if work.timer is not None:
                work.timer.cancel()
            if work in self._queue:
                self._queue.remove(work)
            self._record(work, 0)
            self._leave(work)

    def _not_found(self, connection: Connection) -> None:
        self.fleet.record(connection.started, self.index, "unknown", "", 404)
        connection.reply_status(404, _detail(f"no such path: {connection.method} {connection.url.decode('latin-1')}"))

    def _refuse(self, connection: Connection, service: str, file: str, status: int, detail: str) -> None:
        self.fleet.record(connection.started, self.index, service, file, status)
        connection.reply_status(status, _detail(detail))

    def _at_once(self, connection: Connection, service: str, body: Callable[[], bytes], file: str = "") -> None:
        work = Work(connection, service, file, body, self._fault(service, file))
        connection.pending = work
        if not self._interrupted(work):
            self._finish(work)

    # -- the files service -----------------------------------------------------------------------------------
    def _file(self, connection: Connection, method: str, key: str) -> None:
        file = key.partition("/")[2]
        service = {"PUT": "files", "HEAD": "files-head", "DELETE": "files-delete"}.get(method)
        if service is None:
            self._not_found(connection)
            return
        fault = self._fault(service, file)
        if fault is not None and fault.kind != "forget":
            work = Work(connection, service, file, lambda: b"{}", fault)
            connection.pending = work
            if self._interrupted(work):
                return
            connection.pending = None
        status, body = {"PUT": self._put, "HEAD": self._head, "DELETE": self._delete}[method](connection, key)
        self.fleet.record(connection.started, self.index, service, file, status)
        connection.reply_status(status, body)

    def _put(self, connection: Connection, key: str) -> tuple[int, bytes]:
        said = connection.headers.get(b"x-content-sha256", b"").decode("latin-1").lower()
        found = connection.digest.hexdigest()
        if said != found:
            return 400, _detail(f"X-Content-SHA256 is '{said}', the body's is {found}")
        self.files.add(key)
        name = replies.json_text(key.partition("/")[2])
        return 201, b'{"file":"%b","bytes":%d,"sha256":"%b"}' % (name, connection.received, found.encode())

    def _head(self, connection: Connection, key: str) -> tuple[int, bytes]:
        return (200 if key in self.files else 404), b""

    def _delete(self, connection: Connection, key: str) -> tuple[int, bytes]:
        self.files = {kept for kept in self.files if not kept.startswith(f"{key}/")}
        return 204, b""

    # -- the services that work ------------------------------------------------------------------------------
    def _audio(self, connection: Connection, service: str) -> None:
        body = connection.body
        self.fleet.examples[service] = body
        try:
            request = orjson.loads(body)
            file: str = request["file"]
            key = f"{request['batch_id']}/{file}"
            if service == "stt":
                request["language"]
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            self._refuse(connection, service, "", 422, f"not a request of {service}: {error!r}")
            return
        fault = self._fault(service, file)
        if fault is not None and fault.kind == "forget":
            self.files.discard(key)
        if key not in self.files and (fault is None or fault.kind in ("forget", "delay")):
            self._refuse(connection, service, file, 404, f"this machine does not have {key}")
            return
        encode = replies.AUDIO[service]
        self._accept(Work(connection, service, file, lambda: encode(self.fleet.call(file)), fault))

    def _openai_stt(self, connection: Connection) -> None:
        fields = form_fields(connection.headers.get(b"content-type", b""), connection.body)
        missing = [name for name in ("file", "model", "language", "response_format") if name not in fields]
        if missing or fields["response_format"] != "verbose_json":
            self._refuse(connection, "stt", "", 422, f"missing in the form: {', '.join(missing) or 'verbose_json'}")
            return
        file = fields["file"]
        options = self.fleet.options

        def body() -> bytes:
            return replies.stt(
                self.fleet.call(file),
                duration_as_string=options.stt_duration_as_string,
                with_segments=not options.stt_null_segments,
            )

        self._accept(Work(connection, "stt", file, body, self._fault("stt", file)))

    def _llm(self, connection: Connection) -> None:
        try:
            request = llm.LlmRequest(connection.body)
        except llm.BadRequestError as error:
            self._refuse(connection, "llm", "", 400, str(error))
            return
        service, file = request.service, request.file
        self.fleet.examples[service] = connection.body
        fault = self._fault(service, file)
        answers = self.fleet.answers
        self._accept(Work(connection, service, file, lambda: llm.reply(request, answers), fault))

    # -- capacity and time -----------------------------------------------------------------------------------
    def _fault(self, service: str, file: str) -> Fault | None:
        faults = self.fleet.faults
        return faults.take(self.index, service, file) if faults else None

    def _accept(self, work: Work) -> None:
        """Begin the work, or queue it, or refuse it as too much."""
        work.connection.pending = work
        if self.capacity and self.in_flight >= self.capacity:
            if self.fleet.options.over_capacity == "queue":
                self._queue.append(work)
                return
            work.connection.pending = None
            self._record(work, 503)
            work.connection.reply_status(503, _detail("busy"), self.fleet.options.retry_after or None)
            return
        self._begin(work)

    def _begin(self, work: Work) -> None:
        self._enter(work)
        if self._interrupted(work):
            return
        latency = self.fleet.latency[work.service]
        seconds = latency.of(self.fleet.call(work.file), work.service) / self.speed if latency else 0.0
        if work.fault is not None:
            seconds += work.fault.seconds
        if seconds > 0:
            work.timer = asyncio.get_running_loop().call_later(seconds, self._finish, work)
        else:
            self._finish(work)

    def _enter(self, work: Work) -> None:
        work.counted = True
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)

    def _leave(self, work: Work) -> None:
        work.connection.pending = None
        if work.counted:
            self.in_flight -= 1
        while self._queue and not (self.capacity and self.in_flight >= self.capacity):
            self._begin(self._queue.popleft())

    def _finish(self, work: Work) -> None:
        self._record(work, 200)
        self._leave(work)
        work.connection.reply(work.body())

    def _record(self, work: Work, status: int) -> None:
        self.fleet.record(work.connection.started, self.index, work.service, work.file, status)

    # -- faults ----------------------------------------------------------------------------------------------
    def _interrupted(self, work: Work) -> bool:
        """Let the work's fault happen; whether it takes the place of the reply."""
        fault, connection = work.fault, work.connection
        if fault is None or fault.kind in ("delay", "forget"):
            return False
        if fault.kind == "hang":
            return True
        if fault.kind == "close":
            connection.reset()
            return True
        self._record(work, fault.status if fault.kind == "status" else 200)
        self._leave(work)
        if fault.kind == "status":
            body = _detail(fault.detail) if fault.body is None else fault.body.encode()
            connection.reply_status(fault.status, body, fault.retry_after)
        elif fault.kind == "truncated":
            connection.reply_half(work.body())
        else:
            connection.reply(_FAULTY_BODIES[fault.kind](work, fault))
        return True


_FAULTY_BODIES: dict[str, Callable[[Work, Fault], bytes]] = {
    "invalid_json": lambda work, fault: work.body()[:-1],
    "wrong_shape": lambda work, fault: b'{"unexpected":true}',
    "invalid_content": lambda work, fault: llm.completion(orjson.dumps(fault.content), "stop", 0),
    "length": lambda work, fault: llm.completion(orjson.dumps('{"conversations": [{"sym'), "length", 0),
}
