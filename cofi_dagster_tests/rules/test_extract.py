from __future__ import annotations

import pytest

from cofi_dagster.audit import evidence
from cofi_dagster.audit.requests import Segment, llm1_request
from cofi_dagster.node.rules import complete
from cofi_dagster_tests.rules import dialogues
from cofi_dagster_tests.rules.asking import call, content, orders
from cofi_dagster_tests.rules.dialogues import Dialogue, Label

WRITTEN_FOR = dialogues.load("dialogues.txt") + dialogues.load("unseen_dialogues.txt")


def heard(dialogue: Dialogue) -> list[Label]:
    segments = [Segment(s["segment"], s["speaker"], s["text"]) for s in dialogue.segments]
    reply = complete(llm1_request(segments, model="rules"))
    return [dialogues.said(order) for order in content(reply)["conversations"]]


@pytest.mark.parametrize("dialogue", WRITTEN_FOR, ids=lambda dialogue: dialogue.name)
def test_a_labelled_dialogue_gives_its_orders_and_no_others(dialogue: Dialogue) -> None:
    assert sorted(map(str, heard(dialogue))) == sorted(map(str, dialogue.orders))


def test_dialogues_that_no_rule_was_fitted_to_keep_their_measured_score() -> None:
    held_out = dialogues.load("held_out_dialogues.txt")
    precision, recall = dialogues.score([(dialogue.orders, heard(dialogue)) for dialogue in held_out])
    assert precision >= 0.8
    assert recall >= 0.8


@pytest.mark.parametrize("dialogue", WRITTEN_FOR, ids=lambda dialogue: dialogue.name)
def test_every_quote_stands_verbatim_in_the_segment_that_it_cites(dialogue: Dialogue) -> None:
    segments = [Segment(s["segment"], s["speaker"], s["text"]) for s in dialogue.segments]
    assert all(evidence.check(order.evidence, segments)[0] == "verified" for order in orders(segments))


def test_an_order_rests_on_what_was_said_what_was_read_back_and_the_assent() -> None:
    (order,) = orders(call("C: buy fifty tcs at market", "A: buying fifty tcs at market", "C: yes"))
    assert [item["segment"] for item in order.evidence] == [0, 1, 2]


def test_what_was_not_said_stays_unknown() -> None:
    (order,) = orders(call("C: buy reliance", "A: ok sir"))
    assert (order.side, order.quantity, order.price, order.price_type) == ("buy", None, None, None)


def test_lots_are_no_number_of_shares() -> None:
    (order,) = orders(call("C: buy two lots of reliance at market", "A: two lots reliance buy", "C: yes"))
    assert order.quantity is None


@pytest.mark.parametrize("text", ["", "   ", "...", "hello", "do", "₹", "yes yes yes", "no", "cancel", "at at 5 5"])
def test_talk_without_an_order_gives_none(text: str) -> None:
    assert orders(call(f"C: {text}", f"A: {text}")) == []
