"""Asking machines for their health: ``GET /health``, all in parallel, without ever waiting long for one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

import aiohttp

from cofi_dagster.fleet.client import trouble

ASK_SECONDS = 2.0
_AT_ONCE = 64


class State(StrEnum):
    """What a service said of itself."""

    READY = "ready"
    LOADING = "loading"
    """It answers 503: it loads its model, or is broken."""
    UNHEALTHY = "unhealthy"
    """It answers something else than 200 or 503."""
    UNREACHABLE = "unreachable"
    """It does not answer."""


@dataclass(frozen=True, slots=True)
class Question:
    """Whom to ask: URLs of which the first that exists (is not 404) counts; the LLM servers' key goes with some."""

    urls: tuple[str, ...]
    with_key: bool = False


@dataclass(frozen=True, slots=True)
class Health:
    """An answer: the state, what was said or met where it is not ready, and how many seconds the answer took."""

    state: State
    reason: str
    seconds: float


async def ask_all(
    questions: Iterable[Question], api_key: str | None = None, seconds: float = ASK_SECONDS
) -> dict[Question, Health]:
    """Ask all of them at once, each URL for so many seconds at most."""
    gate = asyncio.Semaphore(_AT_ONCE)
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}

    async def ask(session: aiohttp.ClientSession, question: Question) -> tuple[Question, Health]:
        async with gate:
            return question, await _ask(session, question, headers if question.with_key else {}, seconds)

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        return dict(await asyncio.gather(*(ask(session, question) for question in dict.fromkeys(questions))))


async def _ask(session: aiohttp.ClientSession, question: Question, headers: dict[str, str], seconds: float) -> Health:
    clock = asyncio.get_running_loop().time
    began, state, reason = clock(), State.UNREACHABLE, "no address"
    limit = aiohttp.ClientTimeout(total=seconds)
    for url in question.urls:
        try:
            async with session.get(url, timeout=limit, headers=headers, allow_redirects=False) as response:
                state, reason = _meaning(response.status)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            state, reason = State.UNREACHABLE, trouble(error, seconds)
            break
        if response.status != 404:
            break
    return Health(state, reason, clock() - began)


def _meaning(status: int) -> tuple[State, str]:
    if status == 200:
        return State.READY, ""
    return (State.LOADING if status == 503 else State.UNHEALTHY), f"HTTP {status}"
