"""LLM2: the audit questionnaire, answered for each call; each answer's quotes are checked against the transcript.

The questions that need trade data are not asked of a call that triaging found to have none: its answers to them stand.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import sqlalchemy as sa

from cofi_dagster.audit import evidence, replies
from cofi_dagster.audit.prompts import load
from cofi_dagster.audit.questionnaire import NO_TRADE_DATA, Question
from cofi_dagster.audit.requests import Segment, llm2_request
from cofi_dagster.database import tables as t
from cofi_dagster.database.engine import reading
from cofi_dagster.pipeline.audio_stage import parse
from cofi_dagster.pipeline.llm_stage import PATH, transcripts
from cofi_dagster.pipeline.pending import plan_of
from cofi_dagster.pipeline.questions import questionnaire
from cofi_dagster.pipeline.read_ahead import ReadAhead
from cofi_dagster.pipeline.run import StageContext
from cofi_dagster.pipeline.status import CallStatus
from cofi_dagster.pipeline.work import BadReply, FileFault, FileStage, Outcome, Plan, PostJson, Request, State, Work
from cofi_dagster.stages import BY_NAME

_TRADE_COLUMNS = ("orderId", "symbol", "side", "quantity", "price", "orderTime", "tradeTime")


def make(context: StageContext) -> FileStage:
    """The stage for a batch."""
    return Llm2(context)


@dataclass(frozen=True, slots=True)
class _Call:
    """What a call's request is made of."""

    segments: list[Segment]
    questions: list[Question]
    trades: list[dict[str, Any]]


class Llm2:
    """Pending is a call with status ``AuditDone``, or ``TranscriptDone`` where LLM1 is disabled."""

    def __init__(self, context: StageContext) -> None:
        self.stage = context.stage
        self._context = context
        self._prompt = load("llm2")
        self._ahead: ReadAhead[_Call] | None = None
        self._questions: list[Question] = []
        self._files: dict[int, str] = {}

    def plan(self, connection: sa.Connection) -> Plan:
        """The calls that are ready, longest first."""
        ready = [CallStatus.AUDIT_DONE]
        if not self._context.settings.is_enabled(BY_NAME["llm1"]):
            ready.append(CallStatus.TRANSCRIPT_DONE)
        plan = plan_of(self._context, connection, t.call.c.status.in_(ready), detail=lambda row: None)
        plan.works.sort(key=lambda work: -work.weight)
        self._questions = questionnaire(connection, self._context.batch)
        self._files = {work.call_id: work.file for work in plan.works}
        self._ahead = ReadAhead(list(self._files), self._load, self._context.engine.url)
        return plan

    def _load(self, call_ids: Sequence[int]) -> Mapping[int, _Call]:
        with reading(self._context.engine) as connection:
            said = transcripts(connection, call_ids)
            answered = _answered(connection, call_ids)
            trades = _trades(
                connection, self._context.batch.id, {self._files[call_id]: call_id for call_id in call_ids}
            )
        return {
            call_id: _Call(
                said.get(call_id, []),
                [question for question in self._questions if question.id not in answered[call_id]],
                trades[call_id],
            )
            for call_id in call_ids
        }

    async def request(self, work: Work) -> Request:
        """The transcript, the executed trades mapped to the call, and one property per question.

        Raises:
            FileFault: the call has no transcript.
        """
        assert self._ahead is not None
        settings = self._context.settings
        if work.detail is None:
            work.detail = await self._ahead.take(work.call_id)
        call: _Call = work.detail
        if not call.segments:
            raise FileFault("the call has no transcript: transcribe it again")
        body = llm2_request(call.segments, call.questions, model=settings.llm2_model, trades=call.trades)
        return PostJson(PATH, orjson.dumps(body), settings.request_timeout_seconds, with_key=True)

    def outcome(self, work: Work, body: bytes) -> Outcome:
        """One ``auditAnswer`` row per question asked."""
        call: _Call = work.detail
        try:
            reply = replies.parse_llm2(parse(body), call.questions)
        except replies.BadReply as bad:
            raise BadReply(str(bad)) from None
        transcript = evidence.Transcript(call.segments)
        rows = [self._row(work, reply.model, answer, transcript) for answer in reply.answers]
        work.detail = None
        call_row = {"status": CallStatus.COMPLETE}
        return Outcome(work, State.DONE, call=call_row, rows={t.audit_answer: rows}, replace=(t.audit_answer,))

    def _row(self, work: Work, model: str, answer: replies.Answer, transcript: evidence.Transcript) -> dict[str, Any]:
        status, checked = transcript.check(answer.evidence)
        return {
            "callId": work.call_id,
            "questionId": answer.question.id,
            "question": answer.question.text,
            "answer": answer.answer,
            "confidence": answer.confidence,
            "evidence": checked,
            "evidenceStatus": status,
            "model": model[:255],
            "promptVersion": self._prompt.version,
        }


def _answered(connection: sa.Connection, call_ids: Sequence[int]) -> Mapping[int, set[int]]:
    """The questions of each call that triaging has answered: there is no trade data."""
    table = t.audit_answer
    query = sa.select(table.c.callId, table.c.questionId).where(
        table.c.callId.in_(call_ids), table.c.answer == NO_TRADE_DATA
    )
    found: dict[int, set[int]] = defaultdict(set)
    for call_id, question_id in connection.execute(query):
        found[call_id].add(question_id)
    return found


def _trades(connection: sa.Connection, batch_id: int, files: Mapping[str, int]) -> Mapping[int, list[dict[str, Any]]]:
    """The executed trades whose evidence each call is, as LLM2 is told of them; ``files`` gives each file's call."""
    trade, known = t.trade_metadata.c, t.call_metadata.c
    starts = sa.select(known.audioName, known.callStart).where(
        known.batchId == batch_id, known.audioName.in_(list(files)), known.callStart.is_not(None)
    )
    started = {name: {"callStart": start} for name, start in connection.execute(starts)}
    query = (
        sa.select(trade.audioName, *(trade[name] for name in _TRADE_COLUMNS))
        .where(trade.batchId == batch_id, trade.audioName.in_(list(files)))
        .order_by(trade.id)
    )
    found: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in connection.execute(query).mappings():
        told = {name: row[name] for name in _TRADE_COLUMNS if row[name] is not None}
        found[files[row["audioName"]]].append(told | started.get(row["audioName"], {}))
    return found
