"""One asset per stage of the catalogue, partitioned by batch, in a chain. What a stage does is in ``pipeline``."""

from collections.abc import Iterator

import dagster as dg

from cofi_dagster.database.engine import DatabaseError
from cofi_dagster.orchestration.launcher import RUN_TAG, process_tags
from cofi_dagster.orchestration.partitions import BATCHES
from cofi_dagster.orchestration.resources import FleetResource, TrackingResource
from cofi_dagster.pipeline import batches
from cofi_dagster.pipeline.batches import Batch, BatchError
from cofi_dagster.pipeline.progress import StageReport
from cofi_dagster.pipeline.run import Pipeline
from cofi_dagster.pipeline.tracker import BatchBusy, StageFailed, StageRefused
from cofi_dagster.stages import STAGES, Kind, Stage

_GROUPS = {"files": "intake", None: "records", "denoise": "audio", "ivr": "audio", "lid": "audio"}
_KINDS = {Kind.FILES: {"python", "gpu"}, Kind.TABLE: {"python", "sql"}}
ACCOUNTED = "all_files_accounted_for"
FAILURE_SHARE = "failure_share"


def stage_assets() -> list[dg.AssetsDefinition]:
    """The assets, in pipeline order: each depends on the one before, so that the order is the catalogue's."""
    assets: list[dg.AssetsDefinition] = []
    previous: Stage | None = None
    for stage in STAGES:
        assets.append(_asset(stage, previous))
        previous = stage
    return assets


def _asset(stage: Stage, previous: Stage | None) -> dg.AssetsDefinition:
    checks = [
        dg.AssetCheckSpec(ACCOUNTED, asset=stage.name, description="Files done, failed and skipped add up to all."),
        dg.AssetCheckSpec(FAILURE_SHARE, asset=stage.name, description="Few enough of the stage's files failed."),
    ]

    @dg.asset(
        name=stage.name,
        partitions_def=BATCHES,
        deps=[previous.name] if previous else None,
        group_name=_GROUPS.get(stage.service, "speech_and_audit"),
        kinds=_KINDS[stage.kind],
        description=stage.description,
        pool=f"cofi_{stage.service}" if stage.service else None,
        check_specs=checks,
        output_required=True,
        op_tags={"cofi/stage": stage.name},
    )
    def asset(
        context: dg.AssetExecutionContext, tracking: dg.ResourceParam[TrackingResource], fleet: dg.ResourceParam[FleetResource]
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster refuses the subscript
        try:
            _name_process(context)
            pipeline = tracking.pipeline(fleet)
            batch = batch_of(pipeline, context.partition_key)
            report = pipeline.run_stage(batch.id, stage.name, context.run_id)
        except (StageFailed, StageRefused, BatchBusy, BatchError, DatabaseError) as error:
            raise dg.Failure(description=str(error), allow_retries=False) from error
        warn_at = pipeline.settings.failure_share_warning
        return dg.MaterializeResult(metadata=stage_metadata(report, batch), check_results=list(_check(report, warn_at)))

    return asset


def _name_process(context: dg.AssetExecutionContext) -> None:
    """Put this process into the run's tags, once, where the launcher did not know it."""
    if context.run.tags.get(RUN_TAG) != context.run_id:
        context.instance.add_run_tags(context.run_id, process_tags(context.run_id))


def batch_of(pipeline: Pipeline, key: str) -> Batch:
    """The batch of a partition; its directory below the batch root is registered where it was not.

    Raises:
        BatchError: there is no such batch, and no directory of that name.
    """
    known = batches.by_key(pipeline.engine, key, pipeline.settings.batches)
    if known is not None:
        return known
    directory = pipeline.settings.batches / key
    if not directory.is_dir():
        raise BatchError(f"there is no batch {key} and no directory {directory}")
    return batches.register(pipeline.engine, directory, pipeline.settings.batches)


def stage_metadata(report: StageReport, batch: Batch) -> dict[str, dg.MetadataValue]:
    """What a person wants to see of a stage, with numbers that the UI can plot over batches."""
    metadata: dict[str, dg.MetadataValue] = {
        "batch_id": dg.MetadataValue.int(batch.id),
        "files": dg.MetadataValue.int(report.total),
        "done": dg.MetadataValue.int(report.done),
        "failed": dg.MetadataValue.int(report.failed),
        "skipped": dg.MetadataValue.int(report.skipped),
        "state": dg.MetadataValue.text(_state(report)),
    }
    if report.seconds is not None:
        metadata["duration_seconds"] = dg.MetadataValue.float(report.seconds)
        if report.seconds > 0:
            metadata["files_per_second"] = dg.MetadataValue.float(report.done / report.seconds)
    if report.metadata:
        metadata["detail"] = dg.MetadataValue.json(report.metadata)
    metadata["timing"] = dg.MetadataValue.url(f"/api/batch/{batch.id}/timing")
    return metadata


def _state(report: StageReport) -> str:
    if report.disabled:
        return "disabled by COFI_STAGES_DISABLED"
    return "nothing was pending" if report.unchanged else "ran"


def _check(report: StageReport, warn_at: float) -> Iterator[dg.AssetCheckResult]:
    ended = report.done + report.failed + report.skipped
    settled = report.disabled or report.unchanged
    yield dg.AssetCheckResult(
        check_name=ACCOUNTED,
        passed=settled or ended == report.total,
        metadata={"files": report.total, "ended": report.total if settled else ended},
    )
    share = report.failed / report.total if report.total else 0.0
    yield dg.AssetCheckResult(
        check_name=FAILURE_SHARE,
        passed=share <= warn_at,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"share": share, "warn_above": warn_at},
    )
