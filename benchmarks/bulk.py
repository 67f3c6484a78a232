"""Measure ``bulk``: rows a second through the sink, over SQLAlchemy Core's bare ``executemany`` of the same rows.

The bare side inserts the rows of the same groups, a transaction each, and nothing else; the sink also sets done flags
and calls' statuses, leaves its receipt, and makes the log rows itself. Both on one server, in turn, twice.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from benchmarks.measure import Measure, Row, Surroundings
from cofi_dagster.database import tables as t
from cofi_dagster.database.engine import connect
from cofi_dagster.database.upgrade import upgrade
from cofi_dagster.pipeline.progress import Tally, Unwatched
from cofi_dagster.pipeline.sink import Sink, SinkSettings
from cofi_dagster.pipeline.work import Outcome, State, Work
from cofi_dagster.stages import BY_NAME

_REACH = 0.7
_SEGMENTS = 50
_GROUP = 250
_TEXT = "It is trading a little higher than yesterday, कितना लेना है? "


def _prepare(engine: sa.Engine, batch: int, files: int) -> list[Outcome]:
    """A batch with its files and calls, and an outcome of speech to text for each."""
    first = batch * files
    with engine.begin() as connection:
        row = {"id": batch, "batchDate": sa.func.current_date(), "batchNumber": batch}
        connection.execute(t.batch_status.insert().values(row))
        named = [(first + number, f"call_{number:06d}.wav") for number in range(files)]
        rows: list[dict[str, Any]] = [{"id": k, "batchId": batch, "file": name, "ip": "m"} for k, name in named]
        connection.execute(t.file_distribution.insert(), rows)
        connection.execute(t.call.insert(), [{"id": k, "batchId": batch, "audioName": name} for k, name in named])
    return [_outcome(number, name) for number, name in named]


def _outcome(number: int, name: str) -> Outcome:
    rows = [
        {
            "callId": number,
            "segmentIndex": k,
            "startTime": 1.0 * k,
            "endTime": k + 0.9,
            "speaker": "agent",
            "text": _TEXT,
        }
        for k in range(_SEGMENTS)
    ]
    work = Work(row_id=number, call_id=number, file=name, home="m", weight=60.0)
    return Outcome(work, State.DONE, call={"status": "TranscriptDone"}, rows={t.transcript: rows})


def _through_sink(engine: sa.Engine, batch: int, outcomes: Sequence[Outcome]) -> float:
    settings = SinkSettings(_GROUP, 0.5, 100, False)
    began = time.perf_counter()
    with Sink(engine, BY_NAME["stt"], batch, Tally(len(outcomes)), settings, observer=Unwatched()) as sink:
        for outcome in outcomes:
            sink.put(outcome)
    return time.perf_counter() - began


def _bare(engine: sa.Engine, batch: int, outcomes: Sequence[Outcome]) -> float:
    log = {"batch_id": batch, "stage_name": "stt", "status": "success"}
    began = time.perf_counter()
    for start in range(0, len(outcomes), _GROUP):
        group = outcomes[start : start + _GROUP]
        with engine.begin() as connection:
            connection.execute(t.transcript.insert(), [row for o in group for row in o.rows[t.transcript]])
            connection.execute(t.processing_logs.insert(), [{**log, "call_id": o.work.call_id} for o in group])
    return time.perf_counter() - began


def _run(surroundings: Surroundings) -> Iterator[Row]:
    files = min(surroundings.files, 2000)
    for database in surroundings.databases:
        engine = connect(surroundings.fresh_database(database))
        upgrade(engine)
        seconds = {"sink": 0.0, "bare": 0.0}
        for batch, (name, write) in enumerate((("bare", _bare), ("sink", _through_sink)) * 2, 1):
            seconds[name] += write(engine, batch, _prepare(engine, batch, files))
        engine.dispose()
        ratio = seconds["bare"] / seconds["sink"]
        rates = {name: 2 * files * (_SEGMENTS + 1) / taken for name, taken in seconds.items()}
        yield Row(f"{database}, {files} files of {_SEGMENTS} rows", ratio, ratio >= _REACH, {"rows_per_second": rates})


MEASURE = Measure("bulk", "rows through the sink over bare executemany", "×", f"≥ {_REACH}", _run)
