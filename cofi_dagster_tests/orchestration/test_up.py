"""`cofi up` from its start to its end, as an operator lives with it: one installation, one long test."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from playwright.sync_api import sync_playwright
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect as open_socket
from websockets.typing import Subprotocol

from cofi_dagster.database.engine import connect
from cofi_dagster.settings import Settings
from cofi_dagster_tests.batches import make_batch
from cofi_dagster_tests.cli.conftest import CommandLine
from cofi_dagster_tests.fleet_simulator import FleetSimulator
from cofi_dagster_tests.pipeline.site import Site
from cofi_dagster_tests.web.test_gate import log_in

KEY, VIEWERS_KEY = "a-long-key", "a-viewers-key"
FIRST, SECOND = "2026-01-15_1", "2026-01-15_2"
RUNS = "{runsOrError{... on Runs{results{runId status tags{key value}}}}}"
TERMINATE = "mutation($run: String!){terminateRun(runId: $run){__typename ... on TerminateRunFailure{message}}}"
LOG = """subscription($run: ID!){pipelineRunLogs(runId: $run){
  ... on PipelineRunLogsSubscriptionSuccess{messages{__typename}}}}"""
RE_EXECUTE = """mutation($of: ReexecutionParams!){launchRunReexecution(reexecutionParams: $of){
  __typename ... on LaunchRunSuccess{run{runId}}}}"""


def until(condition: Callable[[], Any], seconds: float = 120) -> Any:
    """Wait until the condition holds, on a busy machine too; what it returned."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.1)
    return found


class Up:
    """A running `cofi up` and its address."""

    def __init__(self, cofi: CommandLine, port: int, settings: dict[str, str]) -> None:
        self.address = f"http://127.0.0.1:{port}"
        self.logs = cofi.folder / "home" / "logs"
        self.process = cofi.start("up", COFI_WEB_PORT=str(port), **settings)

    def status(self, path: str, **headers: str) -> int:
        """The status of a GET."""
        request = urllib.request.Request(self.address + path, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as reply:
                return int(reply.status)
        except urllib.error.HTTPError as refused:
            refused.close()
            return refused.code
        except OSError:
            assert self.process.poll() is None, "".join(log.read_text()[-3000:] for log in self.logs.iterdir())
            return 0

    def ask(self, query: str, *, key: str = KEY, **variables: Any) -> Any:
        """A GraphQL query with a key."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
        request = urllib.request.Request(f"{self.address}/graphql", body, headers)
        with urllib.request.urlopen(request, timeout=30) as reply:
            return json.load(reply)["data"]

    def runs(self, key: str) -> list[dict[str, Any]]:
        """The runs of a batch, newest first: id, status, and tags by name."""
        found = self.ask(RUNS)["runsOrError"]["results"]
        plain = [{**run, "tags": {tag["key"]: tag["value"] for tag in run["tags"]}} for run in found]
        return [run for run in plain if run["tags"].get("dagster/partition") == key]

    def has_ended(self, key: str, status: str, runs: int) -> bool:
        """Whether the batch has so many runs and the newest ended so; an error if it ended otherwise."""
        found = self.runs(key)
        if len(found) < runs or found[0]["status"] not in {"SUCCESS", "FAILURE", "CANCELED"}:
            return False
        assert found[0]["status"] == status
        return True


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "incoming"


@pytest.fixture
def slow_fleet() -> Iterator[FleetSimulator]:
    with FleetSimulator(machines=2, languages="en", segments=4, latency="0.02") as simulator:
        yield simulator


@pytest.fixture
def up(tmp_path: Path, root: Path, slow_fleet: FleetSimulator, free_port: Callable[[], int]) -> Iterator[Up]:
    root.mkdir()
    settings = {
        **slow_fleet.environment(),
        "COFI_BATCH_ROOT": str(root),
        "COFI_WEB_HOST": "0.0.0.0",
        "COFI_API_KEYS": f"anna:operator:{KEY},vera:viewer:{VIEWERS_KEY}",
        "COFI_COMMIT_SECONDS": "0.1",
    }
    running = Up(CommandLine(tmp_path), free_port(), settings)
    yield running
    if running.process.poll() is None:
        running.process.send_signal(signal.SIGINT)
    running.process.communicate(timeout=30)


@pytest.fixture
def site(settings: Callable[..., Settings], up: Up, root: Path) -> Iterator[Site]:
    """What the tables say, beside the running installation."""
    until(lambda: up.status("/health") == 200)
    chosen = settings(COFI_BATCH_ROOT=root)
    engine = connect(chosen)
    yield Site.on(chosen, engine)
    engine.dispose()


def assert_that_only_the_key_opens(up: Up) -> None:
    for path in ("/", "/server_info"):
        assert up.status(path) == 401
        assert up.status(path, Authorization="Bearer wrong") == 401
        for headers in ({"Authorization": f"Bearer {KEY}"}, {"X-API-Key": KEY}):
            assert up.status(path, **headers) == 200


def live_log(up: Up, cookie: str, origin: str, run: str) -> list[str]:
    """The kinds of the first events that the UI's web socket tells of a run."""
    address = up.address.replace("http", "ws") + "/graphql"
    headers = {"Cookie": cookie} if cookie else {}
    protocols = [Subprotocol("graphql-ws")]
    with open_socket(address, additional_headers=headers, origin=origin, subprotocols=protocols) as socket:
        start = {"query": LOG, "variables": {"run": run}}
        socket.send(json.dumps({"type": "connection_init", "payload": {}}))
        socket.send(json.dumps({"type": "start", "id": "1", "payload": start}))
        while True:
            told = json.loads(socket.recv(timeout=20))
            if told["type"] == "data":
                messages = told["payload"]["data"]["pipelineRunLogs"]["messages"]
                return [message["__typename"] for message in messages]


def assert_that_sockets_need_a_session(up: Up, run: str) -> None:
    for key in (KEY, VIEWERS_KEY):
        with httpx.Client(base_url=up.address) as client:
            log_in(client, key)
            cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
        assert "RunStartEvent" in live_log(up, cookie, up.address, run)
    for bad_cookie, origin in (("", up.address), ("cofi_session=made-up", up.address), (cookie, "http://elsewhere")):
        with pytest.raises(InvalidStatus):
            live_log(up, bad_cookie, origin, run)


def assert_that_a_viewer_may_look_and_not_act(up: Up, run: str) -> None:
    """In Chromium: the run's log comes over the web socket, and leads to the batch's page."""
    refused = up.ask(TERMINATE, key=VIEWERS_KEY, run=run)["terminateRun"]
    assert refused["message"] == "You do not have permission to terminate this run"
    refused = up.ask(RE_EXECUTE, key=VIEWERS_KEY, of={"parentRunId": run, "strategy": "ALL_STEPS"})
    assert refused["launchRunReexecution"]["__typename"] == "UnauthorizedError"
    problems: list[str] = []
    sockets: list[str] = []
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=arguments)
        page = browser.new_page()
        page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("websocket", lambda socket: sockets.append(socket.url))
        page.on("request", lambda request: up.address in request.url or problems.append(request.url))
        page.goto(f"{up.address}/runs/{run}?logs=page%20in%20COFI")
        page.get_by_label("Key").fill(VIEWERS_KEY)
        page.keyboard.press("Enter")
        link = page.locator('a[href="/cofi/batch/1"]').first
        link.wait_for()
        assert page.get_by_role("button", name="Terminate").is_disabled()
        with page.expect_popup() as opened:
            link.click()
        opened.value.wait_for_selector("html[data-ready]")
        assert opened.value.title() == f"Batch {FIRST} · COFI"
        browser.close()
    assert problems == []
    assert sockets == [up.address.replace("http", "ws") + "/graphql"]


@pytest.mark.timeout(400)
def test_an_installation_lives_through_arrivals_terminations_and_deaths(
    up: Up, site: Site, root: Path, slow_fleet: FleetSimulator
) -> None:
    assert_that_only_the_key_opens(up)

    # A directory that arrives is started by the sensor; a run that is terminated in the UI stops where it is.
    slow_fleet.fault("hang", service="stt", file="a_3.wav", times=None)
    make_batch(root, FIRST, [f"a_{number}.wav" for number in range(12)])
    until(lambda: len(site.flagged(1, "sttDone")) == 11)
    (run,) = up.runs(FIRST)
    assert_that_sockets_need_a_session(up, run["runId"])
    assert_that_a_viewer_may_look_and_not_act(up, run["runId"])
    assert up.ask(TERMINATE, run=run["runId"])["terminateRun"]["__typename"] == "TerminateRunSuccess"
    until(lambda: up.has_ended(FIRST, "CANCELED", 1))
    state = site.stage(1, "stt")
    assert (state.status, state.error, site.status(1)) == ("Failed", "terminated", "Failed")
    assert state.ended > state.started

    # Its re-execution sends what is pending, while another batch arrives.
    slow_fleet.clear_faults()
    slow_fleet.fault("hang", service="ivr", file="b_3.wav", times=None)
    sent = len(slow_fleet.requests())
    make_batch(root, SECOND, [f"b_{number}.wav" for number in range(12)])
    asked = up.ask(RE_EXECUTE, of={"parentRunId": run["runId"], "strategy": "ALL_STEPS"})
    assert asked["launchRunReexecution"]["__typename"] == "LaunchRunSuccess"
    until(lambda: up.has_ended(FIRST, "SUCCESS", 2))
    assert site.status(1) == "Completed"
    assert site.stage(1, "stt").started == state.started
    again = [request for request in slow_fleet.requests(sent) if request.file.startswith("a_")]
    assert [request.file for request in again if request.service == "stt"] == ["a_3.wav"]
    assert {request.service for request in again} <= {"stt", "llm1", "llm2", "files-head"}

    # A run whose process is killed is noticed and launched again.
    until(lambda: len(site.flagged(2, "ivrDone")) == 11)
    (run,) = up.runs(SECOND)
    os.kill(int(run["tags"]["cofi/pid"]), signal.SIGKILL)
    slow_fleet.clear_faults()
    until(lambda: up.has_ended(SECOND, "SUCCESS", 2))
    assert up.runs(SECOND)[1]["status"] == "FAILURE"
    assert site.status(2) == "Completed"
    assert [event["stage"] for event in site.events(2, "run_lost")] == ["ivr"]
    assert len(up.runs(FIRST)) == 2

    # Ctrl-C ends all of it.
    family = psutil.Process(up.process.pid).children(recursive=True)
    assert len(family) >= 3
    up.process.send_signal(signal.SIGINT)
    out, err = up.process.communicate(timeout=30)
    assert (up.process.returncode, err) == (0, "")
    assert out.splitlines()[-2:] == ["stopping", "stopped"]
    assert f"COFI is up: {up.address}" in out
    assert [process for process in family if process.is_running()] == []
