"""Reads the labelled dialogues, and scores what the rules find in them. No test is here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

SPEAKERS = {"A": "agent", "C": "client", "?": None, "1": "SPEAKER_00", "2": "SPEAKER_01"}
Label = tuple[str | None, float | None, str | None, float | str | None]


@dataclass(frozen=True)
class Dialogue:
    name: str
    segments: list[dict[str, Any]]
    orders: list[Label]


def _label(line: str) -> Label:
    side, quantity, symbol, price = (None if part == "-" else part for part in line.split())
    amount = price if price in (None, "market") else float(price)
    return side, float(quantity) if quantity else None, symbol, amount


def load(file: str) -> list[Dialogue]:
    dialogues: list[Dialogue] = []
    for line in (Path(__file__).parent / file).read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            dialogues.append(Dialogue(line[3:], [], []))
        elif line.startswith("=> "):
            dialogues[-1].orders.append(_label(line[3:]))
        elif line and not line.startswith("#"):
            speaker, text = line.split(": ", 1)
            segments = dialogues[-1].segments
            segments.append({"segment": len(segments), "speaker": SPEAKERS[speaker], "text": text})
    return dialogues


def said(order: Any) -> Label:
    """An extracted order, in the shape of a label."""
    price = order["price"] if order["price"] is not None else ("market" if order["price_type"] == "market" else None)
    return order["side"], order["quantity"], order["symbol"], price


def score(pairs: list[tuple[list[Label], list[Label]]]) -> tuple[float, float]:
    """Precision and recall of whole orders (all four values right) over pairs of labels and findings."""
    right = wrong = missed = 0
    for labels, found in pairs:
        rest = list(labels)
        for order in found:
            if order in rest:
                rest.remove(order)
                right += 1
            else:
                wrong += 1
        missed += len(rest)
    return right / (right + wrong), right / (right + missed)
