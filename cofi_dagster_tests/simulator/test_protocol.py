"""The simulator speaks the fleet's protocol: each request of it, over a real socket, against the documented shape."""

import json
from collections.abc import Iterator
from hashlib import sha256
from itertools import pairwise
from typing import Any
from urllib.parse import quote

import httpx
import jsonschema
import pytest

from cofi_dagster.audit.evidence import check
from cofi_dagster.audit.questionnaire import DEFAULT_QUESTIONS
from cofi_dagster.audit.replies import parse_llm1, parse_llm2
from cofi_dagster.audit.requests import Segment, llm1_request, llm2_request
from cofi_dagster_tests.batches import names
from cofi_dagster_tests.fleet_simulator import FleetSimulator, Request, trades_of

EVIDENCE = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {"segment": {"type": "integer"}, "quote": {"type": "string"}},
        "required": ["segment", "quote"],
        "additionalProperties": False,
    },
}
TRADE = {
    "symbol": {"type": "string"},
    "side": {"type": "string", "enum": ["buy", "sell"]},
    "quantity": {"type": ["integer", "null"], "minimum": 1},
    "price": {"anyOf": [{"type": "number"}, {"type": "null"}]},
    "price_type": {"$ref": "#/$defs/price_type"},
    "evidence": EVIDENCE,
}
LLM1 = {
    "$defs": {"price_type": {"type": "string", "enum": ["market", "limit", "unknown"]}},
    "type": "object",
    "properties": {
        "conversations": {
            "type": "array",
            "items": {"type": "object", "properties": TRADE, "required": list(TRADE), "additionalProperties": False},
        }
    },
    "required": ["conversations"],
    "additionalProperties": False,
}


def llm2(*questions: int) -> dict[str, Any]:
    answer = {
        "answer": {"type": "string", "enum": ["yes", "no", "not_applicable"]},
        "confidence": {"type": "number", "minimum": 0, "maximum": 1},
        "evidence": EVIDENCE,
    }
    one = {"type": "object", "properties": answer, "required": list(answer), "additionalProperties": False}
    names = [f"q{number}" for number in questions]
    properties = dict.fromkeys(names, one)
    return {"type": "object", "properties": properties, "required": names, "additionalProperties": False}


@pytest.fixture
def http(fleet: FleetSimulator) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=fleet.url(0), timeout=10) as client:
        yield client


def put(http: httpx.Client, file: str, body: bytes = b"audio", batch: int = 12) -> httpx.Response:
    headers = {"X-Content-SHA256": sha256(body).hexdigest()}
    return http.put(f"/files/{batch}/{quote(file)}", content=body, headers=headers)


def ask(http: httpx.Client, service: str, file: str) -> httpx.Response:
    return http.post(f"/{service}", json={"batch_id": 12, "file": file, "language": "en"})


def chat(
    http: httpx.Client, schema: dict[str, Any], segments: list[dict[str, Any]], before: str = ""
) -> httpx.Response:
    transcript = [{"segment": s["id"], "speaker": s["speaker"], "text": s["text"]} for s in segments]
    content = before + json.dumps({"segments": transcript})
    form = {"type": "json_schema", "json_schema": {"name": "reply", "strict": True, "schema": schema}}
    messages = [{"role": "system", "content": "Audit."}, {"role": "user", "content": content}]
    body = {"model": "default", "messages": messages, "temperature": 0, "max_tokens": 9, "response_format": form}
    return http.post("/v1/chat/completions", json=body)


def content_of(reply: httpx.Response) -> Any:
    assert reply.status_code == 200, reply.text
    choice = reply.json()["choices"][0]
    assert choice["finish_reason"] == "stop"
    return json.loads(choice["message"]["content"])


def transcript_of(http: httpx.Client, file: str) -> list[dict[str, Any]]:
    put(http, file)
    segments: list[dict[str, Any]] = ask(http, "stt", file).json()["segments"]
    return segments


def test_every_machine_has_an_address_of_its_own_and_one_port(fleet: FleetSimulator) -> None:
    environment = fleet.environment()
    assert environment.pop("GPU_MACHINES") == "127.0.0.2,127.0.0.3"
    assert set(environment) == {f"{s}_PORT" for s in ("FILES", "DENOISE", "IVR", "LID", "STT", "LLM")}
    assert set(environment.values()) == {str(fleet.port)}
    assert all(httpx.get(f"{fleet.url(i)}/health").status_code == 200 for i in (0, 1))
    assert httpx.get(f"{fleet.url(1)}/v1/models").json()["data"][0]["id"] == "simulator"


@pytest.mark.parametrize("file", ["a.wav", "a b+c%41.wav", 'it\'s "q" \\.wav', "कॉल.wav", "x" * 251 + ".wav"])
def test_a_file_of_any_name_goes_through_the_audio_stages(http: httpx.Client, file: str) -> None:
    body = file.encode() * 1000
    reply = put(http, file, body)
    assert reply.status_code == 201
    assert reply.json() == {"file": file, "bytes": len(body), "sha256": sha256(body).hexdigest()}
    denoised = ask(http, "denoise", file).json()
    heard = ask(http, "lid", file).json()
    assert set(denoised) == {"file", "audio_duration"}
    assert set(heard) == {"file", "language", "confidence", "audio_duration"}
    assert ask(http, "ivr", file).json()["segments"][0]["kind"] == "ivr"
    text = ask(http, "stt", file).json()
    assert denoised["file"] == heard["file"] == file
    assert denoised["audio_duration"] == heard["audio_duration"] == text["duration"]
    assert file in text["segments"][0]["text"]
    assert content_of(chat(http, LLM1, text["segments"]))["conversations"] != []


def test_an_upload_may_be_streamed_in_chunks(http: httpx.Client) -> None:
    headers = {"X-Content-SHA256": sha256(b"abc").hexdigest()}
    reply = http.put("/files/12/a.wav", content=iter([b"a", b"bc"]), headers=headers)
    assert (reply.status_code, reply.json()["bytes"]) == (201, 3)


def test_an_upload_with_a_wrong_or_no_checksum_is_refused_and_not_kept(http: httpx.Client) -> None:
    for headers in ({"X-Content-SHA256": "0" * 64}, {}):
        reply = http.put("/files/12/a.wav", content=b"abc", headers=headers)
        assert reply.status_code == 400
        assert "X-Content-SHA256" in reply.json()["detail"]
    assert http.head("/files/12/a.wav").status_code == 404


def test_a_machine_knows_the_files_that_it_was_given_and_no_others(fleet: FleetSimulator, http: httpx.Client) -> None:
    assert ask(http, "lid", "a.wav").status_code == 404
    put(http, "a.wav")
    put(http, "a.wav", batch=120)
    assert ask(http, "lid", "a.wav").status_code == http.head("/files/12/a.wav").status_code == 200
    assert httpx.head(f"{fleet.url(1)}/files/12/a.wav").status_code == 404
    assert http.delete("/files/12").status_code == 204
    assert http.head("/files/12/a.wav").status_code == 404
    assert fleet.files(0) == ["120/a.wav"]


def test_a_transcript_has_fifty_segments_one_after_another(http: httpx.Client) -> None:
    put(http, "a.wav")
    reply = ask(http, "stt", "a.wav").json()
    segments = reply["segments"]
    assert [s["id"] for s in segments] == list(range(50))
    assert all(a["end"] == b["start"] for a, b in pairwise(segments))
    assert segments[-1]["end"] == pytest.approx(reply["duration"], abs=0.01)
    assert reply["text"] == " ".join(s["text"] for s in segments)


def test_llm1_names_the_spoken_trades_and_quotes_them(http: httpx.Client) -> None:
    segments = transcript_of(http, "a.wav")
    reply = chat(http, LLM1, segments, before="The transcript:\n")
    found = content_of(reply)
    jsonschema.validate(found, LLM1)
    spoken = [(t.symbol, t.side.lower(), t.quantity, t.price) for t in trades_of("a.wav")]
    assert [(t["symbol"], t["side"], t["quantity"], t["price"]) for t in found["conversations"]] == spoken
    for trade in found["conversations"]:
        (evidence,) = trade["evidence"]
        assert segments[evidence["segment"]]["text"] == evidence["quote"]
    assert reply.json()["model"] == "simulator"
    assert reply.json()["usage"]["total_tokens"] > 0


def test_llm2_answers_each_question_of_each_questionnaire_and_quotes_the_call(http: httpx.Client) -> None:
    segments = transcript_of(http, 'a "b" कॉल.wav')
    for schema in (llm2(*range(1, 26)), llm2(3, 7), llm2(*range(1, 26))):
        answers = content_of(chat(http, schema, segments))
        jsonschema.validate(answers, schema)
        for answer in answers.values():
            (evidence,) = answer["evidence"]
            assert segments[evidence["segment"]]["text"] == evidence["quote"]


def test_the_llm_replies_are_what_the_audit_asks_for(http: httpx.Client) -> None:
    segments = [Segment(s["id"], s["speaker"], s["text"]) for s in transcript_of(http, "a.wav")]
    trades = [{"orderId": "1", "symbol": "TCS", "orderTime": "2026-01-15 10:00:00"}]
    first = http.post("/v1/chat/completions", json=llm1_request(segments, model="m"))
    found = parse_llm1(first.json())
    assert [(t.symbol, t.side, t.quantity) for t in found.conversations] == [
        (t.symbol, t.side.lower(), t.quantity) for t in trades_of("a.wav")
    ]
    second = http.post("/v1/chat/completions", json=llm2_request(segments, DEFAULT_QUESTIONS, model="m", trades=trades))
    answered = parse_llm2(second.json(), DEFAULT_QUESTIONS)
    assert [a.question for a in answered.answers] == list(DEFAULT_QUESTIONS)
    for evidence in [t.evidence for t in found.conversations] + [a.evidence for a in answered.answers]:
        assert check(evidence, segments)[0] == "verified"


def test_llm_replies_of_two_calls_do_not_mix(http: httpx.Client) -> None:
    quotes = set()
    for file in ("a.wav", "b.wav", "c.wav"):
        answers = content_of(chat(http, llm2(1), transcript_of(http, file)))
        quotes.add(answers["q1"]["evidence"][0]["quote"])
    assert len(quotes) == 3


def test_the_openai_form_of_speech_to_text_reads_the_form_and_needs_no_upload(http: httpx.Client) -> None:
    form = {"model": "whisper-1", "language": "hi", "response_format": "verbose_json"}
    for name in ("a.wav", 'कॉ "q".wav'):
        reply = http.post("/v1/audio/transcriptions", data=form, files={"file": (name, b"\r\n--x\r\n" * 9)})
        assert reply.status_code == 200, reply.text
        assert name in reply.json()["segments"][0]["text"]
    assert http.post("/v1/audio/transcriptions", data=form, files={"audio": b"x"}).status_code == 422


def test_the_openai_form_can_be_as_odd_as_real_servers_are() -> None:
    form = {"model": "whisper-1", "language": "hi", "response_format": "verbose_json"}
    with FleetSimulator(machines=1, stt_duration_as_string=True, stt_null_segments=True) as fleet:
        url = f"{fleet.url()}/v1/audio/transcriptions"
        reply = httpx.post(url, data=form, files={"file": ("a.wav", b"x")}).json()
    assert isinstance(reply["duration"], str)
    assert reply["segments"] is None
    assert reply["text"]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/lid", b"{", 422),
        ("/lid", b'{"file": "a.wav"}', 422),
        ("/stt", b'{"file": "a.wav", "batch_id": 12}', 422),
        ("/v1/chat/completions", b'{"model": "m", "messages": []}', 400),
        ("/nowhere", b"{}", 404),
    ],
)
def test_a_request_that_is_not_of_the_protocol_is_refused(
    http: httpx.Client, path: str, body: bytes, status: int
) -> None:
    reply = http.post(path, content=body)
    assert reply.status_code == status
    assert reply.json()["detail"]


def test_a_schema_that_is_of_neither_stage_is_refused(http: httpx.Client) -> None:
    reply = chat(http, {"type": "object", "properties": {"weather": {"type": "string"}}}, transcript_of(http, "a.wav"))
    assert reply.status_code == 400
    assert "weather" in reply.json()["detail"]


def test_the_calls_can_be_described(fleet: FleetSimulator, http: httpx.Client) -> None:
    fleet.describe("short*", duration=3.2, language="fr", segments=0)
    put(http, "short_1.wav")
    heard = ask(http, "lid", "short_1.wav").json()
    assert (heard["language"], heard["audio_duration"]) == ("fr", 3.2)
    assert ask(http, "stt", "short_1.wav").json()["segments"] == []
    put(http, "long.wav")
    assert ask(http, "lid", "long.wav").json()["language"] == "en"


def test_calls_are_english_or_hindi_and_20_to_120_seconds_long_unless_told_otherwise() -> None:
    with FleetSimulator(machines=1) as fleet, httpx.Client(base_url=fleet.url()) as http:
        heard = []
        for name in names(40):
            put(http, name)
            heard.append(ask(http, "lid", name).json())
    assert {h["language"] for h in heard} == {"en", "hi"}
    assert len({h["audio_duration"] for h in heard}) > 20
    assert all(20 <= h["audio_duration"] <= 120 for h in heard)


def test_every_request_is_on_record(fleet: FleetSimulator, http: httpx.Client) -> None:
    transcript = transcript_of(http, "a.wav")
    content_of(chat(http, llm2(1), transcript))
    ask(http, "lid", "b.wav")
    rows = fleet.requests()
    assert all(isinstance(row, Request) and row.machine == 0 for row in rows)
    assert [(r.service, r.file, r.status) for r in rows] == [
        ("files", "a.wav", 201), ("stt", "a.wav", 200), ("llm2", "a.wav", 200), ("lid", "b.wav", 404)
    ]  # fmt: skip
    assert fleet.requests(since=3) == rows[3:]
    assert fleet.counts() == {("files", "a.wav"): 1, ("stt", "a.wav"): 1, ("llm2", "a.wav"): 1, ("lid", "b.wav"): 1}
    assert fleet.counts(status=404) == {("lid", "b.wav"): 1}
    assert json.loads(fleet.examples()["stt"]) == {"batch_id": 12, "file": "a.wav", "language": "en"}
    fleet.forget_records()
    assert fleet.requests() == []


def test_counting_alone_keeps_no_rows() -> None:
    with FleetSimulator(machines=1, record="count") as fleet, httpx.Client(base_url=fleet.url()) as http:
        put(http, "a.wav")
        put(http, "a.wav")
        assert fleet.requests() == []
        assert fleet.counts() == {("files", "a.wav"): 2}
