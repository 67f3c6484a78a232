"""What the audio stages share: a request that names the file, and a reply that names it back with its duration."""

from __future__ import annotations

from typing import Any

import orjson
import sqlalchemy as sa

from cofi_dagster.pipeline.pending import is_pending, plan_of
from cofi_dagster.pipeline.run import StageContext
from cofi_dagster.pipeline.work import BadReply, Outcome, Plan, PostJson, Request, State, Work


class AudioStage:
    """A stage whose service reads the uploaded file: ``POST /<service>``. Pending by its done flag."""

    def __init__(self, context: StageContext) -> None:
        self.stage = context.stage
        self.context = context

    def plan(self, connection: sa.Connection) -> Plan:
        """The files on a machine that are not through."""
        return plan_of(self.context, connection, *is_pending(self.stage), detail=lambda row: None)

    async def request(self, work: Work) -> Request:
        """``{"batch_id", "file"}`` to the service."""
        body = orjson.dumps({"batch_id": self.context.batch.id, "file": work.file})
        return PostJson(f"/{self.stage.service}", body, self.context.settings.request_timeout_seconds)

    def outcome(self, work: Work, body: bytes) -> Outcome:
        """The reply is checked; what it holds beyond the duration is the subclass's."""
        reply = parse(body)
        seconds(reply, "audio_duration")
        return self.read(work, reply)

    def read(self, work: Work, reply: dict[str, Any]) -> Outcome:
        """The outcome of a reply that is an object with an ``audio_duration``."""
        return Outcome(work, State.DONE)


def parse(body: bytes) -> dict[str, Any]:
    """The JSON object of a reply.

    Raises:
        BadReply: it is none.
    """
    try:
        reply = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadReply(f"not JSON ({error})") from None
    if not isinstance(reply, dict):
        raise BadReply("not a JSON object")
    return reply


def seconds(reply: dict[str, Any], name: str) -> float:
    """A length or moment of a reply, in seconds; some servers send it as text.

    Raises:
        BadReply: it is missing, no number, or negative.
    """
    try:
        value = float(reply[name])
    except (KeyError, TypeError, ValueError):
        raise BadReply(f"'{name}' is missing or no number") from None
    if not 0 <= value < float("inf"):
        raise BadReply(f"'{name}' is {value}")
    return value


def text(reply: dict[str, Any], name: str) -> str:
    """A text of a reply.

    Raises:
        BadReply: it is missing or no text.
    """
    value = reply.get(name)
    if not isinstance(value, str):
        raise BadReply(f"'{name}' is missing or no text")
    return value
