"""Triaging, step 2: the mappings confirmed, re-ranked or withdrawn by what was said; in one transaction."""

from __future__ import annotations

from collections import Counter

import pandas as pd
import sqlalchemy as sa

from cofi_dagster.database import tables as t
from cofi_dagster.database.transactions import inquire, transact
from cofi_dagster.pipeline import triage_tables
from cofi_dagster.pipeline.pending import JOINED
from cofi_dagster.pipeline.run import StageContext
from cofi_dagster.pipeline.tracker import StageRun, Tracker

_SAID = ("id", "callId", "symbol", "side", "quantity", "price", "priceType")


def run(context: StageContext, stage_run: StageRun, tracker: Tracker) -> None:
    """Compare what was said with what was executed, and store what follows."""
    from cofi_dagster.triage.step2 import refine

    batch = context.batch
    trades, calls, mappings, said, asked = inquire(context.engine, lambda connection: _read(connection, batch.id))
    tracker.set_total(stage_run, len(trades))
    refined = refine(trades, calls, mappings, said, window_minutes=context.settings.triage_window_minutes, asked=asked)

    def store(connection: sa.Connection) -> int:
        triage_tables.store(connection, batch.id, 2, refined.mappings, refined.audio_names)
        return triage_tables.settle_no_trade_answers(connection, batch)

    without = transact(context.engine, store)
    stage_run.done = len(trades)
    verdicts = Counter(verdict or "undecided" for verdict in refined.verdicts.values())
    with_evidence = sum(name is not None for name in refined.audio_names.values())
    stage_run.metadata.update(
        tradesWithEvidence=with_evidence, verdicts=dict(sorted(verdicts.items())), callsWithoutTrade=without
    )


def _read(
    connection: sa.Connection, batch_id: int
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame, set[int]]:
    return (
        triage_tables.trades(connection, batch_id),
        triage_tables.calls(connection, batch_id),
        _step_one(connection, batch_id),
        _conversations(connection, batch_id),
        _asked(connection, batch_id),
    )


def _step_one(connection: sa.Connection, batch_id: int) -> pd.DataFrame:
    table = t.trade_audio_mapping
    return triage_tables.frame(connection, sa.select(table).where(table.c.batchId == batch_id, table.c.step == 1))


def _conversations(connection: sa.Connection, batch_id: int) -> pd.DataFrame:
    """Of each call the trades of its newest reply; older replies, of reaudits, are history."""
    said, call = t.call_conversation, t.call
    columns = [*(said.c[name] for name in _SAID), said.c.replyId, call.c.llm1ReplyId]
    query = sa.select(*columns).select_from(said.join(call, call.c.id == said.c.callId))
    found = triage_tables.frame(connection, query.where(call.c.batchId == batch_id))
    # Compared here: in an adopted database the two columns may have collations that a server refuses to compare.
    replies = zip(found["replyId"], found["llm1ReplyId"], strict=True)
    newest = [(reply or "") == (current or "") for reply, current in replies]
    return found.loc[newest, list(_SAID)].reset_index(drop=True)


def _asked(connection: sa.Connection, batch_id: int) -> set[int]:
    """The calls whose LLM1 is done."""
    flags = t.file_distribution.c
    query = sa.select(t.call.c.id).select_from(JOINED).where(t.call.c.batchId == batch_id, flags.llm1Done == 1)
    return set(connection.execute(query).scalars())
