"""What a materialisation carries of its stage: numbers that the UI plots over batches, and a table of all stages.

The numbers are the database's, of all runs of the stage: a run that finds nothing to do leaves no hole in a plot.
"""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import dagster as dg

from cofi_dagster.orchestration.page_links import Link, batch_page
from cofi_dagster.pipeline.progress import StageReport
from cofi_dagster.pipeline.standing import StageState, Standing
from cofi_dagster.settings import Settings
from cofi_dagster.stages import NAMES

TIMING = "timing"
"""The name of the table of all stages, on the last one."""
_MEASURES = "lid"
"""The stage that measures how long the calls are; before it their length is an estimate."""
_HEAD = "|Stage|Began|Took|Files|Failed|Share|\n|---|---|--:|--:|--:|--:|"


def stage_metadata(report: StageReport, found: Standing, settings: Settings) -> Link:
    """The stage that ``report`` is of, and the way to its batch's page; on the last stage the table of all.

    Each name holds the same type, in the same unit, for every batch: the UI plots what is a number.
    """
    state = found.stages[report.stage.name]
    metadata: Link = {
        **batch_page(found.batch_id),
        "batch_id": dg.MetadataValue.text(str(found.batch_id)),
        "state": dg.MetadataValue.text(_state(report)),
        "files": dg.MetadataValue.int(state.total or 0),
        "done": dg.MetadataValue.int(state.done or 0),
        "failed": dg.MetadataValue.int(state.failed or 0),
        "skipped": dg.MetadataValue.int(state.skipped or 0),
        **{name: dg.MetadataValue.float(float(f"{value:.6g}")) for name, value in _rates(state).items()},
    }
    if state is found.gone_through(settings)[-1]:
        metadata[TIMING] = dg.MetadataValue.md(timing_table(found, settings))
    if report.metadata:
        metadata["detail"] = dg.MetadataValue.json(report.metadata)
    return metadata


def _rates(state: StageState) -> dict[str, float]:
    """What can be divided: by the seconds at work of all the stage's runs, which leave out the time between them."""
    rates: dict[str, float] = {}
    took = _took(state)
    if took is not None:
        rates["duration_seconds"] = took
    if state.worked and state.seconds > 0:
        rates["files_per_second"] = state.worked / state.seconds
        rates["seconds_per_file"] = state.seconds / state.worked
    if state.audio > 0 and NAMES.index(state.stage.name) > NAMES.index(_MEASURES):
        rates["audio_hours"] = state.audio / 3600
    if state.total:
        rates["failed_share"] = (state.failed or 0) / state.total
    return rates


def _took(state: StageState) -> float | None:
    """Seconds from the stage's first start to its last end."""
    return None if None in (state.started, state.ended) else float((state.ended - state.started).total_seconds())


def _state(report: StageReport) -> str:
    if report.disabled:
        return str(report.metadata.get("skipped", "disabled by COFI_STAGES_DISABLED"))
    return "nothing was pending" if report.unchanged else "ran"


def timing_table(found: Standing, settings: Settings) -> str:
    """All stages that the batch goes through, in Markdown: below 1,000 characters, so that the UI shows it at once."""
    states = found.gone_through(settings)
    whole = sum(_took(state) or 0.0 for state in states)
    zone = ZoneInfo(settings.time_zone)
    first = min((state.started for state in states if state.started is not None), default=None)
    day = "" if first is None else f"{_local(first, zone):%d %b %Y}, "
    rows = [_row(state, whole, zone) for state in states]
    return "\n".join([f"{day}times in {settings.time_zone}\n", _HEAD, *rows])


def _row(state: StageState, whole: float, zone: ZoneInfo) -> str:
    """A table's stage counts its rows where others count files."""
    took = _took(state)
    cells = (
        state.stage.title,
        "–" if state.started is None else f"{_local(state.started, zone):%H:%M:%S}",
        _said(took),
        f"{state.total or 0:,}",
        f"{state.failed or 0:,}",
        f"{100 * took / whole:.0f}\N{NO-BREAK SPACE}%" if took is not None and whole else "–",
    )
    return f"|{'|'.join(cells)}|"


def _local(time: datetime, zone: ZoneInfo) -> datetime:
    """A time of the database's (UTC without zone) in this zone."""
    return time.replace(tzinfo=UTC).astimezone(zone)


def _said(seconds: float | None) -> str:
    """``4.2 s``, or ``0:12:03`` from a minute on."""
    if seconds is None:
        return "–"
    return f"{seconds:.1f}\N{NO-BREAK SPACE}s" if seconds < 60 else str(timedelta(seconds=round(seconds)))
