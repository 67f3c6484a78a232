"""``cofi demo``: makes the batch, runs it through real services on this machine, and shows what came of it."""

from __future__ import annotations

import json
import os
import time
from collections import defaultdict
from pathlib import Path

import sqlalchemy as sa
from rich.console import Console
from rich.table import Table

from cofi_dagster.database import tables as t
from cofi_dagster.database.engine import connect, reading
from cofi_dagster.demo.batch import make_demo_batch, truth_path
from cofi_dagster.demo.scoring import Found, score
from cofi_dagster.overview import exceptions
from cofi_dagster.pipeline.batches import BatchError
from cofi_dagster.processes import Children, ProcessFault, start_node
from cofi_dagster.running import RunResult, run_directory
from cofi_dagster.settings import Settings, current

_MISSES = 12


def run_demo(settings: Settings) -> None:
    """Make a batch, run it to its end, and print the timings, the audit's exceptions and how much of it is right.

    Raises:
        BatchError: the batch did not complete, or the node did not come up.
    """
    console = Console(highlight=False)
    started = time.monotonic()
    with console.status("speaking the calls"):
        directory = make_demo_batch(settings.batches)
    spoken = time.monotonic() - started
    calls = len([path for path in directory.iterdir() if path.suffix not in (".csv", "")])
    console.print(f"made {directory.name}: {calls} calls, two voices each, in {spoken:.1f} s")
    with Children(settings) as children:
        if not settings.gpu_machines:
            with console.status("starting the reference node"):
                settings = _with_node(children)
        result = run_directory(settings, directory)
    _show(console, settings, directory, result)
    console.print(f"\nall in {time.monotonic() - started:.0f} s. `make up` opens the pages; the batch is in them.")
    console.print(f"batch {result.batch_id} {result.status}")
    if result.status != "Completed":
        raise BatchError("; ".join(result.errors) or f"the demo's batch ended as {result.status}")


def _with_node(children: Children) -> Settings:
    """Start the reference node and make it this process's fleet."""
    try:
        os.environ.update(start_node(children))
    except ProcessFault as fault:
        raise BatchError(str(fault)) from fault
    current.cache_clear()
    return current()


def _show(console: Console, settings: Settings, directory: Path, result: RunResult) -> None:
    engine = connect(settings)
    console.print("\n[bold]Exceptions of the audit[/bold]")
    for line in exceptions(engine, result.batch_id):
        console.print(f"  {line}", soft_wrap=True)
    truth = json.loads(truth_path(directory).read_text("utf-8"))
    rows = score(truth, found_in(engine, result.batch_id))
    table = Table("Against the truth", "right", "of", title=None)
    for row in rows:
        table.add_row(row.question, str(row.right), str(row.of))
    console.print()
    console.print(table)
    misses = [miss for row in rows for miss in row.misses]
    for miss in misses[:_MISSES]:
        console.print(f"  missed: {miss}", soft_wrap=True)
    if len(misses) > _MISSES:
        console.print(f"  and {len(misses) - _MISSES} more")


def found_in(engine: sa.Engine, batch_id: int) -> Found:
    """What the database says about a batch, as the score wants it."""
    call, trade, mapping, said = t.call, t.trade_metadata, t.trade_audio_mapping, t.call_conversation
    with reading(engine) as connection:
        calls = connection.execute(
            sa.select(call.c.audioName, call.c.status, call.c.lang).where(call.c.batchId == batch_id)
        ).all()
        trades = connection.execute(
            sa.select(trade.c.orderId, trade.c.audioName).where(trade.c.batchId == batch_id)
        ).all()
        verdicts = connection.execute(
            sa.select(trade.c.orderId, mapping.c.verdict)
            .select_from(mapping.join(trade, trade.c.id == mapping.c.tradeMetadataId))
            .where(mapping.c.batchId == batch_id, mapping.c.step == 2, mapping.c.verdict.is_not(None))
            .order_by(mapping.c.score)
        ).all()
        heard = connection.execute(
            sa.select(call.c.audioName, said.c.symbol, said.c.side, said.c.quantity)
            .select_from(said.join(call, call.c.id == said.c.callId))
            .where(call.c.batchId == batch_id)
        ).all()
    by_call: dict[str, list[tuple[str | None, str | None, float | None]]] = defaultdict(list)
    for audio_name, symbol, side, quantity in heard:
        by_call[audio_name].append((symbol, side, quantity))
    return Found(
        calls={name: (status, lang) for name, status, lang in calls},
        evidence={order: name for order, name in trades},
        verdicts={order: None for order, _ in trades} | {order: verdict for order, verdict in verdicts},
        trades=by_call,
    )
