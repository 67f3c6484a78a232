import csv
import json
import re

import av
import pytest

from cofi_dagster.demo.batch import make_demo_batch, truth_path
from cofi_dagster.demo.recording import RATE, ring
from cofi_dagster.demo.synthesis import SynthesisError, Voice, speak

CALL_HEADER = "audioName,callStart,callEnd,durationSeconds,clientCode,clientPhone,dealerId,extension,direction"
TRADE_HEADER = (
    "orderId,tradeId,clientCode,clientPhone,symbol,side,quantity,price,orderTime,tradeTime,exchange,dealerId,status"
)


@pytest.fixture(scope="module")
def batch(tmp_path_factory):
    return make_demo_batch(tmp_path_factory.mktemp("batches"), "2026-01-15_1")


@pytest.fixture(scope="module")
def truth(batch):
    return json.loads(truth_path(batch).read_text(encoding="utf-8"))


def rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_directory_holds_what_a_broker_delivers_and_nothing_else(batch, truth):
    names = {path.name for path in batch.iterdir()}
    assert names == {*truth["calls"], "callMetadata.csv", "tradeMetadata.csv", "_SUCCESS"}
    assert len(truth["calls"]) >= 20
    assert truth_path(batch).parent == batch.parent


def test_the_csvs_have_the_contract_s_columns(batch):
    assert (batch / "callMetadata.csv").read_text().splitlines()[0] == CALL_HEADER
    assert (batch / "tradeMetadata.csv").read_text().splitlines()[0] == TRADE_HEADER


def test_every_call_and_every_order_is_in_its_csv(batch, truth):
    assert [row["audioName"] for row in rows(batch / "callMetadata.csv")] == list(truth["calls"])
    assert [row["orderId"] for row in rows(batch / "tradeMetadata.csv")] == list(truth["trades"])
    assert all(re.fullmatch(r"\d{16}", order_id) for order_id in truth["trades"])


def test_evidence_began_before_its_order(batch, truth):
    started = {row["audioName"]: row["callStart"] for row in rows(batch / "callMetadata.csv")}
    for row in rows(batch / "tradeMetadata.csv"):
        evidence = truth["trades"][row["orderId"]]["evidence"]
        assert evidence is None or started[evidence] < row["orderTime"]


def test_recordings_are_telephony_and_as_long_as_the_csv_says(batch, truth):
    codecs = set()
    for row in rows(batch / "callMetadata.csv"):
        if truth["calls"][row["audioName"]]["words"] is None:
            with pytest.raises(av.error.InvalidDataError):
                av.open(str(batch / row["audioName"]))
            continue
        with av.open(str(batch / row["audioName"])) as container:
            codecs.add(container.streams.audio[0].codec_context.name)
            assert container.duration / 1e6 == pytest.approx(float(row["durationSeconds"]), abs=0.3)
    assert codecs >= {"pcm_mulaw", "flac", "aac", "opus"}


def test_the_stories_that_an_audit_must_tell_apart_are_all_there(truth):
    verdicts = {trade["verdict"] for trade in truth["trades"].values()}
    assert verdicts == {"confirmed", "wrong_quantity", "wrong_side", "price_outside", "not_discussed", None}
    assert {call["language"] for call in truth["calls"].values()} == {"en", "hi", None}
    assert {"ShortCall", "NoSpeech"} <= {status for call in truth["calls"].values() for status in call["status"]}


def test_the_same_seed_makes_the_same_metadata_in_the_next_free_directory(tmp_path, batch):
    first = make_demo_batch(tmp_path)
    second = make_demo_batch(tmp_path)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d_1", first.name)
    assert second.name == first.name[:-1] + "2"
    days = ((first.name[:10], "2026-01-15"), (first.name[:10].replace("-", ""), "20260115"))
    again = (first / "tradeMetadata.csv").read_text()
    for today, day in days:
        again = again.replace(today, day)
    assert again == (batch / "tradeMetadata.csv").read_text()


@pytest.mark.parametrize("key", ["today", "2026-01-15", "2026-01-15_0", "../2026-01-15_1"])
def test_a_key_that_is_none_is_refused(tmp_path, key):
    with pytest.raises(ValueError, match="no batch key"):
        make_demo_batch(tmp_path, key)


def test_a_directory_that_is_there_is_not_overwritten(batch):
    with pytest.raises(FileExistsError):
        make_demo_batch(batch.parent, batch.name)


def test_speech_is_as_long_as_its_words(batch):
    short, long = (speak(text, Voice("gmw/en-US")) for text in ("hello", "hello " * 8))
    assert 0.2 < len(short) / RATE < 0.8
    assert len(long) > 4 * len(short)
    assert 0.1 < abs(short).max() <= 1


def test_a_voice_that_is_not_there_is_named():
    with pytest.raises(SynthesisError, match="no voice 'gmw/xx'"):
        speak("hello", Voice("gmw/xx"))


def test_one_ring_is_three_seconds():
    assert len(ring()) / RATE == pytest.approx(3.0)
