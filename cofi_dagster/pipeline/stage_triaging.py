"""Triaging, step 1: which call is the evidence for which trade, by metadata alone; in one transaction."""

from __future__ import annotations

import sqlalchemy as sa

from cofi_dagster.database.transactions import inquire, transact
from cofi_dagster.pipeline import triage_tables
from cofi_dagster.pipeline.run import StageContext
from cofi_dagster.pipeline.tracker import StageRun, Tracker


def run(context: StageContext, stage_run: StageRun, tracker: Tracker) -> None:
    """Match, store the mappings, and answer the questions of calls that no trade needs."""
    from cofi_dagster.triage.step1 import match

    batch = context.batch
    trades = inquire(context.engine, lambda connection: triage_tables.trades(connection, batch.id))
    calls = inquire(context.engine, lambda connection: triage_tables.calls(connection, batch.id))
    tracker.set_total(stage_run, len(trades))
    matches = match(trades, calls, window_minutes=context.settings.triage_window_minutes)

    def store(connection: sa.Connection) -> int:
        triage_tables.store(connection, batch.id, 1, matches.mappings, matches.audio_names)
        return triage_tables.settle_no_trade_answers(connection, batch)

    without = transact(context.engine, store)
    with_evidence = sum(name is not None for name in matches.audio_names.values())
    stage_run.done = len(trades)
    stage_run.metadata.update(
        tradesWithEvidence=with_evidence, mappings=len(matches.mappings), callsWithoutTrade=without
    )
