"""Batch directories of tiny files for tests and benchmarks. What is said in them is for the simulator to say."""

from __future__ import annotations

import csv
import struct
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from cofi_dagster.settings import parse_batch_key
from cofi_dagster_tests.fleet_simulator.calls import distribution, length, trades_of

RATE = 8000
"""Samples a second, as telephony has them."""

CALL_COLUMNS = (
    "audioName", "callStart", "callEnd", "durationSeconds", "clientCode", "clientPhone", "dealerId", "extension",
    "direction",
)  # fmt: skip
TRADE_COLUMNS = (
    "orderId", "tradeId", "clientCode", "clientPhone", "symbol", "side", "quantity", "price", "orderTime",
    "tradeTime", "exchange", "dealerId", "status",
)  # fmt: skip


def wav(seconds: float = 0.05, mark: str = "") -> bytes:
    """A mono 16-bit WAV at 8 kHz whose samples follow from ``mark``, so that no two files are the same."""
    samples = int(seconds * RATE)
    seed = mark.encode("utf-8", "surrogateescape")[-64:] or b"\0"
    data = (seed * (2 * samples // len(seed) + 1))[: 2 * samples]
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, RATE, 2 * RATE, 2, 16)
    return (
        struct.pack("<4sI4s", b"RIFF", 36 + len(data), b"WAVE") + form + struct.pack("<4sI", b"data", len(data)) + data
    )


def names(files: int) -> list[str]:
    """The names of a batch's files."""
    return [f"call_{number:06d}.wav" for number in range(files)]


def make_batch(
    root: Path,
    key: str,
    files: int | Sequence[str] = 10,
    *,
    calls: bool = True,
    trades: bool = True,
    durations: str = "uniform:20:120",
    complete: bool = True,
) -> Path:
    """Make the batch directory ``root/key`` and return it.

    Each call has a client of its own. Its orders are those that the simulator lets be spoken of in it, each placed ten
    seconds after the call ended; so a right pipeline finds evidence for every one. ``durations`` must be the
    simulator's own, for the lengths in ``callMetadata.csv`` to be the calls'.
    """
    folder = root / key
    folder.mkdir(parents=True)
    audio = names(files) if isinstance(files, int) else list(files)
    for name in audio:
        (folder / name).write_bytes(wav(mark=name))
    rows = list(_calls(audio, key, durations))
    if calls:
        _write(folder / "callMetadata.csv", CALL_COLUMNS, rows)
    if trades:
        _write(folder / "tradeMetadata.csv", TRADE_COLUMNS, _trades(rows))
    if complete:
        (folder / "_SUCCESS").touch()
    return folder


def _calls(audio: Iterable[str], key: str, durations: str) -> Iterable[dict[str, str]]:
    day, _ = parse_batch_key(key)
    opening = datetime(day.year, day.month, day.day, 9, 15)
    lengths = distribution(durations)
    for number, name in enumerate(audio):
        start = opening + timedelta(seconds=number % 20_000)
        seconds = int(length(lengths, name))
        yield {
            "audioName": name,
            "callStart": start.isoformat(sep=" "),
            "callEnd": (start + timedelta(seconds=seconds)).isoformat(sep=" "),
            "durationSeconds": str(seconds),
            "clientCode": f"C{number:06d}",
            "clientPhone": f"9{number:09d}",
            "dealerId": f"D{number % 7}",
            "extension": str(100 + number % 7),
            "direction": "inbound",
        }


def _trades(calls: Iterable[dict[str, str]]) -> Iterable[dict[str, str]]:
    for number, call in enumerate(calls):
        order_time = datetime.fromisoformat(call["callEnd"]) + timedelta(seconds=10)
        for place, trade in enumerate(trades_of(call["audioName"])):
            yield {
                "orderId": f"12000000{number:06d}{place:02d}",
                "tradeId": f"T{number:06d}{place}",
                "clientCode": call["clientCode"],
                "clientPhone": call["clientPhone"],
                "symbol": trade.symbol,
                "side": trade.side,
                "quantity": str(trade.quantity),
                "price": str(trade.price),
                "orderTime": order_time.isoformat(sep=" "),
                "tradeTime": (order_time + timedelta(seconds=2)).isoformat(sep=" "),
                "exchange": "NSE",
                "dealerId": call["dealerId"],
                "status": "traded",
            }


def _write(path: Path, columns: Sequence[str], rows: Iterable[dict[str, str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, columns)
        writer.writeheader()
        writer.writerows(rows)
