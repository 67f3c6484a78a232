"""The page of exceptions: what an auditor has to look at, of a batch or of some days, and the same as a file."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

import sqlalchemy as sa
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel
from starlette.background import BackgroundTask
from starlette.responses import FileResponse, Response, StreamingResponse

from cofi_dagster.audit import exceptions
from cofi_dagster.audit.exception_kinds import EXCEPTIONS, Kind
from cofi_dagster.audit.exceptions import SORTS, STATES, Wanted
from cofi_dagster.audit.reviews import SUGGESTIONS
from cofi_dagster.database import tables as t
from cofi_dagster.database.engine import reading
from cofi_dagster.export import exceptions_table
from cofi_dagster.pipeline.status import CANCELLED, COMPLETED, FAILED
from cofi_dagster.sheets import Table, csv_text, write_xlsx
from cofi_dagster.triage.grading import LOW_SCORE
from cofi_dagster.web.pages.desk import Desk, Offset

MOST_FILES = 25_000
"""Files that the batches of a range of days have together at most: what a page shows within its second."""

_PAGE = 50
_BATCHES_LISTED = 100
_LONGEST = 64
_ID = re.compile(r"[0-9]{1,18}")
_ENDED = (COMPLETED, FAILED, CANCELLED)
_FILE_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_TITLES: Mapping[Kind, str] = {
    Kind.TRADE_WITHOUT_EVIDENCE: "Trades without evidence",
    Kind.DISCREPANCY: "Discrepancies",
    Kind.WEAK_EVIDENCE: "Weak evidence",
    Kind.UNVERIFIED_QUOTE: "Unverified quotes",
    Kind.CALL_WITHOUT_TRADE: "Calls without a trade",
    Kind.CALL_NOT_AUDITED: "Calls not audited",
}
_MEANINGS: Mapping[Kind, str] = {
    Kind.TRADE_WITHOUT_EVIDENCE: "No call that began before the order is its evidence.",
    Kind.DISCREPANCY: "The order was discussed, but not as it was executed; or no call that was heard discusses it.",
    Kind.WEAK_EVIDENCE: "Only a call outside the window was found, or the score is low: "
    f"below {LOW_SCORE:g}, which a call at the window's edge gets where every word agrees.",
    Kind.UNVERIFIED_QUOTE: "An answer rests on words that are not in the transcript.",
    Kind.CALL_WITHOUT_TRADE: "The call is the evidence of no trade.",
    Kind.CALL_NOT_AUDITED: "The call has no complete audit: a stage failed, or there was nothing to audit.",
}  # fmt: skip
_STATES = {
    "": "all", "open": "not yet reviewed", "reviewed": "reviewed", "accepted": "accepted", "overridden": "overridden",
    "changed": "changed since the review",
}  # fmt: skip


class Chosen(BaseModel, frozen=True):
    """What of all exceptions is asked for, as the address's query; the empty string is no wish."""

    batch: str = ""
    first: str = ""
    last: str = ""
    kind: str = ""
    state: str = ""
    client: str = ""
    symbol: str = ""
    sort: str = ""
    order: str = ""
    offset: Offset = 0

    def days(self) -> tuple[date | None, date | None]:
        """The first and the last day, as far as they are days."""
        return _day(self.first), _day(self.last)

    def wanted(self, batch_ids: tuple[int, ...]) -> Wanted:
        """The same of these batches; what makes no sense is left out."""
        return Wanted(
            batch_ids,
            kind=Kind(self.kind) if self.kind in EXCEPTIONS else None,
            state=self.state if self.state in STATES else "",
            client=self.client.strip()[:_LONGEST],
            symbol=self.symbol.strip()[:_LONGEST],
            sort=self.sort if self.sort in SORTS else "kind",
            descending=self.order == "down",
        )

    def query(self, **changes: str) -> str:
        """As the query of an address, with changes and without the offset, to which more can be added."""
        wishes = {**self.model_dump(exclude={"offset"}), **changes}
        text = urlencode({name: value for name, value in wishes.items() if value})
        return f"?{text}&" if text else "?"

    def sorted_by(self, name: str) -> str:
        """The query that sorts by a column, or turns its order round."""
        is_up = (self.sort or "kind") == name and self.order != "down"
        return self.query(sort=name, order="down" if is_up else "")


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose exceptions: batches by id with their keys, of how many that were asked for; which of them still go on."""

    keys: dict[int, str]
    of: int
    going_on: list[str]


def routes(desk: Desk) -> APIRouter:
    """``/cofi/exceptions``, and ``/cofi/exceptions/export.csv`` and ``.xlsx``."""
    router = APIRouter()

    @router.get("/cofi/exceptions")
    def page(request: Request, chosen: Annotated[Chosen, Query()]) -> Response:
        """The whole page."""
        with reading(desk.engine) as connection:
            context = _context(connection, chosen)
        here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return desk.show(request, "exceptions.html", page="exceptions", chosen=chosen, here=here, **context)

    @router.get("/cofi/exceptions/export.csv")
    def as_csv(chosen: Annotated[Chosen, Query()]) -> Response:
        """What is shown, all of it."""
        table, name = _table(desk, chosen)
        return StreamingResponse(csv_text(table), headers=_named(f"{name}.csv"), media_type="text/csv; charset=utf-8")

    @router.get("/cofi/exceptions/export.xlsx")
    def as_xlsx(chosen: Annotated[Chosen, Query()]) -> Response:
        """What is shown, all of it."""
        table, name = _table(desk, chosen)
        folder = tempfile.TemporaryDirectory(prefix="cofi-export-")
        (path,) = write_xlsx([table], Path(folder.name), name)
        done = BackgroundTask(folder.cleanup)
        return FileResponse(path, headers=_named(path.name), media_type=_XLSX, background=done)

    return router


def _context(connection: sa.Connection, chosen: Chosen) -> dict[str, Any]:
    scope = _scope(connection, chosen)
    wanted = chosen.wanted(tuple(scope.keys))
    counts = exceptions.counts(connection, wanted) if scope.keys else dict.fromkeys(EXCEPTIONS, 0)
    everything = sum(counts.values())
    total = everything if wanted.kind is None else counts[wanted.kind]
    return {
        "scope": scope,
        "wanted": wanted,
        "counts": counts,
        "everything": everything,
        "total": total,
        "limit": _PAGE,
        "findings": exceptions.page(connection, wanted, _PAGE, chosen.offset) if total else [],
        "batches": _listed(connection, scope),
        "is_range": any(chosen.days()),
        "titles": _TITLES,
        "meanings": _MEANINGS,
        "states": _STATES,
        "suggestions": SUGGESTIONS,
    }


def _scope(connection: sa.Connection, chosen: Chosen) -> Scope:
    """The batches of the days, or the batch, or the newest one that has trades or answers."""
    first, last = chosen.days()
    if first or last:
        ids, of = exceptions.batches_between(connection, first, last, MOST_FILES)
    else:
        named = int(chosen.batch) if _ID.fullmatch(chosen.batch) else exceptions.newest_batch(connection)
        ids, of = ((), 0) if named is None else ((named,), 1)
    batch = t.batch_status.c
    query = sa.select(batch.id, batch.batchDate, batch.batchNumber, batch.status).where(batch.id.in_(ids))
    rows = connection.execute(query.order_by(batch.id)).all()
    keys = {row.id: f"{row.batchDate}_{row.batchNumber}" for row in rows}
    return Scope(keys, of, [keys[row.id] for row in rows if row.status not in _ENDED])


def _listed(connection: sa.Connection, scope: Scope) -> dict[int, str]:
    """The batches to choose from: the newest, and the one that is shown."""
    batch = t.batch_status.c
    query = sa.select(batch.id, batch.batchDate, batch.batchNumber).order_by(batch.id.desc()).limit(_BATCHES_LISTED)
    listed = {row.id: f"{row.batchDate}_{row.batchNumber}" for row in connection.execute(query)}
    return listed | (scope.keys if len(scope.keys) == 1 else {})


def _table(desk: Desk, chosen: Chosen) -> tuple[Table, str]:
    """The table of what is shown, and what its file is called."""
    with reading(desk.engine) as connection:
        scope = _scope(connection, chosen)
    wanted = chosen.wanted(tuple(scope.keys))
    table = exceptions_table(desk.engine, wanted, scope.keys)
    if not scope.keys:
        table = replace(table, rows=lambda: iter(()))
    return table, "_".join(("exceptions", *_span(chosen, scope)))


def _span(chosen: Chosen, scope: Scope) -> Iterator[str]:
    first, last = chosen.days()
    if first or last:
        yield from (f"{name}_{day}" for name, day in (("from", first), ("to", last)) if day)
    else:
        yield from scope.keys.values()


def _named(name: str) -> dict[str, str]:
    """Headers that make a browser keep a file under a name, which is made of dates and numbers alone."""
    return {**_FILE_HEADERS, "Content-Disposition": f'attachment; filename="{name}"'}


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
