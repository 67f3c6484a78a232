"""Bringing a database to this version, and saying what it lacks. The statements come from ``schema``; steps that a
comparison of tables cannot find (moving rows) are Alembic revisions in ``migrations/versions``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from cofi_dagster.audit.questionnaire import DEFAULT_CATEGORY_MAPPING_ID, DEFAULT_PROCESS_ID, DEFAULT_QUESTIONS
from cofi_dagster.database import schema
from cofi_dagster.database.engine import DatabaseError, explain, is_sqlite, reading, writing
from cofi_dagster.database.tables import audit_question

_LOCK = "cofi_upgrade"
_LOCK_SECONDS = 60


def upgrade(engine: sa.Engine) -> list[str]:
    """Bring the database to this version and say what was done, a line each; safe to repeat and to interrupt.

    Raises:
        DatabaseError: the database cannot be reached, or another upgrade holds the lock.
    """
    try:
        with _locked(engine):
            with writing(engine) as connection:
                done = _add_what_lacks(connection)
                done += _run_revisions(connection)
                done += _seed_questionnaire(connection)
            return done
    except sa.exc.DBAPIError as error:
        raise DatabaseError(explain(error, engine.url)) from error


def missing(engine: sa.Engine) -> list[str]:
    """What the database lacks against this version, a line each; empty where nothing does.

    Raises:
        DatabaseError: the database cannot be reached.
    """
    try:
        with reading(engine) as connection:
            lacking = [lack.what for lack in schema.lacks(connection)]
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
            at = _revision(connection)
    except sa.exc.DBAPIError as error:
        if not is_sqlite(engine):
            raise DatabaseError(explain(error, engine.url)) from error
        at = None
    if at == _head():
        return
    if not is_sqlite(engine):
        shown = engine.url.render_as_string(hide_password=True)
        raise DatabaseError(f"the database {shown} is older than this COFI: run `cofi db upgrade`")
    upgrade(engine)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    return config


def _head() -> str | None:
    return ScriptDirectory.from_config(_config()).get_current_head()


def _revision(connection: sa.Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _add_what_lacks(connection: sa.Connection) -> list[str]:
    done: list[str] = []
    for lack in schema.lacks(connection):
        connection.exec_driver_sql(lack.statement.replace("%", "%%") if not is_sqlite(connection) else lack.statement)
        done.append(f"added {lack.what}")
    return done


def _run_revisions(connection: sa.Connection) -> list[str]:
    before = _revision(connection)
    if before == _head():
        return []
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    return [f"revision {before or 'none'} -> {_head()}"]


def _seed_questionnaire(connection: sa.Connection) -> list[str]:
    columns = audit_question.c
    chosen = (columns.processId == DEFAULT_PROCESS_ID) & (columns.categoryMappingId == DEFAULT_CATEGORY_MAPPING_ID)
    if connection.execute(sa.select(sa.func.count()).select_from(audit_question).where(chosen)).scalar_one():
        return []
    connection.execute(
        audit_question.insert(),
        [
            {
                "processId": DEFAULT_PROCESS_ID,
                "categoryMappingId": DEFAULT_CATEGORY_MAPPING_ID,
                "position": question.position,
                "text": question.text,
                "answerType": question.answer_type,
            }
            for question in DEFAULT_QUESTIONS
        ],
    )
    return [f"added the default questionnaire ({len(DEFAULT_QUESTIONS)} questions)"]


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
