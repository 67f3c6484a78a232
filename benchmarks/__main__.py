"""Run measures, print one table, write ``benchmarks/results.json``: ``python -m benchmarks [MEASURE…] [--files N]``.

Exit status 0 whatever the figures; 1 where a measure could not be taken.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.measure import Measure, Row, Surroundings
from benchmarks.registry import BY_NAME

RESULTS = Path(__file__).with_name("results.json")
_REACHED = {True: "yes", False: "no", None: ""}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Run measures and print one table.")
    parser.add_argument("measures", nargs="*", metavar="MEASURE", help=f"of {', '.join(BY_NAME)}; all by default")
    parser.add_argument("--files", type=int, default=10_000, help="files of a batch (10000)")
    parser.add_argument("--databases", default="sqlite,mariadb", help="sqlite,mariadb")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the figures are written")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.measures if name not in BY_NAME]
    if unknown:
        parser.error(f"no measure '{unknown[0]}'; the measures are {', '.join(BY_NAME)}")
    return arguments


def _figure(measure: Measure, row: Row) -> str:
    return f"{row.value:,.3g} {measure.unit}" if row.value < 1000 else f"{row.value:,.0f} {measure.unit}"


def _take(measure: Measure, surroundings: Surroundings, console: Console) -> tuple[list[Row], str | None]:
    """The rows that could be measured, and why it ended early if it did."""
    rows: list[Row] = []
    surroundings.folder.mkdir()
    try:
        for row in measure.run(surroundings):
            console.print(f"{measure.name}: {row.case}: {_figure(measure, row)}", highlight=False)
            rows.append(row)
    except (RuntimeError, OSError) as problem:
        console.print(f"{measure.name}: {problem}", style="red", markup=False)
        return rows, str(problem)
    finally:
        shutil.rmtree(surroundings.folder)
    return rows, None


def _table(taken: dict[str, list[Row]]) -> Table:
    table = Table("measure", "case", "value", "reach", "reached")
    for name, rows in taken.items():
        measure = BY_NAME[name]
        for row in rows:
            table.add_row(measure.title, row.case, _figure(measure, row), measure.reach, _REACHED[row.reached])
    return table


def main() -> int:
    """Take the measures that the command line names."""
    arguments = _arguments()
    console = Console()
    taken: dict[str, list[Row]] = {}
    problems: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="cofi-bench-") as shared:
        for name in arguments.measures or BY_NAME:
            databases = tuple(arguments.databases.split(","))
            surroundings = Surroundings(arguments.files, databases, Path(shared) / name, Path(shared))
            taken[name], problem = _take(BY_NAME[name], surroundings, console)
            if problem is not None:
                problems[name] = problem
    console.print(_table(taken))
    written: dict[str, Any] = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "measures": {name: [asdict(row) for row in rows] for name, rows in taken.items()},
        "problems": problems,
    }
    arguments.results.write_text(json.dumps(written, indent=1, ensure_ascii=False) + "\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
