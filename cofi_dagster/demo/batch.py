"""Makes the demo's batch directory: recordings, ``callMetadata.csv``, ``tradeMetadata.csv``, ``_SUCCESS``.

The truth about the batch is written beside the directory, never into it: the directory holds what a broker delivers and
nothing else. The stories are in :mod:`cofi_dagster.demo.scripts`; how well they were understood is measured by
:mod:`cofi_dagster.demo.scoring`.
"""

from __future__ import annotations

import csv
import json
import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from cofi_dagster.demo.recording import FORMS, RATE, Cast, record, write
from cofi_dagster.demo.scripts import STORIES, TRADES, Story, Trade
from cofi_dagster.demo.synthesis import Voice

CALL_COLUMNS = (
    "audioName", "callStart", "callEnd", "durationSeconds", "clientCode", "clientPhone", "dealerId", "extension",
    "direction",
)  # fmt: skip
TRADE_COLUMNS = (
    "orderId", "tradeId", "clientCode", "clientPhone", "symbol", "side", "quantity", "price", "orderTime", "tradeTime",
    "exchange", "dealerId", "status",
)  # fmt: skip

_DEALERS = (Voice("gmw/en-US", 140, 45), Voice("gmw/en-US+m3", 140, 42))
_CLIENTS = (Voice("gmw/en-US+f2", 135, 55), Voice("gmw/en-US+f5", 135, 55), Voice("gmw/en-US+m5", 135, 58))
_ANNOUNCEMENT = Voice("gmw/en-GB-x-rp+f2", 150, 55)
_DEALER_HINDI = Voice("inc/hi", 140, 45)
_CLIENTS_HINDI = (Voice("inc/hi+f2", 135, 55), Voice("inc/hi+m3", 135, 55))
_KEY = re.compile(r"(\d{4}-\d{2}-\d{2})_([1-9]\d*)")
_DEALER_ID = "D07"
_DAMAGED_BYTES = 48_000


@dataclass(frozen=True, slots=True)
class _Call:
    story: Story
    audio_name: str
    start: datetime
    seconds: float


def make_demo_batch(root: Path, key: str | None = None, seed: int = 7) -> Path:
    """Make ``<root>/<key>/`` and ``<root>/<key>.truth.json``; returns the directory.

    Args:
        root: where batch directories arrive; made if it is not there.
        key: ``<date>_<number>``; by default today's date (UTC) with the first number that is free.
        seed: settles voices, pauses, noise and identifiers. The stories are always the same.

    Raises:
        ValueError: ``key`` is no batch key.
        FileExistsError: the directory is there already.
        OSError: a file cannot be written.
        SynthesisError: the synthesiser is missing.
    """
    root.mkdir(parents=True, exist_ok=True)
    key = key or _free_key(root, datetime.now(UTC).date())
    match = _KEY.fullmatch(key)
    if match is None:
        raise ValueError(f"{key!r} is no batch key of the form 2026-01-15_1")
    day = date.fromisoformat(match.group(1))
    directory = root / key
    directory.mkdir()
    draw = random.Random(seed)
    calls = [_make_call(story, day, directory, draw) for story in STORIES]
    _write_csv(directory / "callMetadata.csv", CALL_COLUMNS, [_call_row(call, draw) for call in calls])
    order_ids = [str(1_100_000_000_000_000 + draw.randrange(10**14) * 10 + i) for i in range(len(TRADES))]
    rows = [_trade_row(trade, order_id, day, draw) for trade, order_id in zip(TRADES, order_ids, strict=True)]
    _write_csv(directory / "tradeMetadata.csv", TRADE_COLUMNS, rows)
    truth = json.dumps(_truth(key, calls, order_ids), ensure_ascii=False, indent=1)
    truth_path(directory).write_text(truth, encoding="utf-8")
    (directory / "_SUCCESS").touch()
    return directory


def truth_path(directory: Path) -> Path:
    """Where the truth about a batch directory lies."""
    return directory.with_name(f"{directory.name}.truth.json")


def _free_key(root: Path, day: date) -> str:
    number = 1
    while (root / f"{day}_{number}").exists():
        number += 1
    return f"{day}_{number}"


def _make_call(story: Story, day: date, directory: Path, draw: random.Random) -> _Call:
    start = datetime.fromisoformat(f"{day}T{story.at}")
    form = FORMS[story.form]
    name = f"{day:%Y%m%d}_{start:%H%M%S}_{_DEALER_ID}_{_phone(story.client)}{form.suffix}"
    if story.talk is None:
        (directory / name).write_bytes(draw.randbytes(_DAMAGED_BYTES))
        return _Call(story, name, start, 31.0)
    client = draw.choice(_CLIENTS)
    cast = Cast(draw.choice(_DEALERS), client, _ANNOUNCEMENT, _DEALER_HINDI, draw.choice(_CLIENTS_HINDI))
    call = record(story.talk, cast, draw)
    write(directory / name, call, form)
    return _Call(story, name, start, call.shape[1] / RATE)


def _phone(client: str) -> str:
    """The last ten digits of a client's telephone."""
    return f"98200{client.removeprefix('C').zfill(5)}"


def _call_row(call: _Call, draw: random.Random) -> Sequence[Any]:
    story = call.story
    end = call.start + timedelta(seconds=round(call.seconds))
    phone = draw.choice(("", "0", "+91", "+91 ")) + _phone(story.client)
    code = "" if story.by_phone else story.client
    return (
        call.audio_name, call.start, end, round(call.seconds, 1), code, phone, _DEALER_ID, draw.randint(201, 209),
        "inbound",
    )  # fmt: skip


def _trade_row(trade: Trade, order_id: str, day: date, draw: random.Random) -> Sequence[Any]:
    ordered = datetime.fromisoformat(f"{day}T{trade.at}")
    traded = ordered + timedelta(seconds=draw.randint(1, 40))
    return (
        order_id, f"T{draw.randrange(10**8):08}", trade.client, _phone(trade.client), trade.symbol, trade.side.upper(),
        trade.quantity, f"{trade.price:.2f}", ordered, traded, trade.exchange, _DEALER_ID, "COMPLETE",
    )  # fmt: skip


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)


def _truth(key: str, calls: Sequence[_Call], order_ids: Sequence[str]) -> dict[str, Any]:
    """Per call what it is and what was said in it; per order which call is its evidence and what to find fault with."""
    audio = {call.story.name: call.audio_name for call in calls}
    return {
        "key": key,
        "calls": {
            call.audio_name: {
                "story": call.story.name,
                "language": call.story.language,
                "status": list(call.story.status),
                "words": call.story.talk and [line.strip() for line in call.story.talk.strip().splitlines()],
                "said": [asdict(said) for said in call.story.said],
            }
            for call in calls
        },
        "trades": {
            order_id: {
                "story": trade.evidence,
                "order": f"{trade.side} {trade.quantity} {trade.symbol} for {trade.client} at {trade.at}",
                "evidence": audio[trade.evidence] if trade.evidence else None,
                "verdict": trade.verdict,
            }
            for order_id, trade in zip(order_ids, TRADES, strict=True)
        },
    }
