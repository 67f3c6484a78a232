"""The page of a call: heard, read, compared, answered, reaudited; and what it says where something is missing."""

from __future__ import annotations

import os
import re
import time
import wave
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect
from starlette.responses import PlainTextResponse

from cofi_dagster.adhoc import reaudit
from cofi_dagster.adhoc.tasks import TaskStatus, tasks
from cofi_dagster.database import tables as t
from cofi_dagster.database.engine import writing
from cofi_dagster.database.retention import PURGED, hold
from cofi_dagster.settings import Settings
from cofi_dagster.web.audio_decoding import DecodedAudio, folder_of, forget_decoded
from cofi_dagster.web.server import create_app
from cofi_dagster_tests.batches import wav
from cofi_dagster_tests.pages.browsing import Window
from cofi_dagster_tests.pages.conftest import KEYS, OPERATOR, VIEWER
from cofi_dagster_tests.pages.installation import HINDI, Installation
from cofi_dagster_tests.pipeline.site import Site
from cofi_dagster_tests.web.conftest import serving

Serve = Callable[..., tuple[Site, str]]
FILE = "ग्राहक <1>.wav"
TASK = "0f3e0d5a-1111-4222-8333-444455556666"
SAID = ("good morning dealing desk", "Buy one hundred Tata Steel at the market, please.", HINDI, "order placed, bye")
NOT_SAID = "a guaranteed return"


@dataclass(frozen=True, slots=True)
class Told:
    """An installation with one call of which everything is known, and a second one of the same order."""

    site: Site
    address: str
    call: int
    other: int

    @property
    def path(self) -> str:
        """The page's."""
        return f"/cofi/call/{self.call}"

    def another(self, name: str, **values: Any) -> str:
        """The path of another call of the same batch, of which nothing is known but these values."""
        row = {"batchId": 1, "audioName": name, "status": "Pending", **values}
        with writing(self.site.engine) as connection:
            key = connection.execute(t.call.insert().values(row)).inserted_primary_key
        assert key is not None
        return f"/cofi/call/{key[0]}"

    def get(self, path: str, **headers: str) -> httpx.Response:
        """Ask for a page or a recording."""
        return httpx.get(self.address + path, headers=headers)


def _quote(segment: int, quote: str, status: str = "verified") -> dict[str, Any]:
    return {"segment": segment, "quote": quote, "start": 5.0 * segment, "end": 5.0 * segment + 4, "status": status}


def _tell(site: Site, address: str) -> Told:
    batch = site.make([FILE, "other.wav"], calls=False, trades=False)
    (site.directory(batch) / FILE).write_bytes(wav(20.0, mark=FILE))
    with writing(site.engine) as connection:

        def add(table: Any, *rows: dict[str, Any]) -> list[int]:
            keys = [connection.execute(table.insert().values(row)).inserted_primary_key for row in rows]
            return [int(key[0]) for key in keys if key]

        mine, theirs = ({"batchId": batch, "audioName": name, "status": "Complete"} for name in (FILE, "other.wav"))
        call, other = add(
            t.call, {**mine, "lang": "hinglish", "audioDuration": 20.0, "llm1ReplyId": "new"}, {**theirs, "lang": "en"}
        )
        add(t.file_distribution, {"batchId": batch, "file": FILE, "llm1Done": 1, "llm2Done": 1})
        start = datetime(2026, 1, 15, 9, 30)
        known = {"clientCode": "C7", "clientPhone": "+91 9820001007", "dealerId": "D2", "direction": "inbound"}
        add(t.call_metadata, {"batchId": batch, "audioName": FILE, "callStart": start, **known})
        add(t.ivr_segment, {"callId": call, "kind": "ring", "startTime": 0.0, "endTime": 0.4})
        for place, text in enumerate(SAID):
            times = {"startTime": 5.0 * place, "endTime": 5.0 * place + 4, "speaker": ("dealer", "client")[place % 2]}
            add(t.transcript, {"callId": call, "segmentIndex": place, "text": text, **times})
            add(t.transcript_history, {"callId": call, "segmentIndex": place, "text": text.lower(), "taskId": TASK})
        heard = {"callId": call, "symbol": "TATASTEEL", "side": "buy", "quantity": 100.0}
        _, said, _ = add(
            t.call_conversation,
            {**heard, "quantity": 90.0, "replyId": "old"},
            {**heard, "replyId": "new", "priceType": "market", "evidence": [_quote(1, "one hundred Tata Steel")]},
            {**heard, "replyId": "new", "symbol": "INFY", "side": "sell", "quantity": 5.0, "price": 1500.5},
        )
        order = {"batchId": batch, "clientCode": "C7", "side": "BUY", "orderTime": datetime(2026, 1, 15, 9, 31)}
        trades = add(
            t.trade_metadata,
            {**order, "orderId": "1200000000000001", "symbol": "TATASTEEL", "quantity": 150.0, "audioName": FILE},
            {**order, "orderId": "1200000000000002", "symbol": "WIPRO", "quantity": 10.0, "audioName": "other.wav"},
            {**order, "orderId": "1200000000000003", "symbol": "ITC", "quantity": 1.0, "price": 430.0},
        )
        detail = {
            "reason": "more was executed than said", "minutesBefore": 1.0, "conversationId": said,
            "executed": {"symbol": "TATASTEEL", "side": "BUY", "quantity": 150.0, "prices": [142.5, 143.0]},
            "said": {"symbol": "TATASTEEL", "side": "BUY", "quantity": 100.0, "price": "market"},
            "components": {"symbol": 1.0, "side": 1.0, "quantity": 0.0, "price": 1.0},
        }  # fmt: skip
        mapped = {"batchId": batch, "callId": call, "audioName": FILE, "matchTier": "client_window", "score": 0.77}
        silent = {"reason": "the call does not speak of the order", "minutesBefore": 12.4}
        add(
            t.trade_audio_mapping,
            {**mapped, "tradeMetadataId": trades[0], "step": 1, "score": 0.99},
            {**mapped, "tradeMetadataId": trades[0], "step": 2, "verdict": "wrong_quantity", "detail": detail},
            {**mapped, "tradeMetadataId": trades[1], "step": 2, "verdict": "not_discussed", "detail": silent},
            {**mapped, "tradeMetadataId": trades[2], "step": 1, "matchTier": "weak_same_day", "score": 0.2},
        )
        answer = {"callId": call, "confidence": 0.9, "model": "m1", "promptVersion": "v1"}
        add(
            t.audit_answer,
            {**answer, "questionId": 5, "question": "Who named the scrip?", "answer": "The client",
             "evidence": [_quote(1, "Tata Steel"), _quote(2, "पाँच सौ शेयर")], "evidenceStatus": "verified"},
            {**answer, "questionId": 13, "question": "Was it confirmed?", "answer": "Yes",
             "evidence": [_quote(3, "Order placed", "repaired")], "evidenceStatus": "repaired"},
            {**answer, "questionId": 15, "question": "Was a return assured?", "answer": "No",
             "evidence": [_quote(0, NOT_SAID, "unverified")], "evidenceStatus": "unverified"},
            {**answer, "questionId": 16, "question": "Was there pressure?", "answer": "No", "evidenceStatus": "none"},
        )  # fmt: skip
        add(
            t.audit_answer_history,
            {**answer, "questionId": 15, "question": "Was a return assured?", "answer": "Yes", "taskId": TASK},
            {**answer, "questionId": 16, "question": "Was there pressure?", "answer": "no ", "taskId": TASK},
        )
    hold(site.engine, batch, FILE, reason="complaint 4711", by="asha")
    return Told(site, address, call, other)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """For all tests of this module: what one changes it does to a call of its own (:meth:`Told.another`)."""
    site = Site.open(Settings.load(_env_file=None, COFI_HOME=tmp_path_factory.mktemp("told")))
    with serving(create_app(site.settings, PlainTextResponse("the Dagster UI"))) as address:
        yield _tell(site, address)
    site.engine.dispose()


def test_a_call_is_heard_and_read_without_a_mouse(told: Told, window_of: Callable[..., Window]) -> None:
    window = window_of(told.address)
    page = window.open(told.path)
    head = window.text("section[aria-label='About the call']")
    for word in ("2026-01-15 09:30:00", "C7", "+91 9820001007", "D2", "inbound", "hinglish", "0:20.0"):
        assert word in head
    assert "legal hold This call is held since" in head
    assert "by asha: complaint 4711" in head
    hindi = page.locator(".segments li").nth(2).locator(".words")
    assert hindi.inner_text() == HINDI
    assert hindi.get_attribute("lang") == "hi"
    window.press_until("Tab", page.get_by_role("link", name="Hear from 0:10.0").first)
    page.keyboard.press("Enter")
    expect(page.locator(".segments li.heard")).to_contain_text(HINDI)
    assert 10 <= page.locator("#player").evaluate("player => player.currentTime") < 15
    page.locator(".segments li").nth(3).locator(".words").click()
    expect(page.locator(".segments li[aria-current]")).to_contain_text("order placed, bye")
    assert not window.problems


def test_what_answers_and_orders_rest_on_is_seen(told: Told, window_of: Callable[..., Window]) -> None:
    window = window_of(told.address)
    page = window.open(told.path)
    own = page.locator("mark.own")
    expect(own).to_have_count(0)
    page.get_by_role("link", name="Who named the scrip?").click()
    expect(own).to_have_text(["Tata Steel", "पाँच सौ शेयर"])
    page.get_by_role("link", name="Was it confirmed?").press("Enter")
    expect(own).to_have_text(["order placed, bye"])  # of a repaired quote the whole segment
    page.locator("#q5").get_by_role("link", name="पाँच सौ शेयर").click()
    expect(page.locator(".segments li.asked")).to_contain_text(HINDI)
    page.locator("#history summary").press("Enter")
    window.check()
    assert page.locator("#history tbody tr").all_inner_texts() == ["Was a return assured?\tYes\tNo"]
    assert page.get_by_role("link", name=TASK).get_attribute("href") == f"/cofi/task/{TASK}"
    assert "1 of 2 answers changed, 1 segment of the transcript differs" in window.text("#history")
    assert SAID[1].lower() in window.text("#history .past")
    _look_at_answers(window)
    _look_at_orders(window, told)


def _look_at_answers(window: Window) -> None:
    rows = {row.get_attribute("id"): row for row in window.page.locator(".answer").all()}
    states = {name: row.locator(".given > .badge").inner_text() for name, row in rows.items()}
    assert states == {"q5": "verified", "q13": "repaired", "q15": "unverified", "q16": "no quote"}
    assert f"“{NOT_SAID}” not found in the transcript" in window.text("#q15")
    assert NOT_SAID not in window.text(".segments")
    assert "No answer to questions 1 to 4, 6 to 12, 14, 17 to 20." in window.text("#answers")
    assert "confidence 90 %, m1 v1" in window.text("#q5")


def _look_at_orders(window: Window, told: Told) -> None:
    wrong, silent, weak = (" ".join(one.inner_text().split()) for one in window.page.locator(".order").all())
    for words in (
        "Order 1200000000000001", "wrong quantity", "client window", "score 77 of 100, step 2",
        "This call is its evidence.", "Scrip TATASTEEL TATASTEEL the same", "Side BUY BUY the same",
        "Quantity 100 150 ≠ more than said", "Price at market 142.5 to 143 at market",
        "More was executed than said. The call began 60 s before the order.", "“one hundred Tata Steel”", "Review",
    ):  # fmt: skip
        assert words in wrong, words
    assert "Its evidence is another call: other.wav." in silent
    assert "Scrip – WIPRO not discussed" in silent
    link = window.page.get_by_role("link", name="other.wav")
    assert link.get_attribute("href") == f"/cofi/call/{told.other}"
    assert "weak same day" in weak
    assert "No call is its evidence." in weak
    assert "A weak match is never evidence by itself." in weak
    assert "Price – 430 not compared" in weak
    assert "INFY SELL 5 1,500.5" in window.text("#trades > table")
    assert "TATASTEEL" not in window.text("#trades > table")
    assert "LLM1 has answered 1 time before" in window.text("#trades")


# -- reaudit ---------------------------------------------------------------------------------------------------------


def test_an_operator_reaudits_the_call_from_its_page(told: Told, window_of: Callable[..., Window]) -> None:
    path = told.another("again.wav")
    window = window_of(told.address)
    page = window.open(path)
    page.get_by_text("Reaudit this call").click()
    page.get_by_label("Language identification").uncheck()
    page.get_by_label("Speech to text").uncheck()
    page.get_by_role("button", name="Reaudit").click()
    page.wait_for_url(re.compile("/cofi/task/"))
    (task,) = tasks(told.site.engine, None, [TaskStatus.QUEUED], 9)
    assert page.url == f"{told.address}/cofi/task/{task.id}"
    assert task.request == {
        "audio_names": ["again.wav"],
        "stages": ["llm1", "llm2"],
        "batch_id": 1,
        "by": "this machine",
    }
    window.open(path)
    assert page.get_by_role("link", name="see how it stands").get_attribute("href") == f"/cofi/task/{task.id}"


def test_a_viewer_sees_no_button_and_is_refused(serve: Serve) -> None:
    told = _tell(*serve(COFI_API_KEYS=KEYS))
    with httpx.Client(base_url=told.address) as viewer:
        assert viewer.get(f"{told.path}/audio").status_code == 401
        viewer.headers["Authorization"] = f"Bearer {VIEWER}"
        page = viewer.get(told.path).text
        assert "Reaudit this call" not in page
        assert "Who named the scrip?" in page
        assert viewer.post(f"{told.path}/reaudit", data={"stage.llm2": "on"}).status_code == 403
        viewer.headers["Authorization"] = f"Bearer {OPERATOR}"
        assert viewer.post(f"{told.path}/reaudit", data={"stage.llm2": "on"}).status_code == 403, "without its token"
    assert tasks(told.site.engine, None, list(TaskStatus), 9) == []


def test_a_reaudit_of_nothing_is_refused_with_a_sentence(told: Told) -> None:
    with httpx.Client(base_url=told.address, follow_redirects=True) as person:
        (token,) = re.findall(r'name="csrf-token" content="([^"]+)"', person.get(told.path).text)
        reply = person.post(f"{told.path}/reaudit", data={"csrf": token})
    assert f"Nothing was queued: stages: at least one of {', '.join(reaudit.STAGE_NAMES)} is needed." in reply.text


# -- the recording ---------------------------------------------------------------------------------------------------


def test_a_recording_is_sent_in_parts_and_never_kept_by_others(told: Told) -> None:
    whole = told.get(f"{told.path}/audio")
    assert whole.status_code == 200
    assert whole.content == (told.site.directory(1) / FILE).read_bytes()
    assert whole.headers["content-type"] == "audio/wav"
    assert whole.headers["cache-control"] == "private, no-store"
    part = told.get(f"{told.path}/audio", Range="bytes=100-199")
    assert part.status_code == 206
    assert part.content == whole.content[100:200]
    assert part.headers["content-range"] == f"bytes 100-199/{len(whole.content)}"
    assert told.get(f"{told.path}/audio", Range="bytes=99999999-").status_code == 416


def test_what_browsers_do_not_play_is_decoded_once(told: Told) -> None:
    (told.site.directory(1) / "call.g729").write_bytes(bytes(range(10)) * 200)
    path = told.another("call.g729")
    assert 'preload="none"' in told.get(path).text
    replies = [told.get(f"{path}/audio") for _ in range(2)]
    with wave.open(BytesIO(replies[0].content)) as decoded:
        assert (decoded.getframerate(), decoded.getnchannels(), decoded.getsampwidth()) == (8000, 1, 2)
        assert decoded.getnframes() == pytest.approx(200 * 80, abs=160)
    assert replies[0].content == replies[1].content
    (kept,) = folder_of(told.site.settings.home).iterdir()
    assert kept.read_bytes() == replies[0].content


def test_decoded_recordings_do_not_fill_the_disk(tmp_path: Path) -> None:
    cache = DecodedAudio(folder_of(tmp_path), most_bytes=200_000)
    kept: list[Path] = []
    for number in range(4):
        path = tmp_path / f"{number}.g729"
        path.write_bytes(bytes(range(10)) * (500 + number))
        kept.append(cache.playable(path, path.name).path)
        minutes = time.time() - 60 * (10 - number)
        os.utime(kept[-1], (minutes, minutes))  # when it was played
    assert {path.name for path in folder_of(tmp_path).iterdir()} == {kept[2].name, kept[3].name}
    forget_decoded(tmp_path)
    assert list(folder_of(tmp_path).iterdir()) == []


def _outside(told: Told) -> Iterator[tuple[str, str]]:
    """Names that lead out of the batch directory or to nothing, and what is said of each."""
    secret = told.site.settings.home / "secret.wav"
    secret.write_bytes(wav(1.0))
    (told.site.directory(1) / "link.wav").symlink_to(secret)
    yield "link.wav", "its name leads out of the batch directory"
    (told.site.directory(1) / "inner.wav").symlink_to(told.site.directory(1) / "other.wav")
    yield "inner.wav", "it is a link or no regular file"
    yield "../../secret.wav", "its name leads out of the batch directory"
    yield str(secret), "its name leads out of the batch directory"
    yield "gone.wav", "the file is not in its batch directory any more"
    (told.site.directory(1) / "noise.wav").write_bytes(b"no sound at all" * 9)
    yield "noise.wav", "not a known audio format"


def test_only_a_file_of_the_batch_itself_is_ever_played(told: Told) -> None:
    for name, sentence in _outside(told):
        path = told.another(name)
        page = told.get(path).text
        assert sentence in page, name
        assert "<audio" not in page
        reply = told.get(f"{path}/audio")
        assert reply.status_code in (404, 415)
        assert sentence in reply.json()["detail"]
    assert told.get("/cofi/call/999/audio").status_code == 404
    assert told.get("/cofi/call/999").status_code == 404


# -- what is missing -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        ("ShortCall", "The call is too short"),
        ("UnsupportedLanguage", "The call is in a language that is not transcribed"),
        ("NoSpeech", "Speech to text found nobody speaking in this call"),
        ("Pending", "Speech to text has not been through with this call yet."),
    ],
)
def test_a_call_without_a_transcript_says_why(told: Told, status: str, sentence: str) -> None:
    page = told.get(told.another(f"{status}.wav", status=status, audioDuration=0)).text
    assert f"There is no transcript. {sentence}" in page
    assert "No question has an answer." in page
    assert "No order is mapped to this call." in page
    assert "call metadata does not name this file" in page
    assert "0:00.0" in page


def test_a_failed_call_says_what_failed_in_each_batch_of_the_installation(
    window: Window, installation: Installation
) -> None:
    site = installation.site
    failed = site.rows(t.call.select().where(t.call.c.batchId == installation.failed))[0]
    window.open(f"/cofi/call/{failed.id}")
    why = "Language identification failed for this call: HTTP 422: the audio cannot be decoded."
    assert f"There is no transcript. {why}" in window.text()
    window.check()
    window.open(f"/cofi/call/{installation.hindi_call}")
    assert HINDI in window.text(".segments")
    window.check()


def test_a_call_whose_time_of_keeping_is_over_says_so(told: Told) -> None:
    batch = told.site.make([], key="2026-01-16_1")
    path = told.another("old.wav", batchId=batch, status="Complete", audioDuration=9)
    event = {"batchId": batch, "eventType": PURGED, "status": "Partial", "createdAt": datetime(2034, 1, 20, 12)}
    told.site.execute(t.batch_execution_log.insert().values(event))
    page = told.get(path).text
    assert "There is no transcript. It was removed when its time of keeping was over." in page
    assert "were removed on" in page
    assert "20 Jan 2034" in page
    assert "The recording is not at hand: the file is not in its batch directory any more." in page


def test_five_hundred_segments_are_shown(told: Told) -> None:
    path = told.another("long.wav", lang="hi")
    call = int(path.rpartition("/")[2])
    rows = [{"callId": call, "segmentIndex": n, "startTime": 4.0 * n, "text": HINDI} for n in range(500)]
    with writing(told.site.engine) as connection:
        connection.execute(t.transcript.insert(), rows)
    reply = told.get(path)
    assert reply.text.count(HINDI) == 500
    assert int(reply.headers["content-length"]) < 100_000
