"""Fixtures of the Dagster tests: a real instance with COFI's own `dagster.yaml`, and COFI's definitions on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import dagster as dg
import pytest

from cofi_dagster.definitions import build_defs
from cofi_dagster.orchestration.instance import open_instance
from cofi_dagster.orchestration.jobs import BATCH_PIPELINE, BATCH_TAG
from cofi_dagster.orchestration.resources import FleetResource, TrackingResource
from cofi_dagster.settings import Settings
from cofi_dagster_tests.pipeline.site import Site

KEY = "2026-01-15_1"
QUIET = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}


@dataclass(frozen=True, slots=True)
class Installation:
    """COFI on a database and Dagster on an instance, in this process."""

    site: Site
    instance: dg.DagsterInstance
    defs: dg.Definitions

    def run(self, key: str = KEY, **how: Any) -> dg.ExecuteInProcessResult:
        """Run `batch_pipeline` for a batch, as the UI's Launchpad does."""
        self.instance.add_dynamic_partitions("batches", [key])
        job = self.defs.resolve_job_def(BATCH_PIPELINE)
        return job.execute_in_process(
            run_config=QUIET,
            instance=self.instance,
            partition_key=key,
            tags={BATCH_TAG: key},
            raise_on_error=False,
            **how,
        )


def links(instance: dg.DagsterInstance, run_id: str) -> list[str]:
    """The addresses in the run's log that the UI makes links of, in the order of the log; no materialisation's."""
    found: list[dg.MetadataValue] = []
    for record in instance.get_records_for_run(run_id).records:
        event = record.event_log_entry.dagster_event
        if event is not None and event.is_engine_event:
            found += event.engine_event_data.metadata.values()
        elif event is not None and event.is_step_failure and event.step_failure_data.user_failure_data:
            found += event.step_failure_data.user_failure_data.metadata.values()
    return [value.url for value in found if isinstance(value, dg.UrlMetadataValue)]


@pytest.fixture
def instance_of(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Settings], dg.DagsterInstance]]:
    """Open the instance of the settings' home; it is closed at the test's end."""
    opened = []

    def make(settings: Settings) -> dg.DagsterInstance:
        monkeypatch.setenv("DAGSTER_HOME", str(settings.dagster_home))
        context = open_instance(settings)
        opened.append(context)
        return context.__enter__()

    yield make
    for context in opened:
        context.__exit__(None, None, None)


@pytest.fixture
def installation(
    settings: Callable[..., Settings], instance_of: Callable[[Settings], dg.DagsterInstance]
) -> Iterator[Callable[..., Installation]]:
    """Make an installation: ``installation(**fleet.environment())``.

    Its instance is one in memory; with ``on_disk=True`` it is that of COFI's own ``dagster.yaml``, some seconds slower.
    """
    sites = []
    instances = []

    def make(on_disk: bool = False, **values: Any) -> Installation:
        chosen = settings(**values)
        sites.append(Site.open(chosen))
        parts = {"tracking": TrackingResource(chosen), "fleet": FleetResource(chosen)}
        if on_disk:
            return Installation(sites[-1], instance_of(chosen), build_defs(parts))
        instances.append(dg.DagsterInstance.ephemeral())
        return Installation(sites[-1], instances[-1], build_defs(parts))

    yield make
    for site in sites:
        site.engine.dispose()
    for instance in instances:
        instance.dispose()
