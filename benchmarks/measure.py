"""What a measure is and what it gives. No measuring here."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cofi_dagster_tests.mariadb import shared_server


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every measure gets.

    Attributes:
        files: the size of its batches.
        databases: those to use, of ``sqlite`` and ``mariadb``.
        folder: a folder of its own, empty.
        shared: a folder of all measures of this process.
    """

    files: int
    databases: tuple[str, ...]
    folder: Path
    shared: Path

    def fresh_database(self, kind: str) -> str:
        """The URL of an empty database; all on MariaDB are on one private server."""
        if kind == "sqlite":
            return f"sqlite:///{self.folder / uuid.uuid4().hex}.sqlite"
        return shared_server(self.shared / "mariadb", os.getpid()).fresh_database()


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    Attributes:
        case: what varies within the measure (a database, a number of files).
        value: the measured figure, in the measure's unit.
        reached: whether it is within reach; None where nothing is to be reached.
        detail: further figures, for ``results.json`` only.
    """

    case: str
    value: float
    reached: bool | None = None
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Measure:
    """A measure; ``reach`` is what to reach, in words, and ``run`` yields its rows one by one."""

    name: str
    title: str
    unit: str
    reach: str
    run: Callable[[Surroundings], Iterator[Row]]
