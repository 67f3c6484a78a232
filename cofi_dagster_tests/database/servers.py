"""What the tests of this folder share: scripts run statement by statement, and what a table holds, as text."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import sqlalchemy as sa

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def statements(script: str) -> list[str]:
    """The statements of a script whose strings hold no semicolon at a line's end; comments are left out."""
    lines = [line for line in script.splitlines() if not line.lstrip().startswith("--")]
    return [part.strip() for part in re.split(r";[ \t]*\n", "\n".join(lines) + "\n") if part.strip()]


def run_script(connection: sa.Connection, script: str) -> list[list[dict[str, Any]]]:
    """Run a script and return the rows of each of its queries."""
    found = []
    for statement in statements(script):
        result = connection.exec_driver_sql(statement.replace("%", "%%"))
        if result.returns_rows:
            found.append([dict(row) for row in result.mappings()])
    return found


def contents(engine: sa.Engine, columns: dict[str, list[str]] | None = None) -> dict[str, list[tuple[str | None, ...]]]:
    """Every row of the tables as text, by table; of the columns that ``columns`` names, or of all."""
    found = {}
    chosen = columns if columns is not None else columns_of(engine)
    with engine.connect() as connection:
        connection.exec_driver_sql("SET NAMES utf8mb4")
        for table, names in chosen.items():
            listed = ", ".join(f"`{name}`" for name in names)
            rows = connection.exec_driver_sql(f"SELECT {listed} FROM `{table}` ORDER BY 1").all()
            found[table] = [tuple(_text(value) for value in row) for row in rows]
    return found


def columns_of(engine: sa.Engine) -> dict[str, list[str]]:
    """The columns of each table, in order."""
    inspector = sa.inspect(engine)
    return {name: [column["name"] for column in inspector.get_columns(name)] for name in inspector.get_table_names()}


def _text(value: Any) -> str | None:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return None if value is None else str(value)
