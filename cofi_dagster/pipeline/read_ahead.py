"""Reading what requests need from the database a chunk ahead of the dispatch, so that memory stays flat."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

import sqlalchemy as sa

from cofi_dagster.database.faults import patiently

_CHUNK = 200

T = TypeVar("T")


class ReadAhead(Generic[T]):
    """Values by key, loaded in chunks in the order in which they will be wanted; each is given out once.

    ``load`` reads from the database at ``url`` in a worker thread, one chunk of keys at a time; a fault of the database
    that passes is waited out. Asking again for a key loads it again.
    """

    def __init__(self, order: Sequence[int], load: Callable[[Sequence[int]], Mapping[int, T]], url: sa.URL) -> None:
        self._order = order
        self._chunk_of = {key: index // _CHUNK for index, key in enumerate(order)}
        self._load = load
        self._url = url
        self._chunks: dict[int, asyncio.Task[dict[int, T]]] = {}

    async def take(self, key: int) -> T:
        """The value of a key; the chunk after its own is being loaded meanwhile.

        Raises:
            KeyError: ``load`` has no value for it.
        """
        number = self._chunk_of[key]
        values = await self._chunk(number)
        if (number + 1) * _CHUNK < len(self._order):
            self._chunk(number + 1)
        if key in values:
            return values.pop(key)
        return (await self._read([key]))[key]

    def _chunk(self, number: int) -> asyncio.Task[dict[int, T]]:
        if number not in self._chunks:
            keys = self._order[number * _CHUNK : (number + 1) * _CHUNK]
            self._chunks[number] = asyncio.create_task(self._read(keys))
        return self._chunks[number]

    async def _read(self, keys: Sequence[int]) -> dict[int, T]:
        return dict(await asyncio.to_thread(patiently, lambda: self._load(keys), self._url))
