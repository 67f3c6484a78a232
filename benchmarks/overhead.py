"""Measure ``overhead``: a batch through the whole pipeline, over a bare loop that makes the same requests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

from benchmarks.batch_run import Installation
from benchmarks.measure import Measure, Row, Surroundings
from benchmarks.wire import MACHINES, PER_MACHINE, QUESTIONS, SEGMENTS, run_wire
from cofi_dagster_tests.batches import make_batch
from cofi_dagster_tests.fleet_simulator import FleetSimulator

_REACH = 1.5


def _run(surroundings: Surroundings) -> Iterator[Row]:
    batch = make_batch(surroundings.folder, "2026-01-15_1", surroundings.files)
    for database in surroundings.databases:
        with FleetSimulator(machines=MACHINES, languages="en", segments=SEGMENTS, record="count") as fleet:
            environment = {**fleet.environment(), "COFI_CONCURRENCY_PER_MACHINE": str(PER_MACHINE)}
            cofi = Installation(surroundings.folder / database, surroundings.fresh_database(database), environment)
            cofi.ask_questions(QUESTIONS)
            ours = cofi.run_batch(batch)
            rows = {table: cofi.count(table) / surroundings.files for table in ("transcript", "auditAnswer")}
            llm_bodies = {service: body for service, body in fleet.examples().items() if service.startswith("llm")}
            bare = run_wire(fleet, batch, llm_bodies)
        ratio = ours.seconds / bare.seconds
        detail = {"pipeline": asdict(ours), "wire": asdict(bare), "rows_per_file": rows}
        yield Row(f"{database}, {surroundings.files} files", ratio, ratio <= _REACH, detail)


MEASURE = Measure("overhead", "pipeline over the bare wire", "×", f"≤ {_REACH}", _run)
