"""The batches of a period as trends are made of them: what each stage took for how many files and how much audio."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa

from cofi_dagster.database import tables as t
from cofi_dagster.database.engine import reading
from cofi_dagster.pipeline.status import COMPLETED, StageStatus
from cofi_dagster.stages import STAGES, Kind, Stage

MOST_BATCHES = 2000
"""More are not read for one page: the newest count."""
_FRESH_SECONDS = 30.0
_MOST_PERIODS = 16
_BATCH, _DETAIL = t.batch_status.c, t.stage_detail.c


@dataclass(frozen=True, slots=True)
class Took:
    """A complete stage: its seconds at work, without the time between its runs; files and seconds of audio, if known.

    Of a stage of tables, and of a stage from before COFI counted, the files are the batch's.
    """

    seconds: float
    files: int
    audio: float | None


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch; times are UTC without zone, ``ended`` is its last stage's; ``stages`` are those that are complete."""

    id: int
    key: str
    day: date
    kind: str
    status: str
    files: int
    created: datetime | None
    began: datetime | None
    ended: datetime | None
    stages: Mapping[str, Took]

    @property
    def is_completed(self) -> bool:
        """Whether it is through all of its stages."""
        return self.status == COMPLETED

    @property
    def seconds(self) -> float | None:
        """From its first stage's start to its last one's end, waiting included."""
        if self.began is None or self.ended is None:
            return None
        return (self.ended - self.began).total_seconds()


class History:
    """Reads periods, and keeps each for half a minute: finished batches change no more. Safe for threads."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._periods: OrderedDict[tuple[date, date, str], tuple[float, list[Batch]]] = OrderedDict()

    def batches(self, first: date, last: date, kind: str) -> list[Batch]:
        """The batches of these dates, both included, oldest first; ``kind``: ``batch`` or ``upload``."""
        key = (first, last, kind)
        with self._lock:
            at, found = self._periods.get(key, (float("-inf"), []))
            if time.monotonic() - at > _FRESH_SECONDS:
                found = _read(self._engine, first, last, kind)
                self._periods[key] = (time.monotonic(), found)
            self._periods.move_to_end(key)
            if len(self._periods) > _MOST_PERIODS:
                self._periods.popitem(last=False)
            return found

    def newest(self, kind: str) -> date | None:
        """The date of the newest completed batch."""
        query = sa.select(_BATCH.batchDate).where(_BATCH.kind == kind, _BATCH.status == COMPLETED)
        with reading(self._engine) as connection:
            return connection.execute(query.order_by(_BATCH.batchDate.desc()).limit(1)).scalar_one_or_none()


def _read(engine: sa.Engine, first: date, last: date, kind: str) -> list[Batch]:
    chosen = (_BATCH.batchDate.between(first, last), _BATCH.kind == kind)
    columns = [_BATCH[name] for stage in STAGES for name in (stage.status_column, stage.start_column, stage.end_column)]
    plain = (_BATCH.id, _BATCH.batchDate, _BATCH.batchNumber, _BATCH.status, _BATCH.totalFiles, _BATCH.createdAt)
    batches = sa.select(*plain, *columns).where(*chosen)
    worked = sa.select(_DETAIL.batchId, _DETAIL.stage, _DETAIL.itemsWorked, _DETAIL.workDone, _DETAIL.secondsAtWork)
    worked = worked.join(t.batch_status, _BATCH.id == _DETAIL.batchId).where(*chosen, _DETAIL.secondsAtWork > 0)
    with reading(engine) as connection:
        newest = batches.order_by(_BATCH.batchDate.desc(), _BATCH.id.desc()).limit(MOST_BATCHES)
        rows = connection.execute(newest).mappings().all()
        if len(rows) == MOST_BATCHES:
            worked = worked.where(_BATCH.batchDate >= rows[-1]["batchDate"])
        details = {(row[0], row[1]): row for row in connection.execute(worked)}
    return [_batch(row, kind, details) for row in reversed(rows)]


def _batch(row: Mapping[Any, Any], kind: str, details: Mapping[tuple[int, str], Sequence[Any]]) -> Batch:
    files = row["totalFiles"] or 0
    took = {stage.name: _took(stage, row, files, details.get((row["id"], stage.name))) for stage in STAGES}
    starts = [row[stage.start_column] for stage in STAGES if row[stage.start_column] is not None]
    ends = [row[stage.end_column] for stage in STAGES if row[stage.end_column] is not None]
    return Batch(
        row["id"],
        f"{row['batchDate'].isoformat()}_{row['batchNumber']}",
        row["batchDate"],
        kind,
        row["status"],
        files,
        row["createdAt"],
        min(starts, default=None),
        max(ends, default=None),
        {name: one for name, one in took.items() if one is not None},
    )


def _took(stage: Stage, row: Mapping[Any, Any], files: int, detail: Sequence[Any] | None) -> Took | None:
    status = row[stage.status_column]
    if not (status if stage.status_is_flag else status == StageStatus.COMPLETE):
        return None
    if detail is not None:
        _, _, worked, audio, seconds = detail
        own = worked if stage.kind is Kind.FILES and worked else files
        return Took(seconds, own, audio or None)
    start, end = row[stage.start_column], row[stage.end_column]
    return None if start is None or end is None else Took((end - start).total_seconds(), files, None)
