"""Alerts: each rule, told once to each sink and again when it is over, with no secret in any word."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from cofi_dagster.alerts.rules import due_at
from cofi_dagster.alerts.sinks import NotTold, Sink, sinks_of
from cofi_dagster.alerts.watch import watch
from cofi_dagster.database import tables as t
from cofi_dagster.settings import Settings, SettingsError
from cofi_dagster_tests.pipeline.site import Site
from cofi_dagster_tests.status.test_remaining import finished

Opening = Callable[..., Site]
LONG_AGO = timedelta(hours=3)


class Ears:
    """A sink that remembers, and that can be deaf."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.is_deaf = False

    def sinks(self) -> list[Sink]:
        def tell(text: str) -> None:
            if self.is_deaf:
                raise NotTold("deaf")
            self.heard.append(text)

        return [Sink("ears", tell)]


def stt_at_work(here: Site, **detail: Any) -> int:
    """A batch whose stt is at work, with these columns of ``stageDetail``."""
    batch = here.make(1)
    for name in ("file_distribution", "lid"):
        here.tracker.start_stage(batch, name)
        here.tracker.complete_stage(batch, name)
    here.tracker.start_stage(batch, "stt")
    stage = t.stage_detail.c.stage == "stt"
    here.execute(t.stage_detail.update().where(stage).values({"paceAt": t.utcnow(), **detail}))
    return batch


NO_HISTORY = {"COFI_ALERT_SLOWER_THAN_HISTORY": "0"}
ONLY = {"COFI_STAGES_DISABLED": "denoise,ivr,callmetadata,trademetadata,triaging,triaging_step2,llm1,llm2"}


@pytest.mark.parametrize(
    ("settings_of", "detail", "words"),
    [
        (
            {"COFI_ALERT_STAGE_MINUTES": "stt=90", **NO_HISTORY},
            {"secondsAtWork": 5401.0},
            "takes longer than 90 minutes",
        ),
        ({}, {"pace": {"left": 7, "idle": 901.0}}, "has done no file for 15 minutes, with 7 left"),
        ({}, {"itemsTotal": 100, "itemsFailed": 6}, "failed for 6 of 100 files (6.0%)"),
        ({}, {"pace": {"aside": {"gpu1": "refused"}}}, "goes on without gpu1, which is set aside: refused"),
        ({}, {"secondsAtWork": 900.0}, "takes 15 minutes, batches of this size 2"),
    ],
    ids=["too long", "stuck", "failures", "machine aside", "slower than history"],
)
def test_what_is_wrong_is_told_once_and_again_when_it_is_over(
    each_site: Opening, settings_of: dict[str, str], detail: dict[str, Any], words: str
) -> None:
    here, ears = each_site(**ONLY, **settings_of), Ears()
    for number in range(3):
        finished(here, number, 1, 120.0)
    here.execute(t.batch_status.update().values(createdAt=datetime(2026, 1, 1)))
    batch = stt_at_work(here, **detail)
    here.execute(t.batch_status.update().where(t.batch_status.c.id == batch).values(totalFiles=1))
    for _ in range(3):
        watch(here.engine, here.settings, ears.sinks())
    assert ears.heard == [f"COFI: Speech to text of batch 2026-01-15_1 {words}"]
    here.tracker.complete_stage(batch, "stt")
    here.execute(t.stage_detail.update().values(itemsFailed=0, secondsAtWork=1.0))
    for _ in range(2):
        watch(here.engine, here.settings, ears.sinks())
    assert ears.heard[1:] == [f"COFI: over: Speech to text of batch 2026-01-15_1 {words}"]


def test_a_sink_that_was_not_reached_is_told_later_and_a_restart_repeats_nothing(each_site: Opening) -> None:
    here, ears = each_site(**ONLY), Ears()
    stt_at_work(here, itemsTotal=10, itemsFailed=5)
    ears.is_deaf = True
    assert watch(here.engine, here.settings, ears.sinks()).not_told == ["ears: deaf"]
    ears.is_deaf = False
    watch(here.engine, here.settings, ears.sinks())
    watch(here.engine, here.settings, ears.sinks())
    assert len(ears.heard) == 1


def test_a_batch_that_is_not_completed_by_its_time_of_day_is_late(site: Opening) -> None:
    here, ears = site(COFI_ALERT_DONE_BY="06:00", **ONLY), Ears()
    batch = here.make(1)
    watch(here.engine, here.settings, ears.sinks())
    assert ears.heard == []
    here.execute(t.batch_status.update().values(createdAt=datetime.now() - timedelta(days=2)))
    watch(here.engine, here.settings, ears.sinks())
    assert ears.heard == [
        "COFI: batch 2026-01-15_1 was to be completed by 06:00 (Asia/Kolkata) and is pending",
    ]
    for name in ("file_distribution", "lid", "stt"):
        here.tracker.start_stage(batch, name)
        here.tracker.complete_stage(batch, name)
    watch(here.engine, here.settings, ears.sinks())
    assert ears.heard[-1].startswith("COFI: over: ")


def test_the_time_of_day_is_the_first_after_the_arrival_in_the_users_zone() -> None:
    evening = datetime(2026, 1, 15, 13, 0)  # 18:30 in Kolkata
    assert due_at(evening, "06:00", "Asia/Kolkata") == datetime(2026, 1, 16, 0, 30)
    assert due_at(evening, "22:00", "Asia/Kolkata") == datetime(2026, 1, 15, 16, 30)


@pytest.fixture
def webhook() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A server that takes a webhook's messages: its URL, and what it got."""
    got: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_words: object) -> None:
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/services/SECRET", got
        server.shutdown()
        thread.join()


def test_a_webhook_gets_what_slack_takes_and_the_log_has_no_secret(
    settings: Callable[..., Settings],
    webhook: tuple[str, list[dict[str, str]]],
    free_port: Callable[[], int],
    caplog: pytest.LogCaptureFixture,
) -> None:
    url, got = webhook
    with caplog.at_level(logging.WARNING):
        for sink in sinks_of(settings(COFI_ALERT_WEBHOOK_URL=url)):
            sink.tell("batch 1 is late")
        assert got == [{"text": "batch 1 is late"}]
        assert "batch 1 is late" in caplog.text
        gone = f"http://127.0.0.1:{free_port()}/services/SECRET"
        mail = {"COFI_ALERT_EMAIL_TO": "ops@example.org", "COFI_SMTP_PORT": str(free_port())}
        _, hook, post = sinks_of(settings(COFI_ALERT_WEBHOOK_URL=gone, COFI_SMTP_PASSWORD="SECRET", **mail))
        for sink in (hook, post):
            with pytest.raises(NotTold) as refused:
                sink.tell("batch 1 is late")
            assert "SECRET" not in str(refused.value) + caplog.text
            assert refused.value.__cause__ is None


@pytest.mark.parametrize(
    "value",
    [{"COFI_ALERT_STAGE_MINUTES": "sst=3"}, {"COFI_ALERT_DONE_BY": "24:00"}, {"COFI_TIME_ZONE": "Mars/Olympus"}],
)
def test_a_threshold_that_means_nothing_is_refused(settings: Callable[..., Settings], value: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=next(iter(value))):
        settings(**value)
