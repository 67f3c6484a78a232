"""What a machine's reply means for the file and for the machine: the error table of the protocol, as data."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum


class Verdict(StrEnum):
    """What COFI does next."""

    DONE = "done"
    """The reply is an answer."""
    FILE_FAULT = "file_fault"
    """This file cannot be processed: it fails at once."""
    MISSING = "missing"
    """The machine does not have the file: upload it again, once, and repeat."""
    BUSY = "busy"
    """Wait and repeat; not a failure of the file; send less to this machine."""
    PASSING = "passing"
    """A passing fault: repeat with growing, jittered waits, up to the most attempts."""


VERDICTS: dict[int, Verdict] = {
    200: Verdict.DONE,
    201: Verdict.DONE,
    204: Verdict.DONE,
    400: Verdict.FILE_FAULT,
    413: Verdict.FILE_FAULT,
    415: Verdict.FILE_FAULT,
    422: Verdict.FILE_FAULT,
    404: Verdict.MISSING,
    429: Verdict.BUSY,
    503: Verdict.BUSY,
    408: Verdict.PASSING,
    425: Verdict.PASSING,
    500: Verdict.PASSING,
    502: Verdict.PASSING,
    504: Verdict.PASSING,
}


def verdict(status: int) -> Verdict:
    """The verdict on an HTTP status; one that the table lacks is the file's fault below 500, else passing."""
    known = VERDICTS.get(status)
    if known is not None:
        return known
    return Verdict.FILE_FAULT if 400 <= status < 500 else Verdict.PASSING


def retry_after(value: str | None) -> float | None:
    """The seconds of a ``Retry-After`` header (RFC 9110 10.2.3: seconds or a date), or None where it is neither."""
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
