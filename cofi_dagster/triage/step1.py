"""Triaging, step 1: trades and calls matched by metadata alone, before anything was transcribed. No content here.

A call is evidence only if it began **strictly before** the order: times have whole seconds, and nobody gives an order
in the second in which the telephone is answered. An order placed during its call is the normal case.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from itertools import takewhile

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cofi_dagster.triage.grading import TIERS, Tier
from cofi_dagster.triage.order_book import Call, CallIndex, Order, calls_of, orders_of

MAPPING_COLUMNS = ("tradeMetadataId", "callId", "audioName", "matchTier", "score", "step")


@dataclass(frozen=True, slots=True)
class Matches:
    """What step 1 found: rows for ``tradeAudioMapping`` (``MAPPING_COLUMNS``) and the best audio of every trade.

    ``audio_names`` has every trade's id; None where only weak matches, or none, were found.
    """

    mappings: pd.DataFrame
    audio_names: dict[int, str | None]


def match(trades: pd.DataFrame, calls: pd.DataFrame, *, window_minutes: float) -> Matches:
    """Map trades to the calls that may be their evidence: all candidates of the best tier that has any.

    Args:
        trades: ``id, clientCode, clientPhone, orderTime`` and, where fills of one order are to be seen, ``orderId``.
        calls: ``callId, audioName, callStart, clientCode, clientPhone``.
        window_minutes: a call that began exactly so long before the order still counts.
    """
    index = CallIndex(calls_of(calls))
    window = timedelta(minutes=window_minutes)
    starts = np.array([call.start for call in index.calls], dtype="datetime64[us]")
    audio_names: dict[int, str | None] = {}
    rows = _Rows()
    for order in orders_of(trades):
        tier, positions = winning(order, index, window)
        best = index.calls[_nearest(positions, index.calls)].audio_name if tier and tier.is_evidence else None
        audio_names.update(dict.fromkeys(order.trade_ids, best))
        if tier:
            gaps = (np.datetime64(order.time, "us") - starts[positions]).astype(np.float64) / 1e6
            rows.add(order.trade_ids, positions, tier.name, scores(tier, gaps, window))
    return Matches(rows.frame(index.calls), audio_names)


def scores(tier: Tier, gaps: NDArray[np.float64], window: timedelta) -> NDArray[np.float64]:
    """The tier's scores: 0 to 1, lower the longer before the order (``gaps``, in seconds) a call began."""
    reach = tier.reach(window).total_seconds()
    return np.round(tier.best - (tier.best - tier.worst) * np.minimum(gaps / reach, 1.0), 6)


def score_of(tier: Tier, gap: timedelta, window: timedelta) -> float:
    """The tier's score of one call."""
    return float(scores(tier, np.array([gap.total_seconds()]), window)[0])


def span(order: Order, tier: Tier, index: CallIndex, window: timedelta) -> list[int]:
    """Positions in ``index.calls`` of the tier's calls for an order, in time order; all began before it."""
    if order.time is None:
        return []
    since = order.time - min(window, order.time - datetime.min) if tier.in_window else _midnight(order.time)
    found = [index.span(kind, order.key(kind), since, order.time) for kind in tier.keys]
    return found[0] if len(found) == 1 else sorted(set().union(*found))


def _midnight(moment: datetime) -> datetime:
    return datetime.combine(moment.date(), time.min)


def winning(order: Order, index: CallIndex, window: timedelta) -> tuple[Tier | None, list[int]]:
    """The best tier that has calls for an order, and their positions in ``index.calls``."""
    for tier in TIERS:
        if positions := span(order, tier, index, window):
            return tier, positions
    return None, []


def _nearest(positions: list[int], calls: list[Call]) -> int:
    """The latest call; of those that began together, the one with the lowest id. Positions are in that order."""
    latest = calls[positions[-1]].start
    together = takewhile(lambda position: calls[position].start == latest, reversed(positions))
    return list(together)[-1]


class _Rows:
    """Mapping rows as flat arrays: a telephone that many share can make millions of them."""

    def __init__(self) -> None:
        self._trades: list[int] = []
        self._tiers: list[str] = []
        self._positions: list[NDArray[np.int64]] = []
        self._scores: list[NDArray[np.float64]] = []

    def add(self, trade_ids: tuple[int, ...], positions: list[int], tier: str, scores: NDArray[np.float64]) -> None:
        for trade_id in trade_ids:
            self._trades.append(trade_id)
            self._tiers.append(tier)
            self._positions.append(np.array(positions, dtype=np.int64))
            self._scores.append(scores)

    def frame(self, calls: list[Call]) -> pd.DataFrame:
        counts = [len(positions) for positions in self._positions]
        positions = np.concatenate([np.empty(0, dtype=np.int64), *self._positions])
        frame = pd.DataFrame(
            {
                "tradeMetadataId": np.repeat(np.array(self._trades, dtype=np.int64), counts),
                "callId": np.array([call.id for call in calls], dtype=np.int64)[positions],
                "audioName": np.array([call.audio_name for call in calls], dtype=object)[positions],
                "matchTier": np.repeat(np.array(self._tiers, dtype=object), counts),
                "score": np.concatenate([np.empty(0), *self._scores]),
                "step": 1,
            },
            columns=list(MAPPING_COLUMNS),
        )
        in_order = np.lexsort((frame["callId"], -frame["score"], frame["tradeMetadataId"]))
        return frame.iloc[in_order].reset_index(drop=True)
