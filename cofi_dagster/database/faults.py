"""Which database faults pass by themselves, and how long such a one is waited for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import sqlalchemy as sa

from cofi_dagster.database.engine import DatabaseError, explain

T = TypeVar("T")

WAITS: tuple[float, ...] = (0.1, 0.3, 1.0, 3.0, 6.0, 10.0, 15.0, 25.0)
"""Seconds before each repeat: a minute in all, which a server's restart or a failover takes."""

PASSING_CODES: frozenset[int] = frozenset({
    1020,  # record has changed since last read
    1040, 1203, 1226,  # too many connections, of all or of this user
    1047,  # Galera: the node is not ready
    1053,  # server shutdown in progress
    1158, 1159, 1160, 1161,  # network errors while reading or writing packets
    1180, 3100, 3101,  # a commit that the other members of a Galera cluster or a replication group refused
    1205, 1206,  # lock wait timeout; the lock table is full
    1213,  # deadlock
    1290, 1836,  # read-only: a failover is under way
    1317, 1969, 3024,  # query interrupted, or over its time (MariaDB, MySQL)
    1021, 1026, 1114,  # disk or table full: an operator can make room
    1412,  # the table was altered meanwhile
    2002, 2003,  # cannot connect
    2006, 2013, 2014, 2055,  # connection lost
    1927, 4031,  # connection was killed (MariaDB), or closed for being idle (MySQL)
})  # fmt: skip
"""MySQL and MariaDB error codes of faults that are worth a repeat."""

_ENGINE_ERROR = 1030
_NO_SPACE = "28"
_SQLITE_WORDS = ("locked", "busy", "disk i/o", "full")


def is_passing(error: sa.exc.DBAPIError) -> bool:
    """Whether the same transaction may succeed in a while."""
    if error.connection_invalidated:
        return True
    arguments = error.orig.args if error.orig is not None and error.orig.args else (None,)
    code = arguments[0]
    if isinstance(code, int):
        return code in PASSING_CODES or (code == _ENGINE_ERROR and _NO_SPACE in str(arguments[-1]))
    return isinstance(error, sa.exc.OperationalError) and any(word in str(code).lower() for word in _SQLITE_WORDS)


def patiently(transaction: Callable[[], T], url: sa.URL) -> T:
    """Run a whole transaction; repeat it with growing waits while a fault that passes is in its way.

    The transaction must be one that may be repeated after a commit of which only the confirmation was lost.

    Raises:
        DatabaseError: the fault did not pass; the message says which.
        sqlalchemy.exc.DBAPIError: a fault that does not pass by waiting.
    """
    for wait in WAITS:
        try:
            return transaction()
        except sa.exc.DBAPIError as error:
            if not is_passing(error):
                raise
            time.sleep(wait)
    try:
        return transaction()
    except sa.exc.DBAPIError as error:
        if not is_passing(error):
            raise
        raise DatabaseError(f"{explain(error, url)} (tried {len(WAITS) + 1} times)") from error
