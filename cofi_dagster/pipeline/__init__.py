"""The pipeline: dispatch, group commit, tracking, and one module per stage. No Dagster in here."""
