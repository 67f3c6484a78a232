"""Triaging, step 2: what LLM1 heard beside what was executed. It confirms, re-ranks or withdraws step 1's mappings.

The rules, each of which a test holds:

- A call that began at or after the order is never looked at.
- A trade that was heard is evidence for as much as its quantity allows: several orders may share it, none twice.
- An order whose scrip, side, quantity and price fit is ``confirmed``, be the call step 1's or another one: in the
  window by the client or the phone, or (``content_same_day``) earlier that day, there only with the same quantity.
- A discrepancy is named only against a call that step 1 put forward within the window, and keeps that call.
- A call that LLM1 has not answered for is unheard, not silent: its mapping stays, and no verdict is given.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pandas as pd

from cofi_dagster.triage.content import Comparison, Said, compare, said_of
from cofi_dagster.triage.grading import (
    CONFIRMED,
    CONTENT_SAME_DAY,
    CONTENT_SHARE,
    NOT_DISCUSSED,
    TIERS,
    WRONG_SIDE,
    Tier,
)
from cofi_dagster.triage.order_book import Call, CallIndex, Order, calls_of, orders_of
from cofi_dagster.triage.step1 import MAPPING_COLUMNS, score_of, span

REFINED_COLUMNS = (*MAPPING_COLUMNS, "verdict", "detail")

EMPTY_CALLS = frozenset({"ShortCall", "NoSpeech"})
"""Calls in which no order can have been given: they never stand in the way of a verdict on the others."""


@dataclass(frozen=True, slots=True)
class Refined:
    """Rows for ``tradeAudioMapping`` (``REFINED_COLUMNS``), and the audio and the verdict of every trade."""

    mappings: pd.DataFrame
    audio_names: dict[int, str | None]
    verdicts: dict[int, str | None]


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A call that may hold the order, by its best tier; ``put_forward``: step 1 proposed it."""

    call: Call
    tier: Tier
    score: float
    put_forward: bool


@dataclass(frozen=True, slots=True)
class _Pair:
    """An order, a candidate call, and a trade that was heard in that call about the same scrip."""

    candidate: _Candidate
    said: Said
    comparison: Comparison

    @property
    def score(self) -> float:
        return round(CONTENT_SHARE * self.comparison.score + (1 - CONTENT_SHARE) * self.candidate.score, 6)


@dataclass(slots=True)
class _Case:
    """One order on its way through step 2."""

    order: Order
    candidates: dict[int, _Candidate]
    pairs: list[_Pair] = field(default_factory=list)
    found: _Pair | None = None


def refine(
    trades: pd.DataFrame,
    calls: pd.DataFrame,
    mappings: pd.DataFrame,
    conversations: pd.DataFrame,
    *,
    window_minutes: float,
    asked: Collection[int],
) -> Refined:
    """Compare what was executed with what was said, and settle which call is whose evidence.

    Args:
        trades: as for step 1, and ``symbol, side, quantity, price``.
        calls: as for step 1, and ``status``.
        mappings: step 1's rows.
        conversations: ``id, callId, symbol, side, quantity, price, priceType``: of each call the newest answer only.
        window_minutes: as for step 1.
        asked: the calls whose LLM1 is done, also those in which it heard no trade.
    """
    index = CallIndex(calls_of(calls))
    window = timedelta(minutes=window_minutes)
    mapped: dict[int, set[int]] = {}
    for trade_id, call_id in zip(mappings["tradeMetadataId"], mappings["callId"], strict=True):
        mapped.setdefault(int(trade_id), set()).add(int(call_id))
    heard: dict[int, list[Said]] = {call_id: [] for call_id in asked}
    for said in said_of(conversations):
        if said.call_id in heard:
            heard[said.call_id].append(said)
    cases = [_Case(order, _candidates(order, index, window, mapped)) for order in orders_of(trades)]
    _allocate(cases, heard)
    return _refined(cases, heard)


def _candidates(
    order: Order, index: CallIndex, window: timedelta, mapped: dict[int, set[int]]
) -> dict[int, _Candidate]:
    """Every call of the client or the phone that began before the order, in the window or earlier that day.

    Where step 1 did not run, its winning tier counts as put forward.
    """
    proposed: set[int] = set().union(*(mapped.get(trade_id, ()) for trade_id in order.trade_ids))
    found: dict[int, _Candidate] = {}
    for tier in TIERS:
        for position in span(order, tier, index, window):
            call = index.calls[position]
            if order.time is not None and call.id not in found:
                score = score_of(tier, order.time - call.start, window)
                found[call.id] = _Candidate(call, tier, score, call.id in proposed)
    if not any(one.put_forward for one in found.values()):
        winner = next((one.tier for one in found.values()), None)
        return {key: replace(one, put_forward=one.tier is winner) for key, one in found.items()}
    return found


def _allocate(cases: list[_Case], heard: Mapping[int, list[Said]]) -> None:
    """Give each order the heard trade that fits it best: what fits wholly first, then what is incomplete or differs.

    Greedy by score: quantities that were heard are used up, so the choice of one order leaves less for the others.
    """
    left = {said.id: said.quantity for said_list in heard.values() for said in said_list}
    for case in cases:
        case.pairs = _pairs(case, heard)
    for case, pair in _ranked(cases):
        remaining = left[pair.said.id]
        if case.found is None and _fits(pair) and (remaining is None or (case.order.quantity or 0) <= remaining):
            case.found = pair
            left[pair.said.id] = 0.0 if remaining is None else remaining - (case.order.quantity or 0)
    for case, pair in _ranked(cases):
        remaining = left[pair.said.id]
        if case.found is None and pair.candidate.put_forward and pair.candidate.tier.is_evidence and remaining != 0:
            rest = compare(case.order, pair.said, remaining)
            if rest is not None and (rest.verdict != WRONG_SIDE or remaining == pair.said.quantity):
                case.found = _Pair(pair.candidate, pair.said, rest)
                left[pair.said.id] = 0.0


def _pairs(case: _Case, heard: Mapping[int, list[Said]]) -> list[_Pair]:
    return [
        _Pair(candidate, said, comparison)
        for candidate in case.candidates.values()
        for said in heard.get(candidate.call.id, ())
        if (comparison := compare(case.order, said, said.quantity)) is not None
    ]


def _fits(pair: _Pair) -> bool:
    """Whether this is evidence; outside the window only with the very same quantity, as nothing else ties the two."""
    agrees = pair.comparison.verdict == CONFIRMED
    return agrees and (pair.candidate.tier.is_evidence or pair.comparison.exact_quantity)


def _ranked(cases: list[_Case]) -> list[tuple[_Case, _Pair]]:
    """All pairs, best first; ids settle what is equal, so that the order of rows never does."""
    pairs = [(case, pair) for case in cases for pair in case.pairs]
    return sorted(pairs, key=lambda item: (-item[1].score, item[0].order.trade_ids[0], item[1].said.id))


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of an order: its verdict, the call that stays its evidence, and why."""

    verdict: str | None
    kept: _Candidate | None
    reason: str


def _settle(case: _Case, heard: Mapping[int, list[Said]]) -> _Outcome:
    window = [candidate for candidate in case.candidates.values() if candidate.tier.is_evidence]
    unheard = [one for one in window if one.call.id not in heard and one.call.status not in EMPTY_CALLS]
    if case.found is not None:
        verdict, reason = case.found.comparison.verdict, case.found.comparison.reason
        if unheard and verdict != CONFIRMED:
            return _Outcome(
                None, case.found.candidate, f"{reason}, but another call that may hold the order is unheard"
            )
        return _Outcome(verdict, case.found.candidate, reason)
    if unheard:
        return _Outcome(None, _best(unheard), "LLM1 has not answered for a call that may hold the order")
    looked_at = window or [one for one in case.candidates.values() if one.put_forward]
    if any(one.call.id in heard for one in looked_at):
        missing = [one for one in looked_at if one.call.id not in heard and one.call.status not in EMPTY_CALLS]
        return _Outcome(None if missing else NOT_DISCUSSED, None, "no call that may hold the order speaks of it")
    proposed = [one for one in window if one.put_forward]
    return _Outcome(None, _best(proposed), "no call that may hold the order could be heard")


def _best(candidates: list[_Candidate]) -> _Candidate | None:
    return min(candidates, key=lambda one: (-one.score, one.call.id), default=None)


def _refined(cases: list[_Case], heard: Mapping[int, list[Said]]) -> Refined:
    result = Refined(pd.DataFrame(), {}, {})
    rows: list[tuple[Any, ...]] = []
    for case in cases:
        outcome = _settle(case, heard)
        name = outcome.kept.call.audio_name if outcome.kept else None
        result.audio_names.update(dict.fromkeys(case.order.trade_ids, name))
        result.verdicts.update(dict.fromkeys(case.order.trade_ids, outcome.verdict))
        lines = [
            _row(case, one, outcome, heard)
            for one in case.candidates.values()
            if one.put_forward or one is outcome.kept
        ]
        rows += [(trade_id, *line) for trade_id in case.order.trade_ids for line in lines]
    rows.sort(key=lambda row: (row[0], -row[4], row[1]))
    frame = pd.DataFrame(
        {name: pd.Series([row[at] for row in rows], dtype=kind) for at, (name, kind) in enumerate(_COLUMNS)}
    )
    return replace(result, mappings=frame)


_COLUMNS = tuple(
    zip(REFINED_COLUMNS, ("int64", "int64", "object", "object", "float64", "int64", "object", "object"), strict=True)
)


def _row(case: _Case, candidate: _Candidate, outcome: _Outcome, heard: Mapping[int, list[Said]]) -> tuple[Any, ...]:
    """The mapping of one candidate call, from ``callId`` on."""
    kept = candidate is outcome.kept
    own = [pair for pair in case.pairs if pair.candidate is candidate]
    pair = case.found if kept else max(own, key=lambda pair: (pair.score, -pair.said.id), default=None)
    if candidate.call.id not in heard:
        status = candidate.call.status
        reason = f"the call is {status}" if status in _UNANSWERABLE else "LLM1 has not answered for this call"
        verdict, score = None, candidate.score
    elif kept:
        verdict, reason, score = outcome.verdict, outcome.reason, pair.score if pair else candidate.score
    elif pair is None:
        verdict, reason, score = NOT_DISCUSSED, "the call does not speak of the order", 0.0
    else:
        verdict, score = (None if case.found else outcome.verdict), pair.score
        other = "another call or trade fits better" if case.found else "used by another order, or outside the window"
        reason = f"spoken of ({pair.comparison.reason}), but {other}"
    tier = CONTENT_SAME_DAY if kept and not candidate.tier.is_evidence else candidate.tier.name
    detail = _detail(case.order, candidate, pair, reason)
    return candidate.call.id, candidate.call.audio_name, tier, score, 2, verdict, detail


_UNANSWERABLE = EMPTY_CALLS | {"UnsupportedLanguage"}


def _detail(order: Order, candidate: _Candidate, pair: _Pair | None, reason: str) -> dict[str, Any]:
    """Why the score is what it is, as JSON."""
    assert order.time is not None  # an order without a time has no candidates
    executed = {
        "symbol": order.symbol,
        "side": order.side,
        "quantity": order.quantity,
        "prices": sorted(set(order.prices)),
    }
    detail: dict[str, Any] = {
        "reason": reason,
        "minutesBefore": round((order.time - candidate.call.start).total_seconds() / 60, 2),
        "tierScore": candidate.score,
        "executed": executed,
    }
    if pair is not None:
        detail |= {"components": pair.comparison.components, "said": pair.said.shown(), "conversationId": pair.said.id}
    return detail
