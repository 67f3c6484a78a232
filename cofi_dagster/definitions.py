"""The one place where everything meets. ``build_defs`` returns fresh definitions, so that tests swap parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

from cofi_dagster.orchestration.adhoc_jobs import audit_upload, reaudit_job
from cofi_dagster.orchestration.adhoc_sensors import audit_upload_sensor, reaudit_sensor
from cofi_dagster.orchestration.alert_sensors import alert_checks, alert_sensor
from cofi_dagster.orchestration.assets import stage_assets
from cofi_dagster.orchestration.control_jobs import batch_control, batch_launch_sensor
from cofi_dagster.orchestration.jobs import batch_pipeline
from cofi_dagster.orchestration.reconciler import dead_run_sensor
from cofi_dagster.orchestration.resources import FleetResource, TrackingResource
from cofi_dagster.orchestration.sensors import batch_directory_sensor

_SAYS = {
    "tracking": "COFI's own database: times, statuses and results of batches, their stages and their files.",
    "fleet": "The GPU machines: where each stage's service is, by the settings.",
}
"""What the UI says of the resources."""


def build_defs(resource_overrides: Mapping[str, Any] | None = None) -> dg.Definitions:
    """COFI's assets, jobs, sensors and resources; ``resource_overrides`` replaces resources by name."""
    parts = {"tracking": TrackingResource(), "fleet": FleetResource(), **(resource_overrides or {})}
    resources = {name: dg.ResourceDefinition.hardcoded_resource(part, _SAYS.get(name)) for name, part in parts.items()}
    return dg.Definitions(
        assets=stage_assets(),
        asset_checks=[alert_checks],
        jobs=[batch_pipeline, batch_control, audit_upload, reaudit_job],
        sensors=[
            batch_directory_sensor,
            batch_launch_sensor,
            dead_run_sensor,
            alert_sensor,
            audit_upload_sensor,
            reaudit_sensor,
        ],
        resources=resources,
        executor=dg.in_process_executor,
    )


defs = build_defs()
