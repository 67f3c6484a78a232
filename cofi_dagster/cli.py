"""The command line: ``cofi``. Arguments in, sentences out; what commands do is in the parts that they call.

Errors are one line on stderr: exit code 2 for a wrong use, 1 for a failure. Heavy imports wait for their command.
"""

from __future__ import annotations

import getpass
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cofi_dagster.adhoc_commands import export, reaudit_app, task_app, upload
from cofi_dagster.database_commands import db_app
from cofi_dagster.settings import Settings, SettingsError, current, parse_batch_key

if TYPE_CHECKING:
    import sqlalchemy as sa

    from cofi_dagster.orchestration.control_jobs import Operator

app = typer.Typer(
    help="COFI: evidence for telephone orders.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
batch_app = typer.Typer(help="Run batches, and see how they stand.", no_args_is_help=True)
app.add_typer(batch_app, name="batch")
app.add_typer(db_app, name="db")
app.add_typer(reaudit_app, name="reaudit")
app.add_typer(task_app, name="task")
app.command()(upload)
app.command()(export)


class Usage(Exception):
    """A wrong use of the command line: exit code 2."""


class Failed(Exception):
    """A failure that a person can mend: exit code 1."""


def main() -> None:
    """Run the command line; every foreseen error ends in one line on stderr."""
    from sqlalchemy.exc import DBAPIError

    from cofi_dagster.adhoc.tasks import TaskError
    from cofi_dagster.database.engine import DatabaseError
    from cofi_dagster.database.retention import HoldError
    from cofi_dagster.export import ExportError
    from cofi_dagster.pipeline.batches import BatchError
    from cofi_dagster.pipeline.tracker import BatchBusy

    try:
        code = app(standalone_mode=False)
    except typer.Abort:
        _end("interrupted", 130)
    except (Usage, SettingsError) as error:
        _end(str(error), 2)
    except (Failed, TaskError, ExportError, DatabaseError, HoldError, BatchError, BatchBusy) as error:
        _end(str(error), 1)
    except DBAPIError as error:
        _end(f"the database failed: {error.orig}", 1)
    except OSError as error:
        _end(_place_fault(error), 1)
    except KeyboardInterrupt:
        _end("interrupted", 130)
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        _end(error.format_message(), 2)
    sys.exit(code if isinstance(code, int) else 0)  # what a command left by ``typer.Exit`` is returned


def _end(message: str, code: int) -> None:
    if message:  # help that was shown for want of a command is its own message
        print(f"cofi: {message}", file=sys.stderr)  # noqa: T201 - the command line's voice
    sys.exit(code)


def _place_fault(error: OSError) -> str:
    """A fault of a file or folder in one sentence; most often it is ``COFI_HOME`` that cannot be used.

    Raises:
        OSError: the error itself, where it names no file.
    """
    if error.filename is None:
        raise error
    place, home = Path(os.fsdecode(error.filename)), current().home.absolute()
    if home.exists() and not home.is_dir():
        return f"COFI_HOME is {home}, which is not a folder"
    if place == home or home in place.parents or place in home.parents:
        return f"COFI_HOME is {home}, which cannot be used: {error.strerror}: {place}"
    return f"{place} cannot be used: {error.strerror}"


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - the command line's voice


def _database(settings: Settings) -> sa.Engine:
    """The settings' database, of this version."""
    from cofi_dagster.database.engine import connect
    from cofi_dagster.database.upgrade import ready

    engine = connect(settings)
    ready(engine)
    return engine


# -- batches -------------------------------------------------------------------------------------------------------


@batch_app.command("run")
def batch_run(directory: Annotated[Path, typer.Argument(help="The batch directory, named like 2026-01-15_1.")]) -> None:
    """Run a batch directory to its end here. The same command again goes on with what is pending."""
    _run_here(current(), _batch_directory(directory))


def _run_here(settings: Settings, directory: Path, stage: str | None = None) -> None:
    """Run a batch in this terminal; its status is the last line, and decides the exit code."""
    from cofi_dagster.running import run_directory

    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))
    result = run_directory(settings, directory, stage)
    for line in result.errors:
        print(f"cofi: {line}", file=sys.stderr)  # noqa: T201 - the command line's voice
    _say(f"batch {result.batch_id} {result.status}")
    if not result.is_well:
        raise typer.Exit(1)


def _batch_directory(directory: Path) -> Path:
    """The directory as an absolute path.

    Raises:
        Usage: it does not exist, or its name is no batch key.
    """
    absolute = directory.absolute()
    if not absolute.exists():
        raise Usage(f"the batch directory {absolute} does not exist")
    if not absolute.is_dir():
        raise Usage(f"{absolute} is not a directory")
    try:
        parse_batch_key(absolute.name)
    except ValueError as error:
        raise Usage(str(error)) from None
    return absolute


@batch_app.command("list")
def batch_list(limit: Annotated[int, typer.Option(help="How many, newest first.")] = 20) -> None:
    """The batches, newest first."""
    from cofi_dagster.overview import batch_rows

    for row in batch_rows(_database(current()), limit):
        _say(row)


@batch_app.command("show")
def batch_show(batch_id: Annotated[int, typer.Argument(metavar="ID", help="The batch's id.")]) -> None:
    """How a batch stands: its stages with times and counts, and why files failed."""
    from cofi_dagster.overview import batch_lines

    settings = current()
    for line in batch_lines(_database(settings), settings, batch_id):
        _say(line)


_BatchId = Annotated[int, typer.Argument(metavar="ID", help="The batch's id.")]
_Detach = Annotated[bool, typer.Option("--detach", help="Let the daemon of `cofi up` run it, not this terminal.")]


@batch_app.command("pause")
def batch_pause(batch_id: _BatchId) -> None:
    """Let a batch come to rest: what is in flight ends and is kept, nothing more is sent."""
    with _operator() as operator:
        done = operator.pause(batch_id, by=_me())
    _say(f"batch {batch_id} {'pausing' if done.state == 'running' else 'Paused'}")


@batch_app.command("resume")
def batch_resume(batch_id: _BatchId, detach: _Detach = False) -> None:
    """Let a paused batch go on, here or in the daemon."""
    with _operator() as operator:
        operator.resume(batch_id, by=_me(), launch=detach)
    _go_on(batch_id, None, detach=detach)


@batch_app.command("cancel")
def batch_cancel(batch_id: _BatchId) -> None:
    """Give a batch up for good, and end its run; its files keep the state that they have."""
    with _operator() as operator:
        operator.cancel(batch_id, by=_me())
    _say(f"batch {batch_id} Cancelled")


@batch_app.command("retry")
def batch_retry(
    batch_id: _BatchId,
    stage: Annotated[str | None, typer.Option(help="Only this stage.")] = None,
    detach: _Detach = False,
) -> None:
    """Try again what failed, here or in the daemon: of the whole batch from where it stands, or of one stage."""
    with _operator() as operator:
        operator.retry(batch_id, stage, by=_me(), launch=detach)
    _go_on(batch_id, stage, detach=detach)


@batch_app.command("skip")
def batch_skip(
    batch_id: _BatchId,
    stage: Annotated[str, typer.Option(help="The stage; one that the others do not need.")],
    reason: Annotated[str | None, typer.Option(help="Why, for the log.")] = None,
) -> None:
    """Pass over an optional stage of this batch, until it is retried."""
    with _operator() as operator:
        operator.skip(batch_id, stage, by=_me(), reason=reason)
    _say(f"{stage} of batch {batch_id} Skipped")


@batch_app.command("ready")
def batch_ready(
    stage: Annotated[str, typer.Option(help="The stage that is to be done.")],
    retry: Annotated[bool, typer.Option("--retry", help="Let the daemon of `cofi up` run them from there.")] = False,
) -> None:
    """The batches whose stage may start: all it needs is done, and it is pending or failed."""
    from cofi_dagster.pipeline.control import ready_batches
    from cofi_dagster.pipeline.status import IllegalStep

    settings = current()
    for batch_id in ready_batches(_database(settings), settings, stage):
        said = ""
        if retry:
            with _operator() as operator:
                try:
                    operator.retry(batch_id, by=_me())
                    said = " is queued"
                except IllegalStep as refused:
                    said = f": {refused}"
        _say(f"batch {batch_id}{said}")


@contextmanager
def _operator() -> Iterator[Operator]:
    """What does a person's verbs; what it refuses ends in one line."""
    from cofi_dagster.orchestration.control_jobs import REFUSED, Operator
    from cofi_dagster.orchestration.instance import open_instance
    from cofi_dagster.orchestration.resources import TrackingResource
    from cofi_dagster.pipeline.control import UnknownStage

    with open_instance(current()) as instance:
        try:
            yield Operator(instance, TrackingResource())
        except REFUSED as refused:
            raise Failed(str(refused)) from None
        except UnknownStage as unknown:
            raise Usage(str(unknown)) from None


def _go_on(batch_id: int, stage: str | None, *, detach: bool) -> None:
    if detach:
        _say(f"batch {batch_id} is queued for the daemon of `cofi up`")
        return
    from cofi_dagster.pipeline.batches import by_id

    settings = current()
    _run_here(settings, by_id(_database(settings), batch_id, settings.batches).directory, stage)


def _me() -> str:
    """Who is at the terminal, for the log."""
    return f"{getpass.getuser()}@{socket.gethostname()}"


# -- services ------------------------------------------------------------------------------------------------------


@app.command()
def node(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port of all services.", min=1, max=65535)] = 5000,
) -> None:
    """Start the reference GPU node: every service on one port, with engines that run on this machine."""
    from cofi_dagster.node.server import serve
    from cofi_dagster.web.keys import is_loopback

    settings = current()
    if not is_loopback(host):
        _say(f"{host} can be reached by others, and the protocol knows no keys: keep it on the machines' network")
    _say(f"reference node on http://{host}:{port}, Ctrl-C stops it")
    serve(host, port, settings.home.absolute() / "node", whisper_model_dir=settings.whisper_model_dir)


@app.command()
def up() -> None:
    """Start everything in this terminal: the Dagster UI and daemon, and a node where no GPU machine is configured."""
    from cofi_dagster.supervisor import start_all

    start_all(current())


@app.command()
def demo() -> None:
    """Make a small batch of synthesised calls, run it to its end on this machine, and show its audit."""
    from cofi_dagster.demo.show import run_demo

    run_demo(current())


if __name__ == "__main__":
    main()
