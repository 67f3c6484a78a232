"""Which database faults pass by themselves, and which do not. A table, and no handling."""

from __future__ import annotations

import sqlalchemy as sa

PASSING_CODES: frozenset[int] = frozenset({
    1020,  # record has changed since last read
    1040,  # too many connections
    1053,  # server shutdown in progress
    1158, 1159, 1160, 1161,  # network errors while reading or writing packets
    1205,  # lock wait timeout
    1213,  # deadlock
    1290, 1836,  # read-only: a failover is under way
    1317,  # query interrupted
    1021, 1114,  # disk or table full: an operator can make room
    2002, 2003,  # cannot connect
    2006, 2013, 2014, 2055,  # connection lost
    1927,  # connection was killed (MariaDB)
})  # fmt: skip
"""MySQL and MariaDB error codes of faults that are worth a repeat."""


def is_passing(error: sa.exc.DBAPIError) -> bool:
    """Whether the same transaction may succeed in a while."""
    if error.connection_invalidated:
        return True
    code = error.orig.args[0] if error.orig is not None and error.orig.args else None
    if isinstance(code, int):
        return code in PASSING_CODES
    return isinstance(error, sa.exc.OperationalError) and any(
        word in str(code).lower() for word in ("locked", "busy", "disk i/o", "full")
    )
