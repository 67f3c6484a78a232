"""Worker processes: CPU-bound tasks beside the event loop, with a bounded queue. Knows nothing of audio or HTTP.

Every worker is a process pool of one, so that a process that dies takes only its own task with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import multiprocessing
import os
import signal
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import TypeVar

Result = TypeVar("Result")

_log = logging.getLogger(__name__)
_RESTART_SECONDS = 1.0
_RETRY_AFTER_SECONDS = (1, 60)


class Busy(RuntimeError):
    """So many tasks wait that another would only time out; ``retry_after`` in seconds is when to ask again."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"all workers are busy and the queue is full: try again in {retry_after} s")
        self.retry_after = retry_after


class WorkerDied(RuntimeError):
    """The process that worked on the task died; another takes its place, and the task may be repeated."""


class Abandoned(RuntimeError):
    """Nobody waits for the task any more, so it was not begun."""


@dataclass(frozen=True, slots=True, eq=False)
class _Worker:
    executor: ProcessPoolExecutor
    pid: int

    def kill(self) -> None:
        self.executor.shutdown(wait=False, cancel_futures=True)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)


class Workers:
    """A fixed number of warm worker processes and the tasks that wait for one.

    Args:
        count: processes.
        waiting_limit: tasks that may wait; more raise :class:`Busy`.
        initialise: runs first in every process.
        prepare: runs in every process before its first task, loads what tasks need, returns ``os.getpid()``.
        preload: modules that all processes share.
    """

    def __init__(
        self,
        count: int,
        waiting_limit: int,
        *,
        initialise: Callable[[], None],
        prepare: Callable[[], int],
        preload: list[str],
    ) -> None:
        self._count = count
        self._waiting_limit = waiting_limit
        self._initialise = initialise
        self._prepare = prepare
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(preload)
        self._idle: asyncio.Queue[_Worker] = asyncio.Queue()
        self._alive: set[_Worker] = set()
        self._starting: set[asyncio.Task[None]] = set()
        self._waiting = 0
        self._task_seconds = 1.0
        self.trouble: str | None = None

    @property
    def ready(self) -> bool:
        """Whether every worker is warm."""
        return len(self._alive) == self._count

    def start(self) -> None:
        """Begin to start the processes; :attr:`ready` tells when they are warm."""
        for _ in range(self._count):
            self._start_one()

    def stop(self) -> None:
        """End all processes at once."""
        for task in self._starting:
            task.cancel()
        for worker in self._alive:
            worker.kill()
        self._alive.clear()

    async def run(
        self, wanted: Callable[[], Awaitable[bool]], function: Callable[..., Result], *arguments: object
    ) -> Result:
        """Run ``function(*arguments)`` in a worker; its exceptions come back as they are.

        ``wanted`` is asked when the task's turn has come.

        Raises:
            Busy: the queue is full.
            Abandoned: the task is not wanted any more.
            WorkerDied: the process died on the way.
        """
        worker = await self._next_worker()
        begun = time.monotonic()
        try:
            if not await wanted():
                raise Abandoned
            result = await asyncio.wrap_future(worker.executor.submit(function, *arguments))
        except BrokenProcessPool:
            self._replace(worker)
            raise WorkerDied("the worker process died; the request may be repeated") from None
        except BaseException:
            self._idle.put_nowait(worker)
            raise
        self._idle.put_nowait(worker)
        self._task_seconds += 0.2 * (time.monotonic() - begun - self._task_seconds)
        return result

    async def _next_worker(self) -> _Worker:
        """A living worker; one that died while it was idle is replaced without harm to any task."""
        if self._idle.empty() and self._waiting >= self._waiting_limit:
            raise Busy(self._retry_after())
        self._waiting += 1
        try:
            while True:
                worker = await self._idle.get()
                if _is_alive(worker):
                    return worker
                self._replace(worker)
        finally:
            self._waiting -= 1

    def _retry_after(self) -> int:
        least, most = _RETRY_AFTER_SECONDS
        return max(least, min(most, math.ceil(self._task_seconds * (self._waiting + 1) / self._count)))

    def _replace(self, worker: _Worker) -> None:
        _log.error("worker %d died and is replaced", worker.pid)
        self._alive.discard(worker)
        worker.executor.shutdown(wait=False)
        self._start_one()

    def _start_one(self) -> None:
        task = asyncio.create_task(self._keep_starting())
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)

    async def _keep_starting(self) -> None:
        while True:
            executor = ProcessPoolExecutor(1, mp_context=self._context, initializer=self._initialise)
            try:
                started = await asyncio.to_thread(executor.submit, self._prepare)
                await asyncio.wait([asyncio.wrap_future(started)])
            except asyncio.CancelledError:
                executor.shutdown(wait=False, cancel_futures=True)
                raise
            if (error := started.exception()) is None:
                worker = _Worker(executor, started.result())
                self._alive.add(worker)
                self._idle.put_nowait(worker)
                self.trouble = None
                return
            executor.shutdown(wait=False)
            self.trouble = f"a worker cannot start: {error or type(error).__name__}"
            _log.error("%s", self.trouble, exc_info=error)
            await asyncio.sleep(_RESTART_SECONDS)


def _is_alive(worker: _Worker) -> bool:
    try:
        os.kill(worker.pid, 0)
    except ProcessLookupError:
        return False
    return True
