"""The page of all batches: how each stands, and what arrives."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any
from urllib.parse import urlencode

import sqlalchemy as sa
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel
from starlette.responses import Response

from cofi_dagster.database import tables as t
from cofi_dagster.database.engine import reading
from cofi_dagster.pipeline.arrivals import Listing, known_keys, list_batch_root, new_batches
from cofi_dagster.pipeline.remaining import estimate
from cofi_dagster.pipeline.standing import standing
from cofi_dagster.pipeline.status import BATCH_WORDS, CANCELLED, COMPLETED, FAILED, PAUSED, BatchStatus
from cofi_dagster.web.models import BatchLine
from cofi_dagster.web.pages.batch_actions import buttons
from cofi_dagster.web.pages.desk import Desk, Offset

_PAGE = 40
_WORDS: Mapping[str, tuple[str, ...]] = {
    "running": BATCH_WORDS[:-1],
    "paused": (PAUSED,),
    "failed": (FAILED,),
    "completed": (COMPLETED,),
    "cancelled": (CANCELLED,),
}
"""The states to choose from, as the words of ``batchStatus.status`` that mean them."""
_BATCH = t.batch_status


class Chosen(BaseModel, frozen=True):
    """What of all batches is asked for, as the address's query; the empty string is no wish."""

    state: str = ""
    kind: str = ""
    first: str = ""
    last: str = ""
    offset: Offset = 0

    def conditions(self) -> list[sa.ColumnElement[bool]]:
        """As conditions on ``batchStatus``; what makes no sense is left out."""
        found: list[sa.ColumnElement[bool]] = []
        if self.state in _WORDS:
            found.append(_BATCH.c.status.in_(_WORDS[self.state]))
        if self.kind in ("batch", "upload"):
            found.append(_BATCH.c.kind == self.kind)
        for text, at_end in ((self.first, False), (self.last, True)):
            try:
                day = date.fromisoformat(text)
            except ValueError:
                continue
            found.append(_BATCH.c.batchDate <= day if at_end else _BATCH.c.batchDate >= day)
        return found

    def query(self) -> str:
        """As the query of an address, to which more can be added."""
        wishes = {"state": self.state, "kind": self.kind, "first": self.first, "last": self.last}
        text = urlencode({name: value for name, value in wishes.items() if value})
        return f"?{text}&" if text else "?"


@dataclass(frozen=True, slots=True)
class Shown:
    """A batch as the page shows it: its line, its remaining seconds, failed files, and what may be done to it."""

    line: BatchLine
    progress: float
    remaining: float | None
    failed: int
    buttons: tuple[str, ...]


def routes(desk: Desk) -> APIRouter:
    """``/cofi`` and its live part."""
    router = APIRouter()

    @router.get("/cofi")
    @router.get("/cofi/batches")
    def page(request: Request, chosen: Annotated[Chosen, Query()]) -> Response:
        """The whole page."""
        return desk.show(request, "batches.html", page="batches", states=tuple(_WORDS), **context(chosen))

    @router.get("/cofi/batches/live")
    def live(request: Request, chosen: Annotated[Chosen, Query()]) -> Response:
        """Its live part."""
        return desk.live(request, "batches_live.html", chosen, lambda: context(chosen))

    def context(chosen: Chosen) -> dict[str, Any]:
        total, shown = _read(desk, chosen)
        known = known_keys(desk.engine)
        arriving, ready = _arriving(desk, known)
        return {
            "chosen": chosen,
            "limit": _PAGE,
            "total": total,
            "batches": shown,
            "arriving": arriving,
            "ready": ready,
            "any": bool(known),
            "root": desk.settings.batches,
        }

    return router


def _read(desk: Desk, chosen: Chosen) -> tuple[int, list[Shown]]:
    """How many batches there are, and a page of them, newest first."""
    conditions = chosen.conditions()
    with reading(desk.engine) as connection:
        total = connection.execute(sa.select(sa.func.count()).select_from(_BATCH).where(*conditions)).scalar_one()
        page = sa.select(_BATCH).where(*conditions).order_by(_BATCH.c.id.desc()).limit(_PAGE).offset(chosen.offset)
        rows = connection.execute(page).mappings().all()
        failed = _failed(connection, [row["id"] for row in rows])
        return total, [_shown(desk, connection, desk.reads.line(row), failed) for row in rows]


def _failed(connection: sa.Connection, batch_ids: Sequence[int]) -> dict[int, int]:
    """Failed files of each batch, added up over its stages."""
    detail = t.stage_detail.c
    query = sa.select(detail.batchId, sa.func.sum(detail.itemsFailed).label("failed"))
    rows = connection.execute(query.where(detail.batchId.in_(batch_ids)).group_by(detail.batchId))
    return {row.batchId: int(row.failed or 0) for row in rows}


def _shown(desk: Desk, connection: sa.Connection, line: BatchLine, failed: Mapping[int, int]) -> Shown:
    progress, remaining = line.progress, None
    if line.state == BatchStatus.RUNNING:
        found = standing(connection, line.batch_id)
        progress = desk.reads.progress(found)
        left = estimate(connection, desk.settings, found, desk.reads.past(connection, found)).batch
        remaining = left.seconds if left else None
    wrong = failed.get(line.batch_id, 0)
    return Shown(line, progress, remaining, wrong, buttons(line.state, line.kind, failed=wrong))


def _arriving(desk: Desk, known: set[str]) -> tuple[Listing, list[str]]:
    """The directories below the batch root that no batch has come from, and those of them that are complete."""
    try:
        listing = list_batch_root(desk.settings.batches, known)
    except OSError as error:
        return Listing(unreadable=[f"{desk.settings.batches}: {os.strerror(error.errno or 0)}"]), []
    return listing, new_batches(listing, known, time.time(), desk.settings.batch_quiet_seconds)
