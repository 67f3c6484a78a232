"""Bringing a database to this version, and saying what it lacks. The statements come from ``schema``; steps that a
comparison of tables cannot find (moving rows) are Alembic revisions in ``migrations/versions``.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from cofi_dagster.audit.questionnaire import DEFAULT_CATEGORY_MAPPING_ID, DEFAULT_PROCESS_ID, DEFAULT_QUESTIONS
from cofi_dagster.database import schema
from cofi_dagster.database.engine import DatabaseError, explain, is_sqlite, reading, writing
from cofi_dagster.database.migrations import VERSION_TABLE
from cofi_dagster.database.schema import Change, Plan
from cofi_dagster.database.tables import audit_question, cofi_version, utcnow

_LOCK = "cofi_upgrade"
_LOCK_SECONDS = 60
_SQL_HEAD = """-- Brings a COFI database to this version: what `cofi db upgrade` would run, in its order.
-- Made for the database as it was when this was printed; nothing else may write to it meanwhile.
SET time_zone = '+00:00';
SET NAMES utf8mb4;"""


def upgrade(engine: sa.Engine) -> list[str]:
    """Bring the database to this version and say what was done, a line each; safe to repeat and to interrupt.

    Raises:
        DatabaseError: the database cannot be reached, another upgrade holds the lock, or something forbids the upgrade;
            in that case nothing was changed.
    """
    try:
        with _locked(engine), writing(engine) as connection:
            if not is_sqlite(engine):
                connection.exec_driver_sql(f"SET SESSION lock_wait_timeout = {_LOCK_SECONDS}")
            planned = _plan(connection)
            done = [line for change in planned.changes for line in _run(connection, change)]
            done += _run_revisions(connection)
            done += _seed_questionnaire(connection)
            done += _note_version(connection)
            return done + [f"note: {note}" for note in planned.notes]
    except sa.exc.DBAPIError as error:
        raise DatabaseError(explain(error, engine.url)) from error


def upgrade_sql(engine: sa.Engine) -> Iterator[str]:
    """What :func:`upgrade` would run, as SQL for a person to run; nothing is changed.

    Raises:
        DatabaseError: the database cannot be reached, or something forbids the upgrade.
    """
    try:
        with reading(engine) as connection:
            planned = _plan(connection)
            revisions = "" if is_sqlite(engine) else _revisions_sql(connection)
            rows = _missing_questions(connection)
            is_noted = _is_noted(connection)
    except sa.exc.DBAPIError as error:
        raise DatabaseError(explain(error, engine.url)) from error
    if not is_sqlite(engine):
        yield _SQL_HEAD
    for change in planned.changes:
        yield "\n".join(f"-- {change.verb} {what}" for what in change.whats)
        moves = change.verb == "moved"
        yield from ("START TRANSACTION;",) * moves
        yield from (f"{statement};" for statement in change.statements)
        yield from ("COMMIT;",) * moves
    if revisions:
        yield revisions
    inserts = [sa.insert(audit_question).values(row) for row in rows]
    noting = [] if is_noted else [sa.delete(cofi_version), sa.insert(cofi_version).values(_version())]
    for statement in (*inserts, *noting):
        text = str(statement.compile(dialect=engine.dialect, compile_kwargs={"literal_binds": True}))
        yield text.replace("%%", "%") + ";"
    yield from (f"-- note: {note}" for note in planned.notes)


def missing(engine: sa.Engine) -> list[str]:
    """What the database lacks against this version, or what forbids its upgrade, a line each; empty where nothing does.

    Raises:
        DatabaseError: the database cannot be reached.
    """
    try:
        with reading(engine) as connection:
            planned = schema.plan(connection)
            lacking = [what for change in planned.changes for what in change.whats] + planned.obstacles
            if not lacking and _revision(connection) != _head():
                lacking.append(f"revision {_head()} (the database is at {_revision(connection) or 'none'})")
            return lacking
    except sa.exc.DBAPIError as error:
        raise DatabaseError(explain(error, engine.url)) from error


def ready(engine: sa.Engine) -> None:
    """Make sure that the database is of this version: an SQLite file is upgraded, a server must have been.

    Raises:
        DatabaseError: the database cannot be reached, or is too old.
    """
    try:
        with reading(engine) as connection:
            is_ready = _is_noted(connection)
    except sa.exc.DBAPIError as error:
        if not is_sqlite(engine):
            raise DatabaseError(explain(error, engine.url)) from error
        is_ready = False
    if is_ready:
        return
    if not is_sqlite(engine):
        shown = engine.url.render_as_string(hide_password=True)
        raise DatabaseError(f"the database {shown} is not of this version of COFI: run `cofi db upgrade`")
    upgrade(engine)


# -- statements ----------------------------------------------------------------------------------------------------


def _plan(connection: sa.Connection) -> Plan:
    """What to do.

    Raises:
        DatabaseError: something forbids it; the message names all of it.
    """
    planned = schema.plan(connection, views_anew=not _is_noted(connection))
    if planned.obstacles:
        listed = "\n".join(f"  - {obstacle}" for obstacle in planned.obstacles)
        raise DatabaseError(f"the database cannot be upgraded as it is, and nothing was changed:\n{listed}")
    return planned


def _run(connection: sa.Connection, change: Change) -> list[str]:
    """Run a change. A server commits each DDL statement by itself, and with it the rows that were moved before it."""
    for statement in change.statements:
        text = statement if is_sqlite(connection) else statement.replace("%", "%%")
        try:
            connection.exec_driver_sql(text)
        except sa.exc.DBAPIError as error:
            what = f"{change.verb.removesuffix('ed')}ing {', '.join(change.whats)}"
            said = explain(error, connection.engine.url)
            raise DatabaseError(f"{what}: {said}; what was done before stays, the upgrade can be repeated") from error
    return [f"{change.verb} {what}" for what in change.whats]


def _missing_questions(connection: sa.Connection) -> list[dict[str, Any]]:
    """The rows of the default questionnaire, where the database has none of it."""
    columns = audit_question.c
    chosen = (columns.processId == DEFAULT_PROCESS_ID) & (columns.categoryMappingId == DEFAULT_CATEGORY_MAPPING_ID)
    query = sa.select(sa.func.count()).select_from(audit_question).where(chosen)
    if _has(connection, audit_question) and connection.execute(query).scalar_one():
        return []
    return [
        {
            "processId": DEFAULT_PROCESS_ID,
            "categoryMappingId": DEFAULT_CATEGORY_MAPPING_ID,
            "position": question.position,
            "text": question.text,
            "answerType": question.answer_type,
        }
        for question in DEFAULT_QUESTIONS
    ]


def _seed_questionnaire(connection: sa.Connection) -> list[str]:
    rows = _missing_questions(connection)
    if not rows:
        return []
    connection.execute(audit_question.insert(), rows)
    return [f"added the default questionnaire ({len(rows)} questions)"]


# -- versions ------------------------------------------------------------------------------------------------------


def _has(connection: sa.Connection, table: sa.Table) -> bool:
    return sa.inspect(connection).has_table(table.name)


def _version() -> dict[str, Any]:
    return {"id": 1, "fingerprint": f"{_head()} {schema.fingerprint()}"}


def _is_noted(connection: sa.Connection) -> bool:
    """Whether the last upgrade was to this version."""
    if not _has(connection, cofi_version):
        return False
    noted = connection.execute(sa.select(cofi_version.c.fingerprint)).scalars().all()
    return noted == [_version()["fingerprint"]]


def _note_version(connection: sa.Connection) -> list[str]:
    if _is_noted(connection):
        return []
    connection.execute(cofi_version.delete())
    connection.execute(cofi_version.insert().values(**_version(), upgradedAt=utcnow()))
    return []


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    return config


def _head() -> str | None:
    return ScriptDirectory.from_config(_config()).get_current_head()


def _revision(connection: sa.Connection) -> str | None:
    return MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_revision()


def _run_revisions(connection: sa.Connection) -> list[str]:
    before = _revision(connection)
    if before == _head():
        return []
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    return [f"revision {before or 'none'} -> {_head()}"]


def _revisions_sql(connection: sa.Connection) -> str:
    before = _revision(connection)
    if before == _head():
        return ""
    config = _config()
    config.output_buffer = io.StringIO()
    command.upgrade(config, f"{before}:head" if before else "head", sql=True)
    return config.output_buffer.getvalue().strip()


@contextmanager
def _locked(engine: sa.Engine) -> Iterator[None]:
    """One upgrade at a time: a named lock on a server; SQLite's own write lock covers the whole upgrade."""
    if is_sqlite(engine):
        Path(str(engine.url.database)).parent.mkdir(parents=True, exist_ok=True)
        yield
        return
    with reading(engine) as connection:
        name = f"{_LOCK}:{engine.url.database}"[:64]
        got = connection.execute(
            sa.text("SELECT GET_LOCK(:name, :wait)"), {"name": name, "wait": _LOCK_SECONDS}
        ).scalar()
        if got != 1:
            raise DatabaseError("another upgrade of this database is running: try again when it has ended")
        try:
            yield
        finally:
            connection.execute(sa.text("SELECT RELEASE_LOCK(:name)"), {"name": name})
