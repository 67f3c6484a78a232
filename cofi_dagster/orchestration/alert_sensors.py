"""Alerts in Dagster: a sensor that watches and tells, and reports each stage's open alerts as an asset check.

The sensor reports the check whenever it changes; a person may evaluate it in the UI, a batch's run does not. What is an
alert is in ``alerts``.
"""

from collections import defaultdict
from collections.abc import Iterator

import dagster as dg

from cofi_dagster.alerts.rules import Alert
from cofi_dagster.alerts.sinks import sinks_of
from cofi_dagster.alerts.watch import Watched, look, watch
from cofi_dagster.orchestration.resources import TrackingResource
from cofi_dagster.stages import NAMES

CHECK = "no_open_alerts"


@dg.multi_asset_check(
    name="alerts",
    specs=[dg.AssetCheckSpec(CHECK, asset=name, description="The stage has no open alert.") for name in NAMES],
    can_subset=True,
)
def alert_checks(
    context: dg.AssetCheckExecutionContext, tracking: dg.ResourceParam[TrackingResource]
) -> Iterator[dg.AssetCheckResult]:
    """The same, when a person asks."""
    open_alerts = look(tracking.engine, tracking.settings)
    for name in NAMES:
        if dg.AssetCheckKey(dg.AssetKey(name), CHECK) not in context.selected_asset_check_keys:
            continue
        messages = [alert.message for alert in open_alerts if alert.stage == name]
        yield dg.AssetCheckResult(
            asset_key=dg.AssetKey(name),
            check_name=CHECK,
            passed=not messages,
            severity=dg.AssetCheckSeverity.WARN,
            description="; ".join(messages) or None,
        )


@dg.sensor(
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Looks for stages that are late, slow, stuck or failing, late batches and machines set aside; tells "
    "the log, the webhook and the mail of the settings, once each, and when it is over.",
)
def alert_sensor(
    context: dg.SensorEvaluationContext, tracking: dg.ResourceParam[TrackingResource]
) -> dg.SensorResult | dg.SkipReason:
    """Never launches a run."""
    found = watch(tracking.engine, tracking.settings, sinks_of(tracking.settings))
    for alert in found.raised:
        context.log.warning(alert.message)
    for message in found.resolved:
        context.log.info("over: %s", message)
    for line in found.not_told:
        context.log.error("an alert could not be told: %s", line)
    previous = {*(context.cursor or "").split(",")} & {*NAMES}
    now = {alert.stage for alert in found.open if alert.stage}
    if not found.raised and not found.resolved and now == previous:
        return dg.SkipReason(_said(found))
    return dg.SensorResult(
        skip_reason=dg.SkipReason(_said(found)),
        asset_events=check_events(found.open, previous | now),
        cursor=",".join(["open", *sorted(now)]),  # never empty: Dagster keeps the one before an empty cursor
    )


def _said(found: Watched) -> str:
    if not found.open:
        return "no open alerts"
    return f"{len(found.open)} open: " + "; ".join(alert.message for alert in found.open[:10])


def check_events(open_alerts: list[Alert], stages: set[str]) -> list[dg.AssetCheckEvaluation]:
    """The check of each of these stages: failed with its messages, or passed."""
    by_stage: dict[str, list[str]] = defaultdict(list)
    for alert in open_alerts:
        if alert.stage:
            by_stage[alert.stage].append(alert.message)
    return [
        dg.AssetCheckEvaluation(
            asset_key=dg.AssetKey(name),
            check_name=CHECK,
            passed=not by_stage[name],
            severity=dg.AssetCheckSeverity.WARN,
            description="; ".join(by_stage[name]) or None,
        )
        for name in NAMES
        if name in stages
    ]
