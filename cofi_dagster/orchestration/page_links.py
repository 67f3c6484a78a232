"""Links from Dagster to COFI's pages. They name no host: the pages are on the address that the Dagster UI is on.

Dagster's UI makes a link of metadata that is a URL, and of nothing else that a run can carry: its tags are plain text.
So a run says its page in its log, in the first event that is COFI's own; a materialisation and a failure carry it.
"""

import dagster as dg
from dagster._core.events import EngineEventData

PAGES = "pages"
"""The name of the metadata."""

Link = dict[str, dg.MetadataValue]


def batch_page(batch_id: int) -> Link:
    """The page of a batch, as metadata."""
    return {PAGES: dg.MetadataValue.url(f"/cofi/batch/{batch_id}")}


def task_page(task_id: str) -> Link:
    """The page of an audit upload or a reaudit, as metadata."""
    return {PAGES: dg.MetadataValue.url(f"/cofi/task/{task_id}")}


def say_page(instance: dg.DagsterInstance, run: dg.DagsterRun, what: str, link: Link) -> None:
    """Say in the run's log which page is ``what``'s."""
    instance.report_engine_event(f"{what}: its page in COFI", run, EngineEventData(metadata=link))
