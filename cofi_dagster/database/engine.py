"""Connecting to the database: one engine per URL, one clock, short transactions. No queries here."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import orjson
import pymysql
import sqlalchemy as sa
from pydantic import SecretStr
from pymysql.constants import CR, ER
from pymysql.cursors import Cursor
from sqlalchemy import event

from cofi_dagster.database.column_types import MYSQL
from cofi_dagster.settings import Settings, SettingsError

# A connection that is lost is met, and said in one sentence, where it was used: the pool's own traceback adds nothing.
logging.getLogger("sqlalchemy.pool").addHandler(logging.NullHandler())

_CONNECT_SECONDS = 10
_SQLITE_WAIT_MS = 60_000
_MYSQL_SESSION = (
    "SET time_zone = '+00:00', sql_mode = 'STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION', "
    "group_concat_max_len = 67108864"
)
_JSON_NULLS = "SELECT v IS NULL FROM JSON_TABLE('[[null]]', '$[*]' COLUMNS (v LONGTEXT PATH '$[0]')) AS sent"
"""1 where a JSON null is NULL: to the first releases of MySQL 8.0 it is the text ``null``."""
_OPEN_LOGIN = (
    "its user logs in by caching_sha2_password or sha256_password, which an unencrypted connection cannot: add TLS to "
    "the URL (?ssl_ca=/path/to/ca.pem), use the server's socket, or install the Python package cryptography"
)
_KEEP_ALIVE = {"TCP_KEEPIDLE": 20, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 50_000}
"""Seconds of silence, seconds between probes, probes, milliseconds without an answer (``man 7 tcp``): a server that has
vanished is noticed within a minute, not after the two hours that are Linux's own; one that is slow answers probes."""
_PACKET_MARGIN = 1024
_STATEMENT_BYTES = 2_000_000


class DatabaseError(RuntimeError):
    """The database cannot be used; the message says why and what to do."""


def url_of(settings: Settings) -> sa.URL:
    """The database URL of the settings, its password read from the password file where one is named.

    Raises:
        SettingsError: the URL cannot be parsed, or the password file cannot be read.
    """
    if settings.database_url is None:
        return sa.URL.create("sqlite", database=str(settings.database_path))
    url = _parsed(settings.database_url, "COFI_DATABASE_URL")
    backend = url.get_backend_name()
    if backend not in ("sqlite", *MYSQL):
        raise SettingsError(f"COFI_DATABASE_URL: '{backend}' is not supported; use sqlite, mysql or mariadb")
    if backend == "sqlite":
        if not url.database or url.database == ":memory:":
            raise SettingsError("COFI_DATABASE_URL: an SQLite database must be a file")
        return url
    return server_url(settings, settings.database_url, "COFI_DATABASE_URL")


def _parsed(text: SecretStr, name: str) -> sa.URL:
    try:
        return sa.make_url(text.get_secret_value())
    except sa.exc.ArgumentError:
        raise SettingsError(f"{name}: not a database URL, e.g. mysql+pymysql://user@host/cofi") from None


def server_url(settings: Settings, text: SecretStr, name: str) -> sa.URL:
    """The URL of a MySQL or MariaDB database from the setting ``name``: by PyMySQL, the password from its file.

    Raises:
        SettingsError: it is none, or the password file cannot be read.
    """
    url = _parsed(text, name)
    if url.get_backend_name() not in MYSQL:
        raise SettingsError(f"{name}: '{url.get_backend_name()}' is not supported; use mysql or mariadb")
    url = url.set(drivername=f"{url.get_backend_name()}+pymysql")
    if settings.database_password_file is not None and url.password is None:
        try:
            password = settings.database_password_file.read_text("utf-8").splitlines()[0]
        except (OSError, IndexError):
            raise SettingsError(
                f"COFI_DATABASE_PASSWORD_FILE: cannot read a password from {settings.database_password_file}"
            ) from None
        url = url.set(password=password)
    return url.update_query_dict({"charset": "utf8mb4"})


def connect(where: Settings | sa.URL | str) -> sa.Engine:
    """An engine for the settings' database (or for a URL). Nothing is opened yet.

    Every session runs in UTC, strict, with short lock waits left to the server. JSON is written by orjson.
    """
    url = url_of(where) if isinstance(where, Settings) else sa.make_url(where)
    common: dict[str, Any] = {"json_serializer": _to_json, "json_deserializer": _from_json}
    if url.get_backend_name() == "sqlite":
        engine = sa.create_engine(url, connect_args={"timeout": _SQLITE_WAIT_MS / 1000}, **common)
        event.listen(engine, "connect", _open_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    engine = sa.create_engine(
        url,
        isolation_level="READ COMMITTED",
        pool_pre_ping=True,
        pool_recycle=1800,
        connect_args={"connect_timeout": _CONNECT_SECONDS},
        **common,
    )
    event.listen(engine, "do_connect", _connect_mysql)
    event.listen(engine, "connect", _open_mysql)
    return engine


def _to_json(value: object) -> str:
    return orjson.dumps(value).decode()


def _from_json(text: str | bytes) -> Any:
    """A JSON value; an adopted table may hold plain text, which is itself."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def _open_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout = {_SQLITE_WAIT_MS}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")


def _begin_sqlite(connection: sa.Connection) -> None:
    if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _connect_mysql(dialect: sa.Dialect, _record: Any, arguments: Any, named: Any) -> Any:
    """Connect; a login that PyMySQL cannot do in the open is an error of the database's, with what to do."""
    try:
        return dialect.connect(*arguments, **named)
    except RuntimeError as error:
        raise pymysql.err.OperationalError(CR.CR_AUTH_PLUGIN_ERR, _OPEN_LOGIN) from error


def _open_mysql(connection: Any, _record: Any) -> None:
    _notice_silence(connection._sock)
    with connection.cursor() as cursor:
        cursor.execute(_MYSQL_SESSION)
        cursor.execute("SELECT @@max_allowed_packet")
        (packet,) = cursor.fetchone()
        json_rows = _makes_rows_of_json(cursor)
    connection.cursorclass = _fitting_cursor(int(packet) - _PACKET_MARGIN, json_rows)


def _notice_silence(sock: socket.socket) -> None:
    if sock.family != socket.AF_UNIX:
        for name, value in _KEEP_ALIVE.items():
            if hasattr(socket, name):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _makes_rows_of_json(cursor: Any) -> bool:
    try:
        cursor.execute(_JSON_NULLS)
    except pymysql.err.ProgrammingError:
        return False  # a server that speaks MySQL's protocol, but has no JSON_TABLE
    return bool(cursor.fetchone() == (1,))


def statement_bytes(connection: sa.Connection) -> int:
    """The longest statement that this connection's server takes, in bytes, and that COFI makes where it can divide."""
    limit: int = _cursor_class(connection).max_stmt_length
    return limit


def takes_json_rows(connection: sa.Connection) -> bool:
    """Whether this connection's server makes rows of a JSON text, its nulls NULL."""
    takes: bool = _cursor_class(connection).takes_json
    return takes


def _cursor_class(connection: sa.Connection) -> Any:
    driver = connection.connection.driver_connection
    assert driver is not None
    return driver.cursorclass


@lru_cache(maxsize=8)
def _fitting_cursor(limit: int, json_rows: bool) -> type[Cursor]:
    """A cursor whose statements fit into the server's packet of ``limit`` bytes.

    Many rows go as several statements. One that cannot be divided is refused here: sent to the server, it would end the
    connection, which looks like a fault that passes.
    """

    class FittingCursor(Cursor):  # type: ignore[misc]
        max_stmt_length = min(_STATEMENT_BYTES, limit)
        takes_json = json_rows

        def _query(self, statement: str | bytes) -> Any:
            size = len(statement) if len(statement) * 4 > limit else 0
            if size and isinstance(statement, str):
                size = len(statement.encode())
            if size > limit:
                raise pymysql.err.DataError(ER.NET_PACKET_TOO_LARGE, _too_large(size, limit))
            return super()._query(statement)

    return FittingCursor


def _too_large(size: int, limit: int) -> str:
    """What is too large, and what to set: a packet's length is a power of two, up to 1 GB."""
    enough = min(1 << (size + _PACKET_MARGIN - 1).bit_length(), 1 << 30)
    return (
        f"it takes {size:,} bytes, and the server's max_allowed_packet is {limit + _PACKET_MARGIN:,}: "
        f"SET GLOBAL max_allowed_packet = {enough}, there and in the server's configuration, start COFI again, "
        "and repeat"
    )


@contextmanager
def reading(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A connection for queries: each sees what is committed at its time; nothing is locked, nothing is written.

    On a server that is what ``READ COMMITTED`` does, without a statement of its own to begin or to end it.
    """
    with engine.connect() as connection:
        yield connection.execution_options(isolation_level="AUTOCOMMIT") if is_sqlite(engine) else connection


@contextmanager
def writing(engine: sa.Engine) -> Iterator[sa.Connection]:
    """One transaction: committed at the end, rolled back where the block raises."""
    with engine.begin() as connection:
        yield connection


def is_sqlite(bind: sa.Engine | sa.Connection) -> bool:
    """Whether the database is SQLite."""
    return bind.dialect.name == "sqlite"


def explain(error: sa.exc.DBAPIError, url: sa.URL) -> str:
    """What a failed connection or statement means, in one sentence without secrets."""
    cause = error.orig.args if error.orig is not None else ()
    reason = str(cause[-1]) if cause else str(error)
    return f"the database {url.render_as_string(hide_password=True)} cannot be used: {reason}"
