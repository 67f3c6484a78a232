"""The jobs. In-process executor throughout: a run is a process of its own already, and files are the engine's."""

from __future__ import annotations

import dagster as dg

from cofi_dagster.orchestration.alert_sensors import alert_checks

BATCH_PIPELINE = "batch_pipeline"
BATCH_TAG = "cofi/batch"
"""Tag with the batch's key: one run of a batch at a time, by the run queue's limit on it."""

batch_pipeline = dg.define_asset_job(
    BATCH_PIPELINE,
    selection=dg.AssetSelection.all() - dg.AssetSelection.checks(alert_checks),
    executor_def=dg.in_process_executor,
    description="Drives a batch directory through all stages. A run again goes on with what is pending.\n\n"
    "[COFI: all batches](/cofi). A run's log begins with the link to its batch.",
)
