"""The views that people and dashboards read: how far each batch is, and how the stages do. Made from the catalogue.

``vw_batches_by_stage`` and ``vw_stage_statistics`` are those of the per-stage status document, with batches for its
documents; the words of a stage are its APIs': pending, processing, completed, failed, skipped, paused.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256

import sqlalchemy as sa

from cofi_dagster.stages import STAGES, Stage

_WORDS = {
    "Complete": "completed", "InProgress": "processing", "Failed": "failed", "Skipped": "skipped", "Paused": "paused",
}  # fmt: skip
_COUNTS = {
    "pending": "IN ('pending', 'paused')",
    "processing": "= 'processing'",
    "completed": "= 'completed'",
    "failed": "= 'failed'",
    "skipped": "= 'skipped'",
}
_BATCH = ("id", "batchDate", "batchNumber", "status", "totalFiles")
_SECONDS = {
    "sqlite": "ROUND((julianday({end}) - julianday({start})) * 86400, 3)",
    "mysql": "TIMESTAMPDIFF(MICROSECOND, {start}, {end}) / 1000000",
}


def _word(stage: Stage) -> str:
    """The stage's word in the APIs, or NULL where the batch does not go through it; a flag's word is from its times."""
    if stage.status_is_flag:
        word = (
            f"CASE WHEN {stage.status_column} = 1 THEN 'completed' WHEN {stage.start_column} IS NULL THEN 'pending' "
            f"WHEN {stage.end_column} IS NULL THEN 'processing' ELSE 'failed' END"
        )
    else:
        cases = " ".join(f"WHEN '{ours}' THEN '{theirs}'" for ours, theirs in _WORDS.items())
        word = f"CASE {stage.status_column} {cases} ELSE 'pending' END"
    return word if stage.in_upload else f"CASE WHEN kind = 'upload' THEN NULL ELSE {word} END"


def _seconds(stage: Stage, dialect: str) -> str:
    return _SECONDS["sqlite" if dialect == "sqlite" else "mysql"].format(start=stage.start_column, end=stage.end_column)


def _stage_words() -> str:
    return ",\n    ".join(f"{_word(stage)} AS {stage.name}" for stage in STAGES)


def _sum(terms: Iterator[str]) -> str:
    return "\n    + ".join(terms)


def _batches_by_stage(dialect: str) -> str:
    """A batch's current stage is the one at work or stopped, else the first that is not through."""
    done = _sum(f"(CASE WHEN {s.name} IN ('completed', 'skipped') THEN 1 ELSE 0 END)" for s in STAGES)
    its = _sum(f"(CASE WHEN {s.name} IS NULL THEN 0 ELSE 1 END)" for s in STAGES)
    stopped = "\n    ".join(f"WHEN {s.name} IN ('processing', 'failed', 'paused') THEN '{s.name}'" for s in STAGES)
    waiting = "\n    ".join(f"WHEN {s.name} = 'pending' THEN '{s.name}'" for s in STAGES)
    details = ",\n  ".join(
        f"CASE WHEN {s.name} IS NULL THEN NULL ELSE JSON_OBJECT('status', {s.name}, "
        f"'started_at', {s.start_column}, 'completed_at', {s.end_column}, "
        f"'duration_seconds', {_seconds(s, dialect)}) END AS {s.name}_status"
        for s in STAGES
    )
    times = ", ".join(f"{s.start_column}, {s.end_column}" for s in STAGES)
    return f"""SELECT
  {", ".join(_BATCH)},
  CASE
    WHEN status = 'Completed' THEN NULL
    {stopped}
    {waiting}
  END AS current_stage,
  CASE WHEN status = 'Completed' THEN 100.0 ELSE ROUND(100.0 * (
    {done}
  ) / (
    {its}
  ), 2) END AS progress_percentage,
  {details}
FROM (
  SELECT
    {", ".join(_BATCH)},
    {times},
    {_stage_words()}
  FROM batchStatus
) words"""  # noqa: S608


def _stage_statistics(dialect: str) -> str:
    return "\nUNION ALL\n".join(_statistics(stage, dialect) for stage in STAGES)


def _statistics(stage: Stage, dialect: str) -> str:
    counts = ",\n  ".join(
        f"COUNT(CASE WHEN word {chosen} THEN 1 END) AS {name}_count" for name, chosen in _COUNTS.items()
    )
    return f"""SELECT
  '{stage.name}' AS stage_name,
  {counts},
  AVG(CASE WHEN word = 'completed' THEN {_seconds(stage, dialect)} END) AS avg_duration_seconds
FROM (SELECT {stage.start_column}, {stage.end_column}, {_word(stage)} AS word FROM batchStatus) words"""  # noqa: S608


_VIEWS = {"vw_batches_by_stage": _batches_by_stage, "vw_stage_statistics": _stage_statistics}
_COLUMNS = {
    "vw_batches_by_stage": [
        *_BATCH, "current_stage", "progress_percentage", *(f"{stage.name}_status" for stage in STAGES),
    ],
    "vw_stage_statistics": ["stage_name", *(f"{name}_count" for name in _COUNTS), "avg_duration_seconds"],
}  # fmt: skip


def create_statements(name: str, dialect: str) -> tuple[str, ...]:
    """The statements that make a view, or make it anew, on ``sqlite`` or a server."""
    select = _VIEWS[name](dialect)
    if dialect == "sqlite":
        return f"DROP VIEW IF EXISTS {name}", f"CREATE VIEW {name} AS\n{select}"
    return (f"CREATE OR REPLACE VIEW {name} AS\n{select}",)


def declared() -> Iterator[tuple[str, str]]:
    """Each view's name and its statement for a server."""
    for name in _VIEWS:
        yield name, create_statements(name, "mysql")[0]


def digest(text: str) -> str:
    """A short text that differs where the given one does."""
    return sha256(text.encode()).hexdigest()[:32]


def lacking(connection: sa.Connection, *, anew: bool = False) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The views that are not there or have other columns (``anew``: all), with the statements that make them."""
    inspector = sa.inspect(connection)
    there = {name.lower(): name for name in inspector.get_view_names()}
    for name in _VIEWS:
        actual = there.get(name)
        if anew or actual is None or _columns(inspector, actual) != _COLUMNS[name]:
            yield name, create_statements(name, connection.dialect.name)


def _columns(inspector: sa.Inspector, name: str) -> list[str]:
    """The columns of a view; none where it is broken because its table lost some."""
    try:
        return [column["name"] for column in inspector.get_columns(name)]
    except (sa.exc.OperationalError, sa.exc.NoSuchTableError):
        return []
