"""Where Dagster keeps its runs, events and schedules: SQLite in its home, or MySQL/MariaDB by one setting.

``dagster.yaml`` names :class:`CofiStorage`, which asks the settings: so no file of Dagster's ever holds an address or a
password, and every process of an installation (UI, daemon, code server, runs, Dagster's own commands) finds the same.

On a server Dagster's tables come from dagster-mysql, with its pits closed: the driver is PyMySQL, which leaves the
collation to the server (the other asks for one that MariaDB lacks); sessions are in UTC, as Dagster's times are; and
columns that dagster-mysql declares as ``TEXT`` or ``BLOB`` (64 KB) are widened, or a snapshot of a large job or a tick
with many runs is refused.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import sqlalchemy as sa
from dagster._core.storage.base_storage import DagsterStorage
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes import ConfigurableClass, ConfigurableClassData

from cofi_dagster.database.engine import DatabaseError, connect, explain, server_url
from cofi_dagster.settings import Settings, current

_SESSION = "SET time_zone = '+00:00'"
_LOCK = "cofi_dagster_storage"
_LOCK_SECONDS = 60
_WIDE = {
    "snapshots": ("snapshot_body",),
    "runs": ("run_body",),
    "daemon_heartbeats": ("body",),
    "bulk_actions": ("body",),
    "kvs": ("value",),
    "jobs": ("job_body",),
    "instigators": ("instigator_body",),
    "job_ticks": ("tick_body",),
    "asset_daemon_asset_evaluations": ("asset_evaluation_body",),
    "asset_keys": ("last_materialization", "asset_details", "tags", "cached_status_data"),
    "asset_check_executions": ("evaluation_event",),
    "event_logs": ("event",),
}
"""Columns of Dagster's tables without a limit of their own: what is in them grows with jobs, runs and batches."""

_WIDER = {
    "tinytext": "LONGTEXT",
    "text": "LONGTEXT",
    "mediumtext": "LONGTEXT",
    "blob": "LONGBLOB",
    "mediumblob": "LONGBLOB",
}
_NARROW = sa.text(
    "SELECT COLUMN_NAME, DATA_TYPE, IS_NULLABLE FROM information_schema.COLUMNS "
    "WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = :table"
)


class CofiStorage(DagsterStorage, ConfigurableClass):
    """The storage that ``dagster.yaml`` names. It is never made: what it makes from the settings is Dagster's own."""

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """Nothing: the settings say it all."""
        return {}

    @classmethod
    def from_config_value(  # type: ignore[override]
        cls, inst_data: ConfigurableClassData | None, config_value: Any
    ) -> DagsterStorage:
        """Dagster's storage as the settings say."""
        return open_storage(current(), inst_data)


def storage_url(settings: Settings) -> sa.URL | None:
    """The URL of Dagster's database; None where it is SQLite in Dagster's home.

    Raises:
        SettingsError: the URL cannot be parsed, or is no MySQL or MariaDB.
    """
    if settings.dagster_database_url is None:
        return None
    url = server_url(settings, settings.dagster_database_url, "COFI_DAGSTER_DATABASE_URL")
    return url.update_query_dict({"init_command": _SESSION})


def open_storage(settings: Settings, inst_data: ConfigurableClassData | None = None) -> DagsterStorage:
    """Dagster's storage; its tables are made, and wide enough.

    Raises:
        DatabaseError: the database cannot be used.
    """
    url = storage_url(settings)
    if url is None:
        home = Path(os.environ.get("DAGSTER_HOME") or settings.dagster_home)
        with _file_locked(home):
            return DagsterSqliteStorage.from_local(str(home), inst_data)
    from dagster_mysql import DagsterMySQLStorage  # 0.2 s that SQLite has no use for

    with _locked(url) as connection:
        _check_is_ours(connection, url)
        storage = DagsterMySQLStorage(url.render_as_string(hide_password=False), inst_data)
        _widen(connection)
    return storage


@contextmanager
def _file_locked(home: Path) -> Iterator[None]:
    """A lock under which Dagster makes its SQLite files: of two processes at it at once one would fail."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / ".storage.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _locked(url: sa.URL) -> Iterator[sa.Connection]:
    """A connection that holds the lock under which tables are made: processes start at the same time.

    Raises:
        DatabaseError: the database cannot be used.
    """
    engine = connect(url.difference_update_query(["init_command"]))
    name = f"{_LOCK}:{url.database}"[:64]
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sa.text("SELECT GET_LOCK(:name, :wait)"), {"name": name, "wait": _LOCK_SECONDS})
            yield connection
    except sa.exc.DBAPIError as error:
        raise DatabaseError(f"Dagster's storage: {explain(error, url)}") from error
    finally:
        engine.dispose()


def _check_is_ours(connection: sa.Connection, url: sa.URL) -> None:
    """Dagster counts its revisions in ``alembic_version``; it would run on from another service's.

    Raises:
        DatabaseError: the table is there, and Dagster's are not.
    """
    there = set(sa.inspect(connection).get_table_names())
    if "alembic_version" in there and not {"runs", "event_logs", "job_ticks"} & there:
        shown = url.difference_update_query(["init_command"]).render_as_string(hide_password=True)
        raise DatabaseError(
            f"Dagster's storage: {shown} has an alembic_version of another service: give Dagster a database of its own"
        )


def _widen(connection: sa.Connection) -> list[str]:
    """Widen what is narrow; what was widened."""
    quote = connection.dialect.identifier_preparer.quote
    done = []
    for table, names in _WIDE.items():
        clauses = [
            f"MODIFY COLUMN {quote(name)} {_WIDER[kind.lower()]} {'NULL' if nullable == 'YES' else 'NOT NULL'}"
            for name, kind, nullable in connection.execute(_NARROW, {"table": table})
            if name in names and kind.lower() in _WIDER
        ]
        if clauses:
            connection.exec_driver_sql(f"ALTER TABLE {quote(table)} {', '.join(clauses)}")
            done += [f"{table}: {clause.removeprefix('MODIFY COLUMN ')}" for clause in clauses]
    return done


def migrate(instance: dg.DagsterInstance) -> None:
    """Bring Dagster's storage to the installed Dagster's version, as ``dagster instance migrate`` does.

    Raises:
        DatabaseError: the database cannot be used.
    """
    try:
        instance.upgrade()
    except sa.exc.DBAPIError as error:
        raise DatabaseError(f"Dagster's storage: {error.orig}") from error
