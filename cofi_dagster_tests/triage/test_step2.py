"""Step 2: what was said settles which call is whose evidence."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cofi_dagster.triage.scrip_names import SAME_SCRIP, similarity
from cofi_dagster.triage.step1 import match
from cofi_dagster.triage.step2 import Refined, refine
from cofi_dagster_tests.triage.synthetic_day import score, synthetic_day

ORDER_TIME = datetime(2026, 1, 15, 11)
CONVERSATION_COLUMNS = ["id", "callId", "symbol", "side", "quantity", "price", "priceType"]
CALL_COLUMNS = ["callId", "audioName", "callStart", "clientCode", "clientPhone", "status"]


def trade(number: int = 1, **changes: Any) -> dict[str, Any]:
    base = {
        "id": number, "orderId": f"o{number}", "clientCode": "C1", "clientPhone": None, "orderTime": ORDER_TIME,
        "symbol": "RELIANCE", "side": "BUY", "quantity": 100.0, "price": 2450.0,
    }  # fmt: skip
    return base | changes


def call(number: int = 1, minutes_before: float = 5, **changes: Any) -> dict[str, Any]:
    return {
        "callId": number, "audioName": f"{number}.wav", "callStart": ORDER_TIME - timedelta(minutes=minutes_before),
        "clientCode": "C1", "clientPhone": None, "status": "AuditDone",
    } | changes  # fmt: skip


def said(call_id: int = 1, **changes: Any) -> dict[str, Any]:
    base = {
        "callId": call_id,
        "symbol": "reliance",
        "side": "BUY",
        "quantity": 100,
        "price": None,
        "priceType": "market",
    }
    return base | changes


def refined(
    trades: list[dict[str, Any]],
    calls: list[dict[str, Any]],
    heard: list[dict[str, Any]],
    unheard: tuple[int, ...] = (),
) -> Refined:
    call_frame, trade_frame = pd.DataFrame(calls, columns=CALL_COLUMNS), pd.DataFrame(trades)
    conversations = [{"id": number} | row for number, row in enumerate(heard, start=1)]
    return refine(
        trade_frame,
        call_frame,
        match(trade_frame, call_frame, window_minutes=30).mappings,
        pd.DataFrame(conversations, columns=CONVERSATION_COLUMNS),
        window_minutes=30,
        asked={row["callId"] for row in calls} - set(unheard),
    )


def settled(result: Refined, trade_id: int = 1) -> tuple[str | None, str | None]:
    return result.verdicts[trade_id], result.audio_names[trade_id]


@pytest.mark.parametrize(
    ("words", "verdict"),
    [
        ({}, "confirmed"),
        ({"symbol": "Reliance Industries Ltd"}, "confirmed"),
        ({"price": 2450, "priceType": "limit"}, "confirmed"),
        ({"price": 2500, "priceType": "limit"}, "confirmed"),
        ({"price": 2445, "priceType": "limit"}, "confirmed"),
        ({"price": 2400, "priceType": "limit"}, "price_outside"),
        ({"price": None, "priceType": None}, "confirmed"),
        ({"quantity": 500}, "confirmed"),
        ({"quantity": 10}, "wrong_quantity"),
        ({"side": "SELL"}, "wrong_side"),
        ({"quantity": None}, None),
        ({"side": None}, None),
    ],
)
def test_one_call_one_trade_and_the_call_is_kept_with_its_verdict(words, verdict):
    result = refined([trade()], [call()], [said(**words)])
    assert settled(result) == (verdict, "1.wav")
    (row,) = result.mappings.to_dict("records")
    assert (row["verdict"], row["step"], row["matchTier"], row["callId"]) == (verdict, 2, "client_window", 1)
    assert 0 < row["score"] <= 1
    assert json.loads(json.dumps(row["detail"]))["reason"]


@pytest.mark.parametrize(
    "words",
    [
        {"symbol": "infosys"},
        {"side": None, "quantity": None},
        {"side": "SELL", "quantity": 30},
    ],
)
def test_a_call_that_speaks_of_something_else_is_withdrawn(words):
    result = refined([trade()], [call()], [said(**words)])
    assert settled(result) == ("not_discussed", None)
    assert list(result.mappings["verdict"]) == ["not_discussed"]


def test_a_sale_below_its_limit_is_outside_and_above_it_is_not():
    limit = {"side": "SELL", "priceType": "limit"}
    assert settled(refined([trade(side="SELL")], [call()], [said(price=2500, **limit)]))[0] == "price_outside"
    assert settled(refined([trade(side="SELL")], [call()], [said(price=2400, **limit)]))[0] == "confirmed"


def test_a_heard_call_without_any_trade_is_not_discussed_but_an_unheard_one_is_no_verdict():
    assert settled(refined([trade()], [call()], [])) == ("not_discussed", None)
    result = refined([trade()], [call()], [], unheard=(1,))
    assert settled(result) == (None, "1.wav")
    assert list(result.mappings["verdict"]) == [None]


@pytest.mark.parametrize("status", ["ShortCall", "NoSpeech", "UnsupportedLanguage"])
def test_a_call_that_no_llm_is_asked_about_keeps_its_mapping_and_says_why(status):
    result = refined([trade()], [call(status=status)], [], unheard=(1,))
    assert settled(result) == (None, "1.wav")
    assert status in result.mappings["detail"].iloc[0]["reason"]


def test_no_candidate_call_is_no_verdict():
    assert settled(refined([trade()], [call(clientCode="C2")], [said()])) == (None, None)


def test_the_farther_call_wins_where_it_is_the_one_that_speaks_of_the_order():
    result = refined([trade()], [call(1, 20), call(2, 5)], [said(1), said(2, symbol="tcs")])
    assert settled(result) == ("confirmed", "1.wav")
    assert dict(zip(result.mappings["callId"], result.mappings["verdict"], strict=True)) == {
        1: "confirmed",
        2: "not_discussed",
    }


def test_an_unheard_call_in_the_window_leaves_open_what_the_heard_one_does_not_say():
    calls = [call(1, 20), call(2, 5)]
    assert settled(refined([trade()], calls, [], unheard=(1,))) == (None, "1.wav")
    assert settled(refined([trade()], calls, [said(2, side="SELL")], unheard=(1,))) == (None, "2.wav")
    assert settled(refined([trade()], calls, [said(2)], unheard=(1,))) == ("confirmed", "2.wav")


def test_a_dropped_call_does_not_stand_in_the_way_of_a_verdict():
    calls = [call(1, 20), call(2, 5, status="ShortCall")]
    assert settled(refined([trade()], calls, [said(1, side="SELL")], unheard=(2,))) == ("wrong_side", "1.wav")


def test_an_earlier_call_of_the_day_is_evidence_only_by_the_very_same_content():
    early = [call(1, 120)]
    result = refined([trade()], early, [said(1)])
    assert settled(result) == ("confirmed", "1.wav")
    assert list(result.mappings["matchTier"]) == ["content_same_day"]
    assert settled(refined([trade()], early, [said(1, quantity=500)])) == ("not_discussed", None)
    assert settled(refined([trade()], early, [said(1, side="SELL")])) == ("not_discussed", None)


def test_the_same_day_is_searched_also_where_step_1_had_a_window_call():
    result = refined([trade()], [call(1, 120), call(2, 5)], [said(1), said(2, symbol="tcs")])
    assert settled(result) == ("confirmed", "1.wav")


def test_a_call_after_the_order_is_no_evidence_whatever_was_said():
    assert settled(refined([trade()], [call(1, 0), call(2, -1)], [said(1), said(2)])) == (None, None)


def test_fills_of_one_order_are_compared_as_their_sum():
    fills = [trade(1, orderId="X", quantity=60.0), trade(2, orderId="X", quantity=40.0)]
    result = refined(fills, [call()], [said(quantity=100)])
    assert result.verdicts == {1: "confirmed", 2: "confirmed"}
    assert result.audio_names == {1: "1.wav", 2: "1.wav"}
    assert refined(fills, [call()], [said(quantity=60)]).verdicts == {1: "wrong_quantity", 2: "wrong_quantity"}


def test_one_call_with_many_orders_is_evidence_for_each_of_its_trades():
    trades = [trade(1), trade(2, symbol="TCS", side="SELL", quantity=10.0), trade(3, symbol="INFY-EQ", quantity=5.0)]
    heard = [said(symbol="t c s", side="SELL", quantity=10), said(), said(symbol="infosys", quantity=5)]
    result = refined(trades, [call()], heard)
    assert set(result.verdicts.values()) == {"confirmed"}
    assert {row["conversationId"] for row in result.mappings["detail"]} == {1, 2, 3}


def test_one_thing_said_is_not_evidence_for_two_orders_unless_its_quantity_allows():
    twice = refined([trade(1), trade(2)], [call()], [said(quantity=100)])
    assert sorted(twice.verdicts.values()) == ["confirmed", "not_discussed"]
    split = refined([trade(1, quantity=60.0), trade(2, quantity=40.0)], [call()], [said(quantity=100)])
    assert set(split.verdicts.values()) == {"confirmed"}
    over = refined([trade(1, quantity=60.0), trade(2, quantity=50.0)], [call()], [said(quantity=100)])
    assert sorted(over.verdicts.values()) == ["confirmed", "wrong_quantity"]


def test_the_same_order_given_twice_has_each_its_own_call():
    first, second = trade(1, orderTime=ORDER_TIME - timedelta(minutes=14)), trade(2)
    result = refined([first, second], [call(1, 20), call(2, 5)], [said(1), said(2)])
    assert result.audio_names == {1: "1.wav", 2: "2.wav"}


@pytest.mark.parametrize(
    ("executed", "spoken", "same"),
    [
        ("RELIANCE", "reliance industries", True),
        ("RELIANCE-EQ", "RIL", True),
        ("RELIANCE.NS", "reliance", True),
        ("TATAMOTORS", "tata moters", True),
        ("TATAMOTORS", "tata steel", False),
        ("TATAMOTORS", "tata", False),
        ("HDFCBANK", "hdfc life", False),
        ("BANDHANBNK", "bandhan bank", True),
        ("NIFTY26JAN23500CE", "nifty 23500 call", True),
        ("NIFTY26JAN23500CE", "nifty 23500 put", False),
        ("", "reliance", False),
        ("RELIANCE", "", False),
    ],
)
def test_scrips_are_known_by_their_synonyms_and_not_by_their_neighbours(executed, spoken, same):
    assert (similarity(executed, spoken) >= SAME_SCRIP) is same


def test_a_synthetic_day_is_matched_as_measure_10_asks(capsys):
    found: list[tuple[float, ...]] = []
    for seed in (20260115, 1, 2):
        day = synthetic_day(1000, seed)
        first = match(day.trades, day.calls, window_minutes=30)
        second = refine(
            day.trades, day.calls, first.mappings, day.conversations, window_minutes=30, asked=day.asked
        )  # fmt: skip
        agree = sum(second.verdicts[trade_id] == verdict for trade_id, verdict in day.verdicts.items())
        one, two = score(first.audio_names, day.evidence), score(second.audio_names, day.evidence)
        found.append((one.precision, one.recall, two.precision, two.recall, agree / len(day.verdicts)))
    means = [sum(column) / len(column) for column in zip(*found, strict=True)]
    with capsys.disabled():
        print("\nstep 1 precision {:.3f} recall {:.3f}; step 2 {:.3f} {:.3f}; verdicts {:.3f}".format(*means))  # noqa: T201
    assert means[0] > 0.6
    assert means[2] >= 0.99
    assert means[3] >= 0.97
    assert means[4] >= 0.85


moments = st.integers(-90, 200)
scrips = st.sampled_from(["RELIANCE", "TCS"])
sides = st.sampled_from(["BUY", "SELL"])
amounts = st.sampled_from([50, 100])
some_trades = st.lists(
    st.tuples(moments, scrips, sides, amounts, st.sampled_from(["C1", "C2"])), min_size=1, max_size=5
)
some_calls = st.lists(
    st.tuples(
        moments, st.sampled_from(["C1", "C2"]), st.booleans(), st.lists(st.tuples(scrips, sides, amounts), max_size=3)
    ),
    max_size=6,
)


@settings(max_examples=80, deadline=None)
@given(some_trades, some_calls, st.randoms())
def test_order_of_rows_and_unrelated_calls_change_nothing_and_evidence_comes_before(trades, calls, shuffler):
    phone = "9876543210"
    trade_rows = [
        trade(
            n,
            orderTime=ORDER_TIME + timedelta(minutes=at),
            symbol=scrip,
            side=side,
            quantity=float(amount),
            clientCode=who,
        )
        | {"clientPhone": phone}
        for n, (at, scrip, side, amount, who) in enumerate(trades, start=1)
    ]
    call_rows = [call(n, -at, clientCode=who, clientPhone=phone) for n, (at, who, _, _) in enumerate(calls, start=1)]
    unheard = tuple(n for n, (_, _, is_heard, _) in enumerate(calls, start=1) if not is_heard)
    heard = [
        said(n, symbol=scrip, side=side, quantity=amount)
        for n, (_, _, _, trades_said) in enumerate(calls, start=1)
        for scrip, side, amount in trades_said
    ]
    expected = refined(trade_rows, call_rows, heard, unheard)
    starts = {row["audioName"]: row["callStart"] for row in call_rows}
    for row in trade_rows:
        name = expected.audio_names[row["id"]]
        assert name is None or starts[name] < row["orderTime"]
        assert expected.verdicts[row["id"]] != "not_discussed" or name is None
    numbered = [{"id": n} | row for n, row in enumerate(heard, start=1)]
    stranger = call(99, 1, clientCode="X", clientPhone="9000000001")
    numbered.append({"id": 999} | said(99))
    again_trades, again_calls = list(trade_rows), [*call_rows, stranger]
    for rows in (again_trades, again_calls, numbered):
        shuffler.shuffle(rows)
    again = refined(again_trades, again_calls, numbered, unheard)
    assert again.audio_names == expected.audio_names
    assert again.verdicts == expected.verdicts
    pd.testing.assert_frame_equal(again.mappings, expected.mappings)
