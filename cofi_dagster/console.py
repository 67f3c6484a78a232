"""What a person sees while a batch runs: a bar per stage on a terminal, a line per finished stage anywhere."""

from __future__ import annotations

import os
import sys
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from cofi_dagster.pipeline.progress import StageReport, Tally
from cofi_dagster.stages import Stage


class StageBars:
    """Shows the stages of a run as they go. A context manager, and the run's observer."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(file=_own_stdout(), highlight=False)
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description:<28}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
            transient=True,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def began(self, stage: Stage) -> None:
        """Show the stage's bar; how long it is comes with the first files."""
        self._task = self._progress.add_task(stage.title, total=None, note="")

    def moved(self, stage: Stage, tally: Tally) -> None:
        """Move the bar."""
        if self._task is not None:
            note = f"[red]{tally.failed} failed[/red]" if tally.failed else ""
            self._progress.update(self._task, total=tally.total, completed=tally.ended, note=note)

    def ended(self, report: StageReport) -> None:
        """Replace the bar by its line."""
        if self._task is not None:
            self._progress.remove_task(self._task)
            self._task = None
        self._console.print(stage_line(report), soft_wrap=True)


def _own_stdout() -> TextIO:
    """Standard output that stays the terminal while Dagster redirects the process's own into a run's log."""
    sys.stdout.flush()
    return os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1, encoding="utf-8", errors="replace")


def stage_line(report: StageReport) -> str:
    """One stage as a line: title, files, seconds, files per second, and what was not done."""
    title = f"{report.stage.title:<28}"
    if report.disabled:
        return f"{title} disabled"
    if report.unchanged:
        return f"{title} nothing pending"
    parts = [f"{title} {report.done:>7} of {report.total}"]
    if report.seconds is not None:
        parts.append(f"{report.seconds:.1f} s")
        if report.seconds > 0 and report.done:
            parts.append(f"{report.done / report.seconds:.1f}/s")
    if report.failed:
        parts.append(f"{report.failed} failed")
    if report.skipped:
        parts.append(f"{report.skipped} skipped by rule")
    return ", ".join(parts)
