"""Speech to text: which calls are sent, what counts as speech, and the OpenAI form of the service."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from cofi_dagster.pipeline.progress import StageReport
from cofi_dagster_tests.fleet_simulator import FleetSimulator
from cofi_dagster_tests.pipeline.site import Site

Opening = Callable[..., Site]
CALL = "call_000000.wav"


def segment(text: str, start: float = 0.0, **more: Any) -> dict[str, Any]:
    return {"id": 0, "start": start, "end": start + 2, "text": text, **more}


def transcribed(here: Site, machines: FleetSimulator, reply: object) -> StageReport:
    """Run a batch of two calls through STT, one of which gets this reply."""
    batch = here.make(2, trades=False)
    here.up_to(batch, "lid")
    body = orjson.dumps(reply).decode()
    machines.fault("status", service="stt", file=CALL, status=200, body=body, times=None)
    return here.run(batch, "stt")


@pytest.mark.parametrize(("length", "status"), [(4, "ShortCall"), (5, "TranscriptDone")])
def test_a_call_under_five_seconds_is_not_sent(
    each_site: Opening, machines: FleetSimulator, length: int, status: str
) -> None:
    here = each_site(**machines.environment())
    name = f"lasts_{length}_s.wav"
    machines.describe(name, duration=length)
    batch = here.make([name, "other.wav"])
    report = here.up_to(batch, "stt")
    assert here.calls(batch)[name]["status"] == status
    assert machines.counts()["stt", name] == (status == "TranscriptDone")
    assert report.done + report.skipped == report.total == 2


def test_a_call_in_another_language_is_not_sent(each_site: Opening, machines: FleetSimulator) -> None:
    here = each_site(**machines.environment())
    for language in ("fr", "hi", "HI", "hinglish", "en"):
        machines.describe(f"in_{language}.wav", language=language)
    batch = here.make([f"in_{language}.wav" for language in ("fr", "hi", "hinglish", "en", "HI")])
    here.up_to(batch, "stt")
    calls = here.calls(batch)
    assert calls["in_fr.wav"]["status"] == "UnsupportedLanguage"
    assert machines.counts()["stt", "in_fr.wav"] == 0
    for language, number in {"hi": 2, "hinglish": 3, "en": 1, "HI": 2}.items():
        row = calls[f"in_{language}.wav"]
        assert (row["status"], row["lang"], row["languageId"]) == ("TranscriptDone", language.lower(), number)


def test_the_service_is_told_the_language(site: Opening, machines: FleetSimulator) -> None:
    here = site(**machines.environment())
    batch = here.make(1)
    here.up_to(batch, "stt")
    assert orjson.loads(machines.examples()["stt"]) == {"batch_id": batch, "file": CALL, "language": "en"}


def test_a_file_whose_language_is_unknown_stays_pending(site: Opening, machines: FleetSimulator) -> None:
    here = site(COFI_MAX_ATTEMPTS=1, **machines.environment())
    batch = here.make(2, trades=False)
    machines.fault("status", service="lid", file=CALL, status=500)
    here.run(batch)
    assert here.calls(batch)[CALL]["status"] == "Pending"
    assert machines.counts()["stt", CALL] == 0
    here.run(batch, run="again")
    assert here.calls(batch)[CALL]["status"] == "Complete"


@pytest.mark.parametrize(
    ("segments", "status", "kept"),
    [
        ([], "NoSpeech", []),
        ([segment("  "), segment("\n")], "NoSpeech", []),
        ([segment("Thanks for watching!", no_speech_prob=0.9, avg_logprob=-1.4)], "NoSpeech", []),
        ([segment("Thanks for watching!", no_speech_prob=0.9)], "NoSpeech", []),
        ([segment("Buy.", no_speech_prob=0.9, avg_logprob=-0.3)], "TranscriptDone", ["Buy."]),
        ([segment("Buy.", no_speech_prob=0.6, avg_logprob=-1.4)], "TranscriptDone", ["Buy."]),
        ([segment("Buy.", no_speech_prob=None, avg_logprob=-9.0)], "TranscriptDone", ["Buy."]),
        (
            [segment("Amara", no_speech_prob=0.8, avg_logprob=-1.2), segment(" Sell 50. ", 3.0)],
            "TranscriptDone",
            ["Sell 50."],
        ),
    ],
)
def test_words_that_a_model_invents_on_silence_are_dropped(
    site: Opening, machines: FleetSimulator, segments: list[dict[str, Any]], status: str, kept: list[str]
) -> None:
    here = site(**machines.environment())
    report = transcribed(here, machines, {"text": "x", "duration": 30, "segments": segments})
    assert (report.done, report.failed) == (2, 0)
    assert here.calls(1)[CALL]["status"] == status
    assert here.transcripts(1).get(CALL, []) == kept
    assert here.run(1, "llm1").total == 1 + (status == "TranscriptDone")


@pytest.mark.parametrize(
    "reply",
    [
        {"segments": "none"},
        {"segments": [1]},
        {"segments": [{"text": "hello", "start": 0}]},
        {"segments": [{"text": None, "start": 0, "end": 1}]},
        {"segments": [{"text": "hello", "start": -1, "end": 1}]},
        {"segments": [{"text": "hello", "start": "NaN", "end": 1}]},
        {"text": 4},
        [],
        "hello",
    ],
)
def test_a_reply_that_is_no_transcript_is_a_failure(site: Opening, machines: FleetSimulator, reply: object) -> None:
    here = site(COFI_MAX_ATTEMPTS=1, **machines.environment())
    report = transcribed(here, machines, reply)
    assert (report.done, report.failed) == (1, 1)
    assert here.calls(1)[CALL]["status"] == "Pending"


@pytest.mark.parametrize("as_vllm", [False, True])
def test_openai_servers_transcribe_from_our_own_disk(site: Opening, as_vllm: bool) -> None:
    with FleetSimulator(
        machines=2, languages="en", segments=4, stt_duration_as_string=as_vllm, stt_null_segments=as_vllm
    ) as fleet:
        here = site(STT_PROTOCOL="openai", STT_MODEL="large", **fleet.environment())
        names = ["plain.wav", 'quote"d & spaced.wav', "श्री.wav"]
        batch = here.make(names, trades=False)
        here.up_to(batch, "lid")
        for machine in range(2):
            fleet.kill(machine)
            fleet.up(machine)
        report = here.run(batch, "stt")
        assert (report.done, report.failed) == (3, 0)
        assert fleet.files(0) == fleet.files(1) == []
        here.run(batch)
    for name, words in here.transcripts(batch).items():
        assert len(words) == (1 if as_vllm else 4)
        assert words[0].startswith(f"This is call {name}.")
    assert here.status(batch) == "Completed"


def test_openai_servers_are_told_a_language_that_they_know(site: Opening, machines: FleetSimulator) -> None:
    here = site(STT_PROTOCOL="openai", **machines.environment())
    machines.describe("mixed.wav", language="hinglish")
    batch = here.make(["mixed.wav"])
    assert here.up_to(batch, "stt").done == 1
    assert here.calls(batch)["mixed.wav"]["lang"] == "hinglish"
