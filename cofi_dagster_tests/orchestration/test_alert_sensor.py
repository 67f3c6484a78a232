"""Alerts in Dagster: the daemon's own look at the sensor, what it tells, and what a person sees of it in the UI."""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.scheduler.instigation import InstigatorTick, SensorInstigatorData, TickStatus
from dagster._core.storage.asset_check_execution_record import (
    AssetCheckExecutionRecord,
    AssetCheckExecutionRecordStatus,
)
from dagster._core.test_utils import create_test_daemon_workspace_context
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster._daemon.sensor import execute_sensor_iteration

from cofi_dagster.database import tables as t
from cofi_dagster.orchestration.alert_sensors import CHECK
from cofi_dagster.orchestration.assets import FAILURE_SHARE
from cofi_dagster.settings import Settings
from cofi_dagster_tests.batches import make_batch
from cofi_dagster_tests.fleet_simulator import FleetSimulator
from cofi_dagster_tests.orchestration.conftest import KEY, Installation
from cofi_dagster_tests.pipeline.site import Site
from cofi_dagster_tests.status.test_alerts import stt_at_work

CODE = """
from cofi_dagster.definitions import build_defs
from cofi_dagster.orchestration.resources import TrackingResource
from cofi_dagster.settings import Settings

defs = build_defs({"tracking": TrackingResource(Settings.load(_env_file=None))})
"""
ALERT = f"Speech to text of batch {KEY} failed for 3 of 10 files (30.0%)"


class Webhook:
    """A webhook that can be out of order, and what it took."""

    def __init__(self) -> None:
        self.answer = 503
        self.got: list[str] = []
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                text = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"]
                if hook.answer == 200:
                    hook.got.append(text)
                self.send_response(hook.answer)
                self.end_headers()

            def log_message(self, *_words: object) -> None:
                """Nothing."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/services/x"


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    hook = Webhook()
    with hook.server as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield hook
        server.shutdown()
        thread.join()


class Daemon:
    """Dagster's sensor daemon in this process, over COFI's definitions in this process."""

    def __init__(self, instance: dg.DagsterInstance, workspace: WorkspaceProcessContext) -> None:
        self._instance = instance
        self._workspace = workspace
        (location,) = workspace.create_request_context().code_locations
        sensor = next(iter(location.get_repositories().values())).get_sensor("alert_sensor")
        self._named = (sensor.get_remote_origin_id(), sensor.selector_id)

    def tick(self) -> str | None:
        """A look at every sensor that is due, as ours always is; what the tick of ours says."""
        before = len(self._ticks())
        state = self._instance.get_instigator_state(*self._named)
        if state is not None:
            assert isinstance(state.instigator_data, SensorInstigatorData)
            data = state.instigator_data._replace(last_tick_start_timestamp=0.0, last_tick_timestamp=0.0)
            self._instance.update_instigator_state(state.with_data(data))
        for _ in execute_sensor_iteration(self._workspace, logging.getLogger("daemon"), None, None):
            pass
        ticks = self._ticks()
        assert (len(ticks), ticks[0].status) == (before + 1, TickStatus.SKIPPED)
        return ticks[0].skip_reason

    def _ticks(self) -> Sequence[InstigatorTick]:
        return self._instance.get_ticks(*self._named)

    def checked(self, stage: str) -> list[tuple[bool, str | None]]:
        """The results of the stage's alert check in the event log, newest first: passed or not, and what it says."""
        log = self._instance.event_log_storage
        records = log.get_asset_check_execution_history(dg.AssetCheckKey(dg.AssetKey(stage), CHECK), limit=10)
        return [evaluation(record) for record in records]


def evaluation(record: AssetCheckExecutionRecord) -> tuple[bool, str | None]:
    assert record.event is not None
    assert record.event.dagster_event is not None
    found = record.event.dagster_event.event_specific_data
    assert isinstance(found, dg.AssetCheckEvaluation)
    assert found.severity is dg.AssetCheckSeverity.WARN
    return found.passed, found.description


@pytest.fixture
def daemon(
    settings: Callable[..., Settings],
    instance_of: Callable[[Settings], dg.DagsterInstance],
    webhook: Webhook,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[tuple[Site, Daemon]]:
    """An installation with the webhook in its settings, and its daemon."""
    chosen = settings(COFI_ALERT_WEBHOOK_URL=webhook.url)
    monkeypatch.setenv("COFI_HOME", str(chosen.home))
    monkeypatch.setenv("COFI_ALERT_WEBHOOK_URL", webhook.url)
    code = tmp_path / "definitions.py"
    code.write_text(CODE)
    origin = LoadableTargetOrigin(executable_path=sys.executable, python_file=str(code), attribute="defs")
    target = InProcessWorkspaceLoadTarget(InProcessCodeLocationOrigin(origin))
    here, instance = Site.open(chosen), instance_of(chosen)
    with create_test_daemon_workspace_context(target, instance) as workspace:
        yield here, Daemon(instance, workspace)
    here.engine.dispose()


def test_the_daemon_tells_an_alert_once_shows_it_at_the_stage_and_tells_its_end(
    daemon: tuple[Site, Daemon], webhook: Webhook
) -> None:
    here, dagster = daemon
    assert dagster.tick() == "no open alerts"
    batch = stt_at_work(here, itemsTotal=10, itemsFailed=3)

    # The webhook is out of order: the tick says what is open, the stage's check warns, and the log has been told.
    assert dagster.tick() == f"1 open: {ALERT}"
    assert dagster.checked("stt") == [(False, ALERT)]
    assert [list(row.toldRaised) for row in here.rows(t.alert.select())] == [["log"]]

    # It is back: it is told, once; nothing is shown again.
    webhook.answer = 200
    for _ in range(2):
        assert dagster.tick() == f"1 open: {ALERT}"
    assert webhook.got == [f"COFI: {ALERT}"]
    assert len(dagster.checked("stt")) == 1

    # It is over.
    here.tracker.complete_stage(batch, "stt")
    here.execute(t.stage_detail.update().values(itemsFailed=0))
    for _ in range(2):
        assert dagster.tick() == "no open alerts"
    assert webhook.got == [f"COFI: {ALERT}", f"COFI: over: {ALERT}"]
    assert dagster.checked("stt") == [(True, None), (False, ALERT)]
    assert dagster.checked("lid") == []


def test_a_run_with_failed_files_ends_well_and_its_stage_warns_in_the_event_log(
    installation: Callable[..., Installation], fleet: FleetSimulator
) -> None:
    here = installation(COFI_STAGES_DISABLED="llm1,llm2,triaging_step2", **fleet.environment())
    make_batch(here.site.settings.batches, KEY, 4)
    fleet.fault("status", service="ivr", status=400, times=1)
    run = here.run()
    assert run.success
    key = dg.AssetCheckKey(dg.AssetKey("ivr"), FAILURE_SHARE)
    (record,) = here.instance.event_log_storage.get_asset_check_execution_history(key, limit=10)
    assert (record.run_id, evaluation(record)) == (run.run_id, (False, None))
    assert record.status is AssetCheckExecutionRecordStatus.FAILED
