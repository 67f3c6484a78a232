"""How long a batch will still take: its running stage by its own pace, those to come by what the same stages of earlier
batches of similar size took. Where there is no such history nothing is claimed.

A stage's time is compared by files and by seconds of audio, since some services take as long for any file and others as
long as the audio is. Batches of a similar size and the newest weigh most.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from cofi_dagster.database import tables as t
from cofi_dagster.pipeline.pace import Remaining
from cofi_dagster.pipeline.standing import StageState, Standing
from cofi_dagster.pipeline.status import COMPLETED, BatchStatus, StageStatus
from cofi_dagster.settings import Settings
from cofi_dagster.stages import BY_NAME, NAMES, Stage

_BATCHES = 30
_MOST_APART = math.log(4.0)
_AGEING = 0.97
_SHARPNESS = 2.0
_FEW = 3
_FEW_SHARE = 0.5
_FRESH_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Past:
    """A batch of the past: its files, and of each stage that did work the seconds and the seconds of audio."""

    files: int
    seconds: Mapping[str, float]
    audio: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Estimate:
    """What is claimed of a batch: all of it, and each stage that is left. None where nothing can be."""

    batch: Remaining | None
    stages: Mapping[str, Remaining | None] = field(default_factory=dict)


def estimate(
    connection: sa.Connection, settings: Settings, found: Standing, past: Sequence[Past] | None = None
) -> Estimate:
    """Seconds that a running batch will still take, from now; ``past``: the history, where the caller has it."""
    if found.state is not BatchStatus.RUNNING:
        return Estimate(None)
    left = [state for state in found.gone_through(settings) if not state.is_ready]
    past = history(connection, found) if past is None else past
    stages = {state.stage.name: _of_stage(found, state, past) for state in left}
    known = [one for one in stages.values() if one is not None]
    return Estimate(_sum(known) if len(known) == len(stages) else None, stages)


def history(connection: sa.Connection, found: Standing) -> list[Past]:
    """The last completed batches of the same kind, newest first. Two queries, each by an index."""
    batch, detail = t.batch_status, t.stage_detail
    rows = connection.execute(
        sa.select(batch)
        .where(batch.c.status == COMPLETED, batch.c.kind == found.kind, batch.c.totalFiles > 0)
        .where(batch.c.id != found.batch_id)
        .order_by(batch.c.id.desc())
        .limit(_BATCHES)
    ).mappings()
    batches = {row["id"]: row for row in rows}
    worked = sa.select(detail.c.batchId, detail.c.stage, detail.c.workDone, detail.c.secondsAtWork)
    details: dict[int, dict[str, tuple[float, float]]] = {batch_id: {} for batch_id in batches}
    for row in connection.execute(worked.where(detail.c.batchId.in_(list(batches)))):
        details[row.batchId][row.stage] = (row.secondsAtWork or 0.0, row.workDone or 0.0)
    return [_past(row, details[batch_id]) for batch_id, row in batches.items()]


def _past(row: Mapping[Any, Any], details: Mapping[str, tuple[float, float]]) -> Past:
    """A batch's stages; one from before COFI kept the seconds at work is taken by its times."""
    seconds: dict[str, float] = {}
    for name in NAMES:
        stage = BY_NAME[name]
        took = details.get(name, (0.0, 0.0))[0] or _between(row[stage.start_column], row[stage.end_column])
        if took is not None:
            seconds[name] = took
    audio = {name: done for name, (_, done) in details.items() if done > 0}
    return Past(int(row["totalFiles"]), seconds, audio)


def _between(start: object, end: object) -> float | None:
    if not isinstance(start, datetime) or not isinstance(end, datetime):
        return None
    return (end - start).total_seconds()


def _of_stage(found: Standing, state: StageState, past: Sequence[Past]) -> Remaining | None:
    if state.status is StageStatus.IN_PROGRESS and (own := _own(found, state)) is not None:
        return own
    whole = expected(found, state.stage, past)
    if whole is None or state.status is not StageStatus.IN_PROGRESS:
        return whole
    share = 1 - state.progress / 100
    return Remaining(whole.seconds * share, whole.low * share, whole.high * share)


def _own(found: Standing, state: StageState) -> Remaining | None:
    """What the engine said of the stage at its last beat, less the time since."""
    if not state.pace or "seconds" not in state.pace or state.pace_at is None:
        return None
    age = (found.now - state.pace_at).total_seconds()
    if age > _FRESH_SECONDS:
        return None
    return Remaining(*(max(0.0, float(state.pace[name]) - age) for name in ("seconds", "low", "high")))


def expected(found: Standing, stage: Stage, past: Sequence[Past]) -> Remaining | None:
    """Seconds that a stage of this batch takes in all, by batches at most four times as large or as small."""
    weighed: list[tuple[float, float]] = []
    for age, batch in enumerate(past):
        took = batch.seconds.get(stage.name)
        scale = _scale(found, batch)
        if took is None or scale is None or abs(math.log(scale)) > _MOST_APART:
            continue
        weighed.append((took * scale, _AGEING**age * math.exp(-_SHARPNESS * abs(math.log(scale)))))
    if not weighed:
        return None
    middle = _quantile(weighed, 0.5)
    if len(weighed) < _FEW:
        return Remaining(middle, middle * (1 - _FEW_SHARE), middle * (1 + _FEW_SHARE))
    return Remaining(middle, _quantile(weighed, 0.1), _quantile(weighed, 0.9))


def _scale(found: Standing, batch: Past) -> float | None:
    """How much larger this batch is: by files, and by audio where both know that of the same stage."""
    if not found.total_files or not batch.files:
        return None
    by_files = found.total_files / batch.files
    done = [state for state in found.stages.values() if state.status is StageStatus.COMPLETE and state.audio > 0]
    common = [state for state in done if batch.audio.get(state.stage.name)]
    if not common:
        return by_files
    by_audio = common[-1].audio / batch.audio[common[-1].stage.name]
    return math.sqrt(by_files * by_audio)


def _quantile(weighed: Sequence[tuple[float, float]], share: float) -> float:
    """The weighted quantile, between the values next to it."""
    ordered = sorted(weighed)
    total = math.fsum(weight for _, weight in ordered)
    reached, before = 0.0, None
    for value, weight in ordered:
        middle = (reached + weight / 2) / total
        if middle >= share:
            if before is None:
                return value
            last_value, last_middle = before
            return last_value + (value - last_value) * (share - last_middle) / (middle - last_middle)
        reached += weight
        before = (value, middle)
    return ordered[-1][0]


def _sum(parts: Sequence[Remaining]) -> Remaining:
    """One after the other; their errors are taken as independent."""
    seconds = math.fsum(part.seconds for part in parts)
    below = math.hypot(*(part.seconds - part.low for part in parts))
    above = math.hypot(*(part.high - part.seconds for part in parts))
    return Remaining(seconds, max(0.0, seconds - below), seconds + above)
