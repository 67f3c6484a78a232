"""Step 1: which calls may be a trade's evidence, by metadata alone."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cofi_dagster.triage.order_book import phone_key
from cofi_dagster.triage.step1 import Matches, match

ORDER_TIME = datetime(2026, 1, 15, 11)
TRADE_COLUMNS = ["id", "orderId", "clientCode", "clientPhone", "orderTime"]
CALL_COLUMNS = ["callId", "audioName", "callStart", "clientCode", "clientPhone"]


def trade(number: int = 1, **changes: Any) -> dict[str, Any]:
    base = {"id": number, "orderId": f"o{number}", "clientCode": "C1", "clientPhone": None, "orderTime": ORDER_TIME}
    return base | changes


def call(number: int = 1, minutes_before: float | None = 5, **changes: Any) -> dict[str, Any]:
    start = None if minutes_before is None else ORDER_TIME - timedelta(minutes=minutes_before)
    base = {"callId": number, "audioName": f"{number}.wav", "callStart": start, "clientCode": "C1", "clientPhone": None}
    return base | changes


def matched(trades: list[dict[str, Any]], calls: list[dict[str, Any]], window: float = 30) -> Matches:
    return match(
        pd.DataFrame(trades, columns=TRADE_COLUMNS), pd.DataFrame(calls, columns=CALL_COLUMNS), window_minutes=window
    )


def tiers(result: Matches) -> list[tuple[int, str]]:
    return list(zip(result.mappings["callId"], result.mappings["matchTier"], strict=True))


def test_the_nearest_preceding_call_of_the_client_wins_and_all_candidates_get_a_row():
    result = matched([trade()], [call(1, 20), call(2, 5), call(3, -1)])
    assert result.audio_names == {1: "2.wav"}
    assert tiers(result) == [(2, "client_window"), (1, "client_window")]
    assert result.mappings["score"].is_monotonic_decreasing
    assert set(result.mappings["step"]) == {1}


@pytest.mark.parametrize(
    ("minutes", "tier"),
    [
        (1 / 60, "client_window"),
        (30, "client_window"),
        (30.01, "weak_same_day"),
        (0, None),
        (-0.01, None),
        (None, None),
    ],
)
def test_the_window_includes_its_edge_and_excludes_the_second_of_the_order(minutes, tier):
    result = matched([trade()], [call(1, minutes)])
    assert [found for _, found in tiers(result)] == ([tier] if tier else [])
    assert result.audio_names == {1: "1.wav" if tier == "client_window" else None}


def test_a_client_match_goes_before_a_nearer_phone_match():
    phone = {"clientPhone": "9876543210"}
    calls = [call(1, 20), call(2, 1, clientCode="C2", clientPhone="+91-98765 43210")]
    assert matched([trade(**phone)], calls).audio_names == {1: "1.wav"}
    assert tiers(matched([trade(**phone)], calls[1:])) == [(2, "phone_window")]


def test_a_weak_match_makes_rows_but_no_evidence():
    result = matched(
        [trade(clientPhone="9876543210")], [call(1, 120), call(2, 90, clientCode=None, clientPhone="09876543210")]
    )
    assert tiers(result) == [(2, "weak_same_day"), (1, "weak_same_day")]
    assert result.audio_names == {1: None}


def test_yesterdays_call_is_not_even_weak_but_a_window_reaches_over_midnight():
    midnight = datetime(2026, 1, 15, 0, 10)
    before = [
        call(1) | {"callStart": datetime(2026, 1, 14, 23, 50)},
        call(2) | {"callStart": datetime(2026, 1, 14, 12)},
    ]
    assert tiers(matched([trade(orderTime=midnight)], before)) == [(1, "client_window")]
    assert tiers(matched([trade()], before)) == []


def test_fills_of_one_order_get_the_same_result_by_the_earliest_time_given():
    later = ORDER_TIME + timedelta(minutes=10)
    result = matched([trade(1, orderId="X"), trade(2, orderId="X", orderTime=later)], [call(1, 5), call(2, -2)])
    assert result.audio_names == {1: "1.wav", 2: "1.wav"}


@pytest.mark.parametrize("code", ["c1", " C1 "])
def test_client_codes_ignore_case_and_spaces(code):
    assert matched([trade()], [call(clientCode=code)]).audio_names == {1: "1.wav"}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("+91 98765 43210", "09876543210", True),
        ("९८७६५४३२१०", "9876543210", True),
        ("22334455", "2233-4455", True),
        ("22334455", "022 2233 4455", False),
        ("4321", "4321", False),
        ("9999999999", "9999999999", False),
        ("9.19877E+11", "9.19877E+11", False),
        ("", "", False),
        (None, float("nan"), False),
    ],
)
def test_phones_are_the_same_by_ten_digits_or_not_at_all(one, other, same):
    assert (phone_key(one) == phone_key(other) != "") is same


def test_empty_codes_and_missing_times_match_nothing():
    nobody = {"clientCode": None, "clientPhone": ""}
    assert matched([trade(**nobody)], [call(**nobody)]).audio_names == {1: None}
    assert matched([trade(orderTime=None)], [call()]).audio_names == {1: None}


def test_no_trades_or_no_calls_are_no_matches():
    assert matched([], [call()]).audio_names == {}
    assert len(matched([trade()], []).mappings) == 0


def test_ten_thousand_trades_and_calls_on_one_day_take_about_a_second():
    trades = [
        trade(number, clientCode=f"C{number % 500}", orderTime=ORDER_TIME + timedelta(seconds=number * 7 % 20000))
        for number in range(10_000)
    ]
    calls = [call(number, -(number * 11 % 20000) / 60, clientCode=f"C{number * 3 % 500}") for number in range(10_000)]
    start = time.perf_counter()
    result = matched(trades, calls)
    elapsed = time.perf_counter() - start
    assert len(result.mappings) > 10_000
    assert elapsed < 10


people = st.sampled_from(
    [("C1", None), ("C2", None), ("C1", "9876543210"), (None, "919876543210"), ("C3", "9876543210")]
)
seconds = st.integers(-5000, 5000)
some_trades = st.lists(st.tuples(people, seconds, st.sampled_from(["a", "b", "c", ""])), min_size=1, max_size=6)
some_calls = st.lists(st.tuples(people, st.none() | seconds), max_size=8)


def build(trades: list[Any], calls: list[Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    return (
        [
            trade(n, orderId=order, clientCode=who[0], clientPhone=who[1], orderTime=ORDER_TIME + timedelta(seconds=at))
            for n, (who, at, order) in enumerate(trades)
        ],
        [
            call(n, None if at is None else -at / 60, clientCode=who[0], clientPhone=who[1])
            for n, (who, at) in enumerate(calls)
        ],
    )


@settings(max_examples=60, deadline=None)
@given(some_trades, some_calls)
def test_a_call_after_the_order_is_never_evidence_and_a_weak_one_never_names_the_audio(trades, calls):
    trade_rows, call_rows = build(trades, calls)
    result = matched(trade_rows, call_rows, window=20)
    starts = {row["callId"]: row["callStart"] for row in call_rows}
    times = {row["id"]: row["orderTime"] for row in trade_rows}
    assert set(result.audio_names) == set(times)
    for found in result.mappings.to_dict("records"):
        assert starts[found["callId"]] < times[found["tradeMetadataId"]]
        assert 0 <= found["score"] <= 1
        if found["matchTier"] == "weak_same_day":
            assert result.audio_names[found["tradeMetadataId"]] is None


@settings(max_examples=60, deadline=None)
@given(some_trades, some_calls, st.randoms())
def test_row_order_and_unrelated_calls_change_nothing(trades, calls, shuffler):
    trade_rows, call_rows = build(trades, calls)
    expected = matched(trade_rows, call_rows)
    stranger = call(99, 3, clientCode="STRANGER", clientPhone="9000000001")
    again_trades, again_calls = list(trade_rows), [*call_rows, stranger]
    shuffler.shuffle(again_trades)
    shuffler.shuffle(again_calls)
    again = matched(again_trades, again_calls)
    assert again.audio_names == expected.audio_names
    pd.testing.assert_frame_equal(again.mappings, expected.mappings)
