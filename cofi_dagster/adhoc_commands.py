"""``cofi upload``, ``reaudit``, ``task`` and ``export``: ad-hoc work, and what came of work, from the command line."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Context
from typer.core import TyperGroup

from cofi_dagster.audit.questionnaire import DEFAULT_CATEGORY_MAPPING_ID, DEFAULT_PROCESS_ID
from cofi_dagster.settings import Settings, SettingsError, current

if TYPE_CHECKING:
    import sqlalchemy as sa

    from cofi_dagster.adhoc.tasks import Task, TaskKind

_POLL_SECONDS = 1.0
_SHOWN_TASKS = 20


class _ManyValues(TyperGroup):
    """Lets ``--audio`` and ``--stages`` take all the values that follow them."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Repeat the option before each further value."""
        words: list[str] = super().parse_args(ctx, list(_spread(args)))
        return words


def _spread(args: list[str]) -> Iterator[str]:
    option, has_value = None, False
    for word in args:
        if word.startswith("--"):
            option, has_value = (word if word in ("--audio", "--stages") else None), False
        elif option is not None and has_value:
            yield option
        has_value = has_value or not word.startswith("--")
        yield word


reaudit_app = typer.Typer(cls=_ManyValues, invoke_without_command=True, help="Take named calls through stages again.")
task_app = typer.Typer(help="Audit uploads and reaudits that were queued.", no_args_is_help=True)


def upload(
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="Audio files.")],
    process_id: Annotated[int, typer.Option(help="Whose questionnaire is answered.")] = DEFAULT_PROCESS_ID,
    category_mapping_id: Annotated[int, typer.Option(help="Which of its categories.")] = DEFAULT_CATEGORY_MAPPING_ID,
    wait: Annotated[bool, typer.Option("--wait", help="Run it here, to its end.")] = False,
) -> None:
    """Audit files as a batch of their own."""
    from cofi_dagster.adhoc.tasks import TaskKind
    from cofi_dagster.adhoc.uploads import Upload, UploadRefused

    settings = current()

    def queue(engine: sa.Engine, run_id: str | None) -> str:
        try:
            with Upload(settings) as taken:
                for path in files:
                    taken.add(path)
                return taken.queue(engine, process_id, category_mapping_id, run_id=run_id)
        except UploadRefused as refused:
            raise SettingsError(str(refused)) from None

    _queue(settings, TaskKind.UPLOAD, queue, wait=wait)


@reaudit_app.callback()
def reaudit(
    context: Context,
    audio: Annotated[list[str] | None, typer.Option(metavar="NAME…", help="The calls' audio names.")] = None,
    stages: Annotated[list[str] | None, typer.Option(metavar="S,S", help="Of lid, stt, llm1, llm2.")] = None,
    batch: Annotated[int | None, typer.Option(metavar="ID", help="Only this batch's calls.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Run it here, to its end.")] = False,
) -> None:
    """Take named calls through stages again: `cofi reaudit --audio a.wav b.wav --stages stt,llm1,llm2`."""
    if context.invoked_subcommand is not None:
        return
    from cofi_dagster.adhoc import reaudit as reaudits
    from cofi_dagster.adhoc.tasks import TaskKind

    settings = current()
    chosen = [name.strip() for words in stages or () for name in words.split(",") if name.strip()]

    def queue(engine: sa.Engine, run_id: str | None) -> str:
        try:
            request = reaudits.request_of(engine, settings, audio or [], chosen, batch)
        except reaudits.RequestRefused as refused:
            raise SettingsError(str(refused)) from None
        return reaudits.queue(engine, request, run_id=run_id)

    _queue(settings, TaskKind.REAUDIT, queue, wait=wait)


@reaudit_app.command("show")
def reaudit_show(task_id: Annotated[str, typer.Argument(metavar="TASK", help="The reaudit's id.")]) -> None:
    """What a reaudit changed: each question's old answer and new one, their models, and how many agree."""
    from cofi_dagster.adhoc import tasks
    from cofi_dagster.adhoc.changes import changes_of

    settings = current()
    engine = _database(settings)
    task = tasks.get(engine, task_id)
    _show(engine, settings, task)
    found = changes_of(engine, task)
    for change in found.changes:
        mark = "  " if change.agrees else "* "
        _say(f"{mark}{change.file}  {change.question}")
        if not change.agrees:
            _say(f"      old: {_answer(change.old)}")
            _say(f"      new: {_answer(change.new)}")
    rate = found.agreement_rate
    _say(f"{found.agreed} of {found.compared} answers agree" + (f" ({100 * rate:.0f} %)" if rate is not None else ""))


def _answer(row: Any) -> str:
    return "none" if row is None else f"{row['answer']}   ({row['model']}, prompt {row['promptVersion']})"


@task_app.command("list")
def task_list(limit: Annotated[int, typer.Option(help="How many, newest first.", min=1)] = _SHOWN_TASKS) -> None:
    """The tasks, newest first."""
    from cofi_dagster.adhoc import tasks

    for task in tasks.newest(_database(current()), limit):
        created = f"{task.created_at:%Y-%m-%d %H:%M:%S}" if task.created_at else ""
        _say(f"{task.id}  {task.kind:<8} {task.status:<10} {created}  {task.error or ''}".rstrip())


@task_app.command("show")
def task_show(task_id: Annotated[str, typer.Argument(metavar="TASK", help="The task's id.")]) -> None:
    """How a task stands, file by file."""
    from cofi_dagster.adhoc import tasks

    settings = current()
    engine = _database(settings)
    _show(engine, settings, tasks.get(engine, task_id))


@task_app.command("retry")
def task_retry(task_id: Annotated[str, typer.Argument(metavar="TASK", help="The task's id.")]) -> None:
    """Queue a failed task again; what it had done stays done."""
    from cofi_dagster.adhoc import tasks

    task = tasks.retry(_database(current()), task_id)
    _say(f"task {task.id} {task.status}")


class ExportForm(StrEnum):
    """What ``cofi export`` writes."""

    CSV = "csv"
    XLSX = "xlsx"
    JSON = "json"


def export(
    batch_id: Annotated[int, typer.Argument(metavar="ID", help="The batch's id.")],
    form: Annotated[ExportForm, typer.Option("--format", help="csv, xlsx or json.")] = ExportForm.CSV,
    folder: Annotated[Path, typer.Option(help="Where to write.")] = Path(),
) -> None:
    """Write a batch's answers, mappings and exceptions to files."""
    from cofi_dagster.export import export as write
    from cofi_dagster.pipeline.batches import by_id

    settings = current()
    engine = _database(settings)
    for path in write(engine, by_id(engine, batch_id, settings.batches), form, folder.absolute()):
        _say(str(path))


# -- parts -----------------------------------------------------------------------------------------------------------


def _queue(settings: Settings, kind: TaskKind, queue: Callable[[sa.Engine, str | None], str], *, wait: bool) -> None:
    """Queue a task, or run it here to its end."""
    if not wait:
        _say(f"task {queue(_database(settings), None)} queued")
        return
    from cofi_dagster.adhoc import reaudit as reaudits
    from cofi_dagster.adhoc import tasks
    from cofi_dagster.adhoc.tasks import TaskKind, TaskStatus
    from cofi_dagster.orchestration.adhoc_foreground import ForegroundRun
    from cofi_dagster.orchestration.instance import open_instance
    from cofi_dagster.orchestration.resources import TrackingResource

    tracking = TrackingResource()
    engine = tracking.engine
    with open_instance(settings) as instance, ForegroundRun(instance, tracking, kind) as run:
        task_id = queue(engine, run.run_id)
        task = tasks.get(engine, task_id)
        if kind is TaskKind.REAUDIT:
            while busy := reaudits.busy_batches(tracking.tracker, engine, task):
                _say(f"waiting for the run that is at work on batch {busy[0]}")
                time.sleep(_POLL_SECONDS)
        run.execute(task_id)
    task = tasks.get(engine, task_id)
    _show(engine, settings, task)
    if task.status is not TaskStatus.COMPLETED:
        raise typer.Exit(1)


def _show(engine: sa.Engine, settings: Settings, task: Task) -> None:
    from cofi_dagster.adhoc.progress import file_states

    for file in file_states(engine, settings, task):
        where = f"batch {file.batch_id}" if file.batch_id is not None else ""
        _say(f"{file.file}  {where}  {file.status}  {file.error or ''}".rstrip())
    _say(f"task {task.id} {task.status}" + (f": {task.error}" if task.error else ""))


def _database(settings: Settings) -> sa.Engine:
    from cofi_dagster.database.engine import connect
    from cofi_dagster.database.upgrade import ready

    engine = connect(settings)
    ready(engine)
    return engine


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - the command line's voice
