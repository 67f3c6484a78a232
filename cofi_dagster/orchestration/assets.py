"""One asset per stage of the catalogue, partitioned by batch, in a chain. What a stage does is in ``pipeline``."""

from collections.abc import Iterator

import dagster as dg
from dagster._core.errors import DagsterExecutionInterruptedError

from cofi_dagster.database.engine import DatabaseError
from cofi_dagster.database.transactions import inquire
from cofi_dagster.orchestration.launcher import RUN_TAG, process_tags
from cofi_dagster.orchestration.page_links import Link, batch_page, say_page
from cofi_dagster.orchestration.partitions import BATCHES
from cofi_dagster.orchestration.resources import FleetResource, TrackingResource
from cofi_dagster.orchestration.stage_metadata import stage_metadata
from cofi_dagster.pipeline import batches
from cofi_dagster.pipeline.batches import Batch, BatchError
from cofi_dagster.pipeline.progress import StageReport
from cofi_dagster.pipeline.run import Pipeline
from cofi_dagster.pipeline.standing import standing
from cofi_dagster.pipeline.status import IllegalStep
from cofi_dagster.pipeline.tracker import BatchBusy, StageCancelled, StageFailed, StagePaused, StageRefused
from cofi_dagster.stages import NAMES, STAGES, Stage

_GROUP_FROM = {"file_distribution": "intake", "denoise": "audio", "triaging": "evidence"}
"""The graph's boxes: each holds the stages from this one up to the next, so that the boxes are a chain too."""
_KINDS_OF_SERVICE = {"files": {"python", "file"}, "llm": {"python", "llm"}, None: {"python", "table"}}
_KINDS = {"python", "gpu"}
"""What stages work with, as the graph shows it: with a sign where the UI has one for the kind."""
ACCOUNTED = "all_files_accounted_for"
FAILURE_SHARE = "failure_share"
PAUSED_TAG = "cofi/paused"
"""Tag of a run that ended because its batch was paused, with the stage."""


def stage_assets() -> list[dg.AssetsDefinition]:
    """The assets, in pipeline order: each depends on the one before, so that the order is the catalogue's."""
    assets: list[dg.AssetsDefinition] = []
    previous: Stage | None = None
    group = ""
    for stage in STAGES:
        group = _GROUP_FROM.get(stage.name, group)
        assets.append(_asset(stage, previous, group))
        previous = stage
    return assets


def _asset(stage: Stage, previous: Stage | None, group: str) -> dg.AssetsDefinition:
    checks = [
        dg.AssetCheckSpec(ACCOUNTED, asset=stage.name, description="Files done, failed and skipped add up to all."),
        dg.AssetCheckSpec(FAILURE_SHARE, asset=stage.name, description="Few enough of the stage's files failed."),
    ]

    @dg.asset(
        name=stage.name,
        partitions_def=BATCHES,
        deps=[previous.name] if previous else None,
        group_name=group,
        kinds=_KINDS_OF_SERVICE.get(stage.service, _KINDS),
        description=f"{stage.description}\n\n[COFI: all batches](/cofi)",
        pool=f"cofi_{stage.service}" if stage.service else None,
        check_specs=checks,
        output_required=False,
        op_tags={"cofi/stage": stage.name},
    )
    def asset(
        context: dg.AssetExecutionContext,
        tracking: dg.ResourceParam[TrackingResource],
        fleet: dg.ResourceParam[FleetResource],
    ) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:  # type: ignore[type-arg]  # Dagster refuses the subscript
        link: Link = {}
        try:
            pipeline = tracking.pipeline(fleet)
            _name_process(context)
            batch = batch_of(pipeline, context.partition_key)
            link = batch_page(batch.id)
            if _is_first(context, stage):
                say_page(context.instance, context.run, f"batch {batch.key}", link)
            report = pipeline.run_stage(batch.id, stage.name, context.run.run_id)
            found = inquire(pipeline.engine, lambda connection: standing(connection, batch.id))
        except StagePaused as paused:
            yield from _paused(context, str(paused), stage)
            return
        except StageCancelled as cancelled:
            context.instance.report_run_canceling(context.run, message=str(cancelled))
            raise DagsterExecutionInterruptedError(str(cancelled)) from cancelled
        except (StageFailed, StageRefused, BatchBusy, BatchError, DatabaseError, IllegalStep) as error:
            raise dg.Failure(description=str(error), metadata=link, allow_retries=False) from error
        settings = pipeline.settings
        yield dg.MaterializeResult(
            metadata=stage_metadata(report, found, settings),
            check_results=list(stage_checks(report, settings.failure_share_warning)),
        )

    return asset


def _paused(context: dg.AssetExecutionContext, sentence: str, stage: Stage) -> Iterator[dg.AssetCheckResult]:
    """The batch is paused: the stage has no result, so that Dagster skips what comes after, and the run ends well."""
    context.instance.add_run_tags(context.run.run_id, {PAUSED_TAG: stage.name})
    context.log.info("%s. `cofi batch resume`, or a new run, goes on there.", sentence)
    for name in (ACCOUNTED, FAILURE_SHARE):
        yield dg.AssetCheckResult(
            check_name=name,
            passed=False,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"Not looked at: {sentence}.",
        )


def _name_process(context: dg.AssetExecutionContext) -> None:
    """Put this process into the run's tags, once, where the launcher did not know it."""
    run_id = context.run.run_id
    if context.run.tags.get(RUN_TAG) != run_id:
        context.instance.add_run_tags(run_id, process_tags(run_id))


def _is_first(context: dg.AssetExecutionContext, stage: Stage) -> bool:
    """Whether the run begins with this stage."""
    steps = context.run.step_keys_to_execute or {node.name for node in context.job_def.nodes_in_topological_order}
    return stage.name == next(name for name in NAMES if name in steps)


def batch_of(pipeline: Pipeline, key: str) -> Batch:
    """The batch of a partition; its directory below the batch root is registered where it was not.

    Raises:
        BatchError: the key is no batch key; or there is no such batch, and no directory of that name.
    """
    try:
        known = batches.by_key(pipeline.engine, key, pipeline.settings.batches)
    except ValueError as error:
        raise BatchError(str(error)) from None
    if known is not None:
        return known
    directory = pipeline.settings.batches / key
    if not directory.is_dir():
        raise BatchError(f"there is no batch {key} and no directory {directory}")
    return batches.register(pipeline.engine, directory, pipeline.settings.batches)


def stage_checks(report: StageReport, warn_at: float) -> Iterator[dg.AssetCheckResult]:
    """Whether all files have an outcome, and whether few enough failed."""
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
