"""LLM1: the trades that were discussed in each transcript, into ``callConversation``; a reaudit adds rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import uuid4

import orjson
import sqlalchemy as sa

from cofi_dagster.audit import evidence, replies
from cofi_dagster.audit.prompts import load
from cofi_dagster.audit.requests import Segment, llm1_request
from cofi_dagster.database import tables as t
from cofi_dagster.database.engine import reading
from cofi_dagster.pipeline.audio_stage import parse
from cofi_dagster.pipeline.llm_stage import PATH, transcripts
from cofi_dagster.pipeline.pending import plan_of
from cofi_dagster.pipeline.read_ahead import ReadAhead
from cofi_dagster.pipeline.run import StageContext
from cofi_dagster.pipeline.status import CallStatus
from cofi_dagster.pipeline.work import BadReply, FileFault, FileStage, Outcome, Plan, PostJson, Request, State, Work


def make(context: StageContext) -> FileStage:
    """The stage for a batch."""
    return Llm1(context)


class Llm1:
    """Pending is a call with status ``TranscriptDone``."""

    def __init__(self, context: StageContext) -> None:
        self.stage = context.stage
        self._context = context
        self._prompt = load("llm1")
        self._ahead: ReadAhead[list[Segment]] | None = None

    def plan(self, connection: sa.Connection) -> Plan:
        """The transcribed calls, longest first."""
        transcribed = t.call.c.status == CallStatus.TRANSCRIPT_DONE
        plan = plan_of(self._context, connection, transcribed, detail=lambda row: None)
        plan.works.sort(key=lambda work: -work.weight)
        self._ahead = ReadAhead([work.call_id for work in plan.works], self._load, self._context.engine.url)
        return plan

    def _load(self, call_ids: Sequence[int]) -> Mapping[int, list[Segment]]:
        with reading(self._context.engine) as connection:
            found = transcripts(connection, call_ids)
        return {call_id: found.get(call_id, []) for call_id in call_ids}

    async def request(self, work: Work) -> Request:
        """The transcript, and the schema of the answer.

        Raises:
            FileFault: the call has no transcript.
        """
        assert self._ahead is not None
        settings = self._context.settings
        if work.detail is None:
            work.detail = await self._ahead.take(work.call_id)
        if not work.detail:
            raise FileFault("the call has no transcript: transcribe it again")
        body = llm1_request(work.detail, model=settings.llm1_model)
        return PostJson(PATH, orjson.dumps(body), settings.request_timeout_seconds, with_key=True)

    def outcome(self, work: Work, body: bytes) -> Outcome:
        """One row per trade discussed, its quotes checked against the transcript."""
        try:
            reply = replies.parse_llm1(parse(body))
        except replies.BadReply as bad:
            raise BadReply(str(bad)) from None
        reply_id = uuid4().hex
        transcript = evidence.Transcript(work.detail)
        rows = [
            {
                "callId": work.call_id,
                "replyId": reply_id,
                "symbol": trade.symbol[:255] if trade.symbol else None,
                "side": trade.side,
                "quantity": trade.quantity,
                "price": trade.price,
                "priceType": trade.price_type,
                "evidence": transcript.check(trade.evidence)[1],
                "model": reply.model[:255],
                "promptVersion": self._prompt.version,
            }
            for trade in reply.conversations
        ]
        work.detail = None
        return Outcome(
            work,
            State.DONE,
            call={"status": CallStatus.AUDIT_DONE, "llm1ReplyId": reply_id},
            rows={t.call_conversation: rows},
        )
