"""``cofi db …``: the database from the command line. Words only; what they do is in ``cofi_dagster.database``."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cofi_dagster.settings import Settings, current

if TYPE_CHECKING:
    import sqlalchemy as sa

    from cofi_dagster.database.retention import Removal

db_app = typer.Typer(help="The database: migrate it, hold and purge what is in it.", no_args_is_help=True)

_BatchId = Annotated[int, typer.Argument(metavar="ID", help="The batch's id.")]
_Audio = Annotated[str | None, typer.Option("--audio", help="Only this call of the batch.")]
_Reason = Annotated[str, typer.Option("--reason", help="Why; it stays on record.")]
_By = Annotated[str | None, typer.Option("--by", help="Who; by default the user of this terminal.")]


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - the command line's voice


def _who(by: str | None) -> str:
    return by or f"{getpass.getuser()}@{socket.gethostname()}"


def _database(settings: Settings) -> sa.Engine:
    from cofi_dagster.database.engine import connect
    from cofi_dagster.database.upgrade import ready

    engine = connect(settings)
    ready(engine)
    return engine


@db_app.command("upgrade")
def upgrade(
    sql: Annotated[
        bool, typer.Option("--sql", help="Print the statements for a person to run; change nothing.")
    ] = False,
) -> None:
    """Bring the database to this version, and Dagster's own too; safe to repeat."""
    from cofi_dagster.database import upgrade as upgrading
    from cofi_dagster.database.engine import connect

    settings = current()
    if sql:
        for statement in upgrading.upgrade_sql(connect(settings)):
            _say(statement)
        return
    done = upgrading.upgrade(connect(settings))
    for line in done:
        _say(line)
    _say("the database is of this version" if done else "nothing to do: the database is of this version")
    _migrate_dagster(settings)


def _migrate_dagster(settings: Settings) -> None:
    """Migrate Dagster's storage, where there is one: a fresh one is made of its version when it is first used."""
    if settings.dagster_database_url is None and not (settings.dagster_home / "history").exists():
        return
    from cofi_dagster.orchestration.instance import open_instance
    from cofi_dagster.orchestration.storage import migrate

    with open_instance(settings) as instance:
        migrate(instance)
    _say("Dagster's storage is of this version")


@db_app.command("check")
def check() -> None:
    """List what the database lacks; exit 1 where it lacks anything."""
    from cofi_dagster.database.engine import connect
    from cofi_dagster.database.upgrade import missing

    lacking = missing(connect(current()))
    for line in lacking:
        _say(f"missing: {line}")
    if lacking:
        raise typer.Exit(1)
    _say("the database is of this version")


@db_app.command("hold")
def hold(batch_id: _BatchId, reason: _Reason, audio: _Audio = None, by: _By = None) -> None:
    """Put a batch, or one call of it, on legal hold: no purge touches it."""
    from cofi_dagster.database import retention

    retention.hold(_database(current()), batch_id, audio, reason=reason, by=_who(by))
    _say(f"{audio or 'the whole'} of batch {batch_id} is on legal hold")


@db_app.command("release")
def release(batch_id: _BatchId, reason: _Reason, audio: _Audio = None, by: _By = None) -> None:
    """Release a legal hold; that it stood stays on record."""
    from cofi_dagster.database import retention

    retention.release(_database(current()), batch_id, audio, reason=reason, by=_who(by))
    _say(f"{audio or 'the whole'} of batch {batch_id} is released")


@db_app.command("holds")
def holds() -> None:
    """The legal holds that stand."""
    from cofi_dagster.database import retention

    found = retention.holds(_database(current()))
    for item in found:
        what = f"batch {item.batch_id}  {item.audio_name or '(whole batch)'}"
        _say(f"{what}  since {item.held_at:%Y-%m-%d %H:%M} UTC by {item.held_by}: {item.reason}")
    if not found:
        _say("no legal holds")


@db_app.command("purge")
def purge(
    before: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="Batches from before this day.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    by: _By = None,
) -> None:
    """Remove transcripts, payloads and audio of old batches; never what is on legal hold."""
    from cofi_dagster.database import retention
    from cofi_dagster.web.audio_decoding import forget_decoded

    settings = current()
    engine = _database(settings)
    removals = retention.purge(engine, before.date(), _paths(engine, settings), by=_who(by), dry_run=dry_run)
    faults = 0
    for removal in removals:
        _say(_removed(removal, dry_run=dry_run))
        for fault in removal.faults:
            _say(f"  not removed: {fault}")
        faults += len(removal.faults)
    if not dry_run:
        forget_decoded(settings.home)
    if faults:
        raise typer.Exit(1)


def _paths(engine: sa.Engine, settings: Settings) -> Callable[[int], Callable[[str], Path]]:
    from cofi_dagster.pipeline.batches import by_id

    return lambda batch_id: by_id(engine, batch_id, settings.batches).path_of


def _removed(removal: Removal, *, dry_run: bool) -> str:
    batch = f"batch {removal.batch_id} {removal.batch}"
    if removal.kept is not None and removal.is_empty:
        return f"{batch}: left alone, {removal.kept}"
    verb = "would remove" if dry_run else "removed"
    what = (
        f"{removal.segments} transcript segments, {removal.payloads} payloads, {removal.files} audio files "
        f"({removal.bytes / 1e6:.1f} MB)"
    )
    held = f"; {removal.held_calls} calls are on legal hold" if removal.held_calls else ""
    return f"{batch}: {verb} {what}{held}" + (f"; then {removal.kept}" if removal.kept else "")
