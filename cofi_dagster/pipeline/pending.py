"""Which files of a batch a stage still has to do, and how much work each is. Queries only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from cofi_dagster.database import tables as t
from cofi_dagster.pipeline.run import StageContext
from cofi_dagster.pipeline.work import Plan, Work
from cofi_dagster.stages import Stage

_BYTES_PER_SECOND = 8000.0
"""Of 8 kHz µ-law telephone audio: how long a file is where nobody has said so yet."""

_FILES = t.file_distribution.c
_CALLS = t.call.c
_KNOWN = t.call_metadata.c
JOINED = t.file_distribution.join(t.call, sa.and_(_CALLS.batchId == _FILES.batchId, _CALLS.audioName == _FILES.file))


def pending_works(
    connection: sa.Connection, batch_id: int, *conditions: sa.ColumnElement[bool], detail: Callable[[Any], Any]
) -> list[Work]:
    """The batch's files that meet all conditions on ``fileDistribution`` and ``call``, as work for the dispatch.

    ``detail`` makes what the stage keeps about a file from the row (``lang``, ``audioDuration``, ``status``).
    """
    joined = JOINED.outerjoin(
        t.call_metadata, sa.and_(_KNOWN.batchId == _FILES.batchId, _KNOWN.audioName == _FILES.file)
    )
    query = (
        sa.select(
            _FILES.id,
            _CALLS.id.label("call_id"),
            _FILES.file,
            _FILES.ip,
            _FILES.bytes,
            _CALLS.audioDuration,
            _CALLS.lang,
            _CALLS.status,
            _KNOWN.durationSeconds,
        )
        .select_from(joined)
        .where(_FILES.batchId == batch_id, *conditions)
        .order_by(_FILES.id)
    )
    return [Work(row.id, row.call_id, row.file, row.ip, _weight(row), detail(row)) for row in connection.execute(query)]


def _weight(row: Any) -> float:
    return float(row.audioDuration or row.durationSeconds or (row.bytes or 0) / _BYTES_PER_SECOND or 1.0)


def plan_of(
    context: StageContext, connection: sa.Connection, *rule: sa.ColumnElement[bool], detail: Callable[[Any], Any]
) -> Plan:
    """The batch's files that the stage's rule makes pending; in a reaudit the calls of its scope, whatever the rule."""
    batch_id = context.batch.id
    if context.scope is not None:
        return Plan(pending_works(connection, batch_id, t.call.c.id.in_(context.scope.calls), detail=detail))
    works = pending_works(connection, batch_id, *rule, detail=detail)
    return Plan(works, done=_count_done(connection, batch_id, context.stage, *rule))


def _count_done(connection: sa.Connection, batch_id: int, stage: Stage, *rule: sa.ColumnElement[bool]) -> int:
    """How many of the batch's files are through the stage and not pending again."""
    through = _FILES[stage.done_flag or ""] == 1
    query = sa.select(sa.func.count()).select_from(JOINED)
    return int(connection.execute(query.where(_FILES.batchId == batch_id, through, ~sa.and_(*rule))).scalar_one())


def is_pending(stage: Stage) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    """The conditions of a file that is on a machine and not through the stage."""
    return _FILES[stage.done_flag or ""] == 0, _FILES.ip.is_not(None)
