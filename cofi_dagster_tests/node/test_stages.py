from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest

from cofi_dagster_tests.node.conftest import RunningNode
from cofi_dagster_tests.node.signals import (
    CLIENT,
    FORMATS,
    conversation,
    encode,
    indian_ring,
    said,
    silence,
    with_noise,
)

STAGES = ("denoise", "ivr", "lid", "stt")
ORDER = "Please buy five hundred shares of Tata Motors."


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_goes_through_denoise_and_ivr(node: RunningNode, kind: str, tmp_path: Path) -> None:
    call = with_noise(np.concatenate([indian_ring(2), said(ORDER)]), 0.005)
    node.put(kind, encode(tmp_path / kind, kind, call).read_bytes(), batch=30)
    for _ in range(2):
        clean = node.ask("denoise", kind, batch=30)
        assert clean.status_code == 200, clean.text
        assert clean.json() == {"file": kind, "audio_duration": pytest.approx(len(call) / 8000, abs=0.1)}
    for _ in range(2):
        found = node.ask("ivr", kind, batch=30).json()
        assert found["audio_duration"] == pytest.approx(len(call) / 8000, abs=0.1)
        assert [(s["kind"], s["start"], s["end"]) for s in found["segments"]][:1] == [
            ("ring", pytest.approx(0.0, abs=0.15), pytest.approx(4.0, abs=0.2))
        ]


def test_denoise_keeps_the_channels_of_a_recording(node: RunningNode, tmp_path: Path) -> None:
    talk = with_noise(conversation(), 0.02)
    body = encode(tmp_path / "a.wav", "mulaw.wav", talk, talk[::-1]).read_bytes()
    node.put("two.wav", body, batch=31)
    assert node.ask("denoise", "two.wav", batch=31).status_code == 200
    (clean,) = (node.home / "files" / "31").rglob("*.clean.wav")
    with av.open(str(clean)) as stored:
        stream = stored.streams.audio[0]
        assert (stream.codec_context.name, stream.channels, stream.rate) == ("pcm_s16le", 2, 8000)


@pytest.mark.parametrize("stage", STAGES)
def test_what_cannot_be_processed_is_refused_with_a_sentence(node: RunningNode, stage: str) -> None:
    for name, body, status in (
        ("text.wav", b"this is no sound at all\n" * 99, 415),
        ("empty.wav", b"", 422),
        ("cut.wav", b"RIFF\x24\x00\x00\x00WAVEfmt ", 422),
    ):
        assert node.put(name, body, batch=32).status_code == 201
        reply = node.ask(stage, name, batch=32)
        assert (reply.status_code, list(reply.json())) == (status, ["detail"])
        assert isinstance(reply.json()["detail"], str)
    reply = node.ask(stage, "never sent.wav", batch=32)
    assert reply.status_code == 404
    assert "never sent.wav" in reply.json()["detail"]


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff\xfe", 400),
        (b"[" * 100_000, 400),
        (b"[]", 422),
        (b"{}", 422),
        (b'{"batch_id": "1", "file": "a.wav"}', 422),
        (b'{"batch_id": true, "file": "a.wav"}', 422),
        (b'{"batch_id": -1, "file": "a.wav"}', 422),
        (b'{"batch_id": 1, "file": ""}', 422),
        (b'{"batch_id": 1, "file": ["a"]}', 422),
    ],
)
def test_a_malformed_request_is_refused(node: RunningNode, stage: str, body: bytes, status: int) -> None:
    reply = node.client.post(f"/{stage}", content=body)
    assert (reply.status_code, list(reply.json())) == (status, ["detail"])


def test_wrong_addresses_and_methods_are_errors_in_the_same_form(node: RunningNode) -> None:
    for method, path, status in (
        ("GET", "/nothing", 404),
        ("GET", "/denoise", 405),
        ("POST", "/files/1/a.wav", 405),
        ("PUT", "/files/1/", 400),
    ):
        reply = node.client.request(method, path)
        assert (reply.status_code, list(reply.json())) == (status, ["detail"])


def test_language_and_words_come_in_the_shapes_of_the_protocol(node: RunningNode, tmp_path: Path) -> None:
    call = np.concatenate([indian_ring(2), said(ORDER), silence(0.5), said("Yes, please confirm.", CLIENT)])
    node.put("order.wav", encode(tmp_path / "a.wav", "mulaw.wav", call).read_bytes(), batch=33)
    lid = node.ask("lid", "order.wav", batch=33).json()
    assert set(lid) == {"file", "language", "confidence", "audio_duration"}
    assert lid["file"] == "order.wav"
    assert 0 <= lid["confidence"] <= 1
    assert lid["audio_duration"] == pytest.approx(len(call) / 8000, abs=0.01)
    stt = node.ask("stt", "order.wav", batch=33, language="en").json()
    assert stt["segments"]
    assert stt["task"] == "transcribe"
    assert stt["duration"] == pytest.approx(len(call) / 8000, abs=0.01)
    assert [segment["id"] for segment in stt["segments"]] == list(range(len(stt["segments"])))
    assert stt["text"] == " ".join(segment["text"] for segment in stt["segments"])
    for segment in stt["segments"]:
        assert 3.5 < segment["start"] < segment["end"] <= stt["duration"] + 0.1
        assert segment["avg_logprob"] <= 0
        assert 0 <= segment["no_speech_prob"] <= 1


def test_a_language_that_the_recogniser_does_not_know_is_refused_not_invented(
    node: RunningNode, tmp_path: Path
) -> None:
    node.put("a.wav", encode(tmp_path / "a.wav", "pcm.wav", said(ORDER)).read_bytes(), batch=35)
    reply = node.ask("stt", "a.wav", batch=35, language="hi")
    assert reply.status_code == 422
    assert "'hi'" in reply.json()["detail"]


def test_the_rules_answer_where_no_llm_server_is_configured(node: RunningNode) -> None:
    transcript = {"segments": [{"segment": 0, "speaker": "client", "text": "buy five hundred tata motors at market"}]}
    schema = {"type": "object", "properties": {"conversations": {"type": "array"}}, "required": ["conversations"]}
    body = {
        "model": "default",
        "messages": [{"role": "user", "content": json.dumps(transcript)}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "t", "strict": True, "schema": schema}},
    }
    reply = node.client.post("/v1/chat/completions", json=body).json()
    assert "rules" in reply["model"]
    assert "conversations" in json.loads(reply["choices"][0]["message"]["content"])
    refused = node.client.post("/v1/chat/completions", json={"model": "default"})
    assert refused.status_code == 400
    assert refused.json()["detail"]


@pytest.mark.parametrize("quiet", [0.0, 0.003], ids=["digital silence", "hiss"])
def test_silence_has_no_words(node: RunningNode, quiet: float, tmp_path: Path) -> None:
    name = f"quiet{quiet}.wav"
    call = with_noise(silence(8), quiet)
    node.put(name, encode(tmp_path / "a.wav", "pcm.wav", call).read_bytes(), batch=34)
    reply = node.ask("stt", name, batch=34, language="en").json()
    assert (reply["text"], reply["segments"]) == ("", [])


def test_the_openai_form_takes_the_recording_with_the_request(node: RunningNode, tmp_path: Path) -> None:
    body = encode(tmp_path / "a.mp3", "call.mp3", said(ORDER)).read_bytes()
    before = set((node.home / "incoming").iterdir())

    def ask(**form: str) -> tuple[int, str]:
        reply = node.client.post("/v1/audio/transcriptions", files={"file": ("é कॉल.mp3", body)}, data=form)
        return reply.status_code, reply.text

    verbose = node.client.post(
        "/v1/audio/transcriptions",
        files={"file": ("a.mp3", body, "audio/mpeg")},
        data={"model": "whisper-1", "language": "en", "response_format": "verbose_json"},
    ).json()
    assert {"task", "language", "duration", "text", "segments"} <= set(verbose)
    assert verbose["language"] == "en"
    status, text = ask(language="en", response_format="text")
    assert status == 200
    assert text.strip()
    assert not text.startswith("{")
    assert ask(language="en")[0] == 200
    assert ask(response_format="srt")[0] == 422
    assert set((node.home / "incoming").iterdir()) == before


def test_the_openai_form_refuses_what_it_cannot_read(node: RunningNode) -> None:
    address = "/v1/audio/transcriptions"
    assert node.client.post(address, files={"file": ("a.wav", b"words, no sound")}).status_code == 415
    assert node.client.post(address, files={"file": ("a.wav", b"")}).status_code == 422
    assert node.client.post(address, data={"model": "x"}).status_code == 422
    assert node.client.post(address, content=b"x", headers={"Content-Type": "multipart/form-data"}).status_code == 400


def test_the_models_are_named(node: RunningNode) -> None:
    rules, speech = (row["id"] for row in node.client.get("/v1/models").json()["data"])
    assert "rules" in rules
    assert "sphinx" in speech
