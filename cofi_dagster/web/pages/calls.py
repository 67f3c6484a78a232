"""The page on which calls are found: what is asked for, what of it cannot be asked, and a page of what was found."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Annotated, Any
from urllib.parse import urlencode

import sqlalchemy as sa
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel
from starlette.responses import Response

from cofi_dagster.database import tables as t
from cofi_dagster.database.engine import reading
from cofi_dagster.pipeline.status import CallStatus
from cofi_dagster.settings import parse_batch_key
from cofi_dagster.web.pages import call_search as find
from cofi_dagster.web.pages.desk import Desk, Offset

_PAGE = 50
_LONGEST = 255
_PHONE_DIGITS = 10
_SHORTEST_PHONE = 6
_COUNTRY = ("", "0", "91", "+91", "0091")
_BETWEEN = ("", " ", "-")
_UNKNOWN = "unknown"


class Chosen(BaseModel, frozen=True):
    """What is asked for, as the address's query; the empty string is no wish."""

    client: str = ""
    symbol: str = ""
    dealer: str = ""
    phone: str = ""
    first: str = ""
    last: str = ""
    batch: str = ""
    status: str = ""
    language: str = ""
    question: str = ""
    answer: str = ""
    after: Offset = 0
    past: Offset = 0

    def query(self) -> str:
        """As the query of an address, to which more can be added."""
        text = urlencode({name: value for name, value in self.model_dump(exclude={"after", "past"}).items() if value})
        return f"?{text}&" if text else "?"


@dataclass(slots=True)
class _Asked:
    """The wishes that could be understood, and a sentence for each field that could not."""

    wishes: list[find.Wish] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)


def routes(desk: Desk) -> APIRouter:
    """``/cofi/calls``."""
    router = APIRouter()

    @router.get("/cofi/calls")
    def page(request: Request, chosen: Annotated[Chosen, Query()]) -> Response:
        """The whole page; what cannot be asked is said beside its field."""
        with reading(desk.engine) as connection:
            asked = _asked(connection, chosen)
            hits = find.Hits([])
            if not asked.errors:
                hits = find.search(connection, asked.wishes, _PAGE, after=chosen.after, past=chosen.past)
            calls = _lines(connection, hits.call_ids)
            last_batch = _key_of(connection, hits.last_batch) if hits.last_batch else None
        languages = (*desk.settings.languages, _UNKNOWN)
        return desk.show(
            request,
            "calls.html",
            page="calls",
            chosen=chosen,
            errors=asked.errors,
            hits=hits,
            calls=calls,
            last_batch=last_batch,
            most=find.COUNTED,
            statuses=[str(word) for word in CallStatus],
            languages=[*languages, *({chosen.language} - {"", *languages})],
        )

    return router


# -- what is asked -------------------------------------------------------------------------------------------------


def _asked(connection: sa.Connection, chosen: Chosen) -> _Asked:
    asked = _Asked()
    for name in type(chosen).model_fields:
        if isinstance(text := getattr(chosen, name), str) and len(text) > _LONGEST:
            asked.errors[name] = f"This is too long: at most {_LONGEST} characters."
    if asked.errors:
        return asked
    for column, value in (("clientCode", chosen.client), ("dealerId", chosen.dealer)):
        if value.strip():
            asked.wishes.append(find.by_metadata(column, _spellings(value)))
    if chosen.symbol.strip():
        asked.wishes.append(find.by_symbol(_spellings(chosen.symbol)))
    for understand in (_phone, _days, _batch, _words, _answer):
        understand(connection, chosen, asked)
    return asked


def _spellings(text: str) -> tuple[str, ...]:
    """As typed, in capitals and in small letters: SQLite tells them apart."""
    return tuple(dict.fromkeys((text.strip(), text.strip().upper(), text.strip().lower())))


def phone_spellings(text: str) -> tuple[str, ...]:
    """The ways in which the files may give this number, by its last 10 digits; none where it has too few digits."""
    digits = "".join(str(int(sign)) for sign in text if sign.isdecimal())
    number = digits[-_PHONE_DIGITS:]
    if len(number) < _SHORTEST_PHONE:
        return ()
    if len(number) < _PHONE_DIGITS:
        return tuple(dict.fromkeys((text.strip(), digits)))
    ways = (country + between + number for country in _COUNTRY for between in (_BETWEEN if country else ("",)))
    return tuple(dict.fromkeys((text.strip(), *ways)))


def _phone(_: sa.Connection, chosen: Chosen, asked: _Asked) -> None:
    if not chosen.phone.strip():
        return
    if ways := phone_spellings(chosen.phone):
        asked.wishes.append(find.by_metadata("clientPhone", ways))
    else:
        asked.errors["phone"] = f"A number has at least {_SHORTEST_PHONE} digits."


def _days(_: sa.Connection, chosen: Chosen, asked: _Asked) -> None:
    days: dict[str, date | None] = {"first": None, "last": None}
    for name in days:
        text = getattr(chosen, name).strip()
        try:
            days[name] = date.fromisoformat(text) if text else None
        except ValueError:
            asked.errors[name] = "This is no date: write it like 2026-01-31."
    first, last = days["first"], days["last"]
    if first and last and first > last:
        asked.errors["last"] = "This is before the first day."
    elif first or last:
        asked.wishes.append(find.by_dates(first, last))


def _batch(connection: sa.Connection, chosen: Chosen, asked: _Asked) -> None:
    text, batch = chosen.batch.strip(), t.batch_status.c
    if not text:
        return
    try:
        day, number = parse_batch_key(text)
        its_key = sa.and_(batch.batchDate == day, batch.batchNumber == number)
    except ValueError:
        if not re.fullmatch(r"[0-9]{1,18}", text):
            asked.errors["batch"] = "A batch is named like 2026-01-31_1."
            return
        its_key = batch.id == int(text)
    found = connection.execute(sa.select(batch.id).where(its_key)).scalar()
    if found is None:
        asked.errors["batch"] = f"There is no batch {text}."
    else:
        asked.wishes.append(find.by_batch(found))


def _words(_: sa.Connection, chosen: Chosen, asked: _Asked) -> None:
    if chosen.status and chosen.status not in tuple(CallStatus):
        asked.errors["status"] = "There is no such status."
    elif chosen.status:
        asked.wishes.append(find.by_word("status", chosen.status))
    if chosen.language.strip():
        asked.wishes.append(find.by_word("lang", chosen.language.strip()))


def _answer(_: sa.Connection, chosen: Chosen, asked: _Asked) -> None:
    text, words = chosen.question.strip(), chosen.answer.strip()
    if text and not re.fullmatch(r"[0-9]{1,9}", text):
        asked.errors["question"] = "A question is named by its number."
    elif words and not any(sign.isalnum() for sign in words):
        asked.errors["answer"] = "There is no word in this."
    elif text or words:
        asked.wishes.append(find.by_answer(int(text) if text else None, words))


# -- what is shown -------------------------------------------------------------------------------------------------


def _lines(connection: sa.Connection, call_ids: Sequence[int]) -> list[Mapping[str, Any]]:
    """What the page says of each call, in the order given."""
    call, known, batch, mapping = t.call, t.call_metadata, t.batch_status, t.trade_audio_mapping
    same = sa.and_(known.c.batchId == call.c.batchId, known.c.audioName == call.c.audioName)
    query = sa.select(
        call.c.id, call.c.audioName, call.c.status, call.c.lang, call.c.audioDuration, call.c.batchId,
        batch.c.batchDate, batch.c.batchNumber, known.c.callStart, known.c.clientCode, known.c.clientPhone,
        known.c.dealerId,
    ).select_from(call.join(batch, batch.c.id == call.c.batchId).outerjoin(known, same))  # fmt: skip
    rows = {row["id"]: row for row in connection.execute(query.where(call.c.id.in_(call_ids))).mappings()}
    trades = sa.select(mapping.c.callId, sa.func.count(mapping.c.tradeMetadataId.distinct()).label("trades"))
    counted = connection.execute(trades.where(mapping.c.callId.in_(call_ids)).group_by(mapping.c.callId))
    count = {row.callId: row.trades for row in counted}
    return [{**rows[call_id], "trades": count.get(call_id, 0)} for call_id in call_ids if call_id in rows]


def _key_of(connection: sa.Connection, batch_id: int) -> str:
    batch = t.batch_status.c
    row = connection.execute(sa.select(batch.batchDate, batch.batchNumber).where(batch.id == batch_id)).one()
    return f"{row.batchDate}_{row.batchNumber}"
