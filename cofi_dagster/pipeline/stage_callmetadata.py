"""Call metadata: ``callMetadata.csv`` into ``callMetadata``."""

from __future__ import annotations

from cofi_dagster.database import tables as t
from cofi_dagster.pipeline.batches import CALL_CSV
from cofi_dagster.pipeline.csv_import import read_call_metadata
from cofi_dagster.pipeline.csv_stage import import_csv
from cofi_dagster.pipeline.run import StageContext
from cofi_dagster.pipeline.tracker import StageRun, Tracker
from cofi_dagster.settings import column_names


def run(context: StageContext, stage_run: StageRun, tracker: Tracker) -> None:
    """Import the file."""
    renames = column_names(context.settings.call_csv_columns)
    import_csv(
        context, stage_run, tracker, name=CALL_CSV, table=t.call_metadata, read=read_call_metadata, renames=renames
    )
