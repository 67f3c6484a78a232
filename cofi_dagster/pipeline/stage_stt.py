"""Speech to text: a transcript for each call that is long enough and in a supported language.

Whisper-like models invent words on silence, so segments that the model itself takes for no speech are dropped before
anything is found in them, and a call without any other becomes ``NoSpeech``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson
import sqlalchemy as sa

from cofi_dagster.database import tables as t
from cofi_dagster.fleet.client import Part
from cofi_dagster.pipeline.audio_stage import parse, seconds, text
from cofi_dagster.pipeline.pending import JOINED, is_pending, plan_of
from cofi_dagster.pipeline.run import StageContext
from cofi_dagster.pipeline.scope import excluded_by
from cofi_dagster.pipeline.status import CallStatus
from cofi_dagster.pipeline.work import BadReply, FileStage, Outcome, Plan, PostForm, PostJson, Request, State, Work

_TIMEOUT_PER_SECOND = 2.5
_NO_SPEECH_PROBABILITY = 0.6
_LOW_LOG_PROBABILITY = -1.0
_OPENAI_LANGUAGES = {"hinglish": "hi"}


def make(context: StageContext) -> FileStage:
    """The stage for a batch."""
    return Stt(context)


@dataclass(frozen=True, slots=True)
class _Call:
    language: str
    duration: float


class Stt:
    """Pending is a call with status ``Pending`` whose language is known; a rule decides on the others at once."""

    def __init__(self, context: StageContext) -> None:
        self.stage = context.stage
        self._context = context

    def plan(self, connection: sa.Connection) -> Plan:
        """Short calls and those in other languages are decided; the rest is sent."""
        context, flags = self._context, t.file_distribution.c
        rule = (*is_pending(self.stage), flags.lidDone == 1, t.call.c.status == CallStatus.PENDING)
        found = plan_of(context, connection, *rule, detail=lambda row: _Call(row.lang, row.audioDuration or 0.0))
        kept_out = 0 if context.scope else _count_kept_out(connection, context.batch.id)
        plan = Plan([], done=found.done, skipped=kept_out)
        for work in found.works:
            excluded = excluded_by(context.settings, work.detail.language, work.detail.duration)
            if context.scope is not None and context.scope.lacks_language(work.detail.language):
                error = "its language is not known: identify it first (lid)"
                plan.decided.append(Outcome(work, State.FAILED, error=error))
            elif excluded is not None:
                plan.decided.append(Outcome(work, State.SKIPPED, call={"status": excluded}))
            else:
                plan.works.append(work)
        return plan

    async def request(self, work: Work) -> Request:
        """The machine's own copy by name, or, in the OpenAI form, the audio itself."""
        settings, call = self._context.settings, work.detail
        timeout = max(settings.request_timeout_seconds, _TIMEOUT_PER_SECOND * call.duration)
        if settings.stt_protocol == "openai":
            fields = (
                ("model", settings.stt_model),
                ("language", _OPENAI_LANGUAGES.get(call.language, call.language)),
                ("response_format", "verbose_json"),
                ("without_timestamps", "false"),
            )
            part = Part(fields, self._context.batch.path_of(work.file), work.file)
            return PostForm("/v1/audio/transcriptions", part, timeout)
        body = orjson.dumps({"batch_id": self._context.batch.id, "file": work.file, "language": call.language})
        return PostJson("/stt", body, timeout)

    def outcome(self, work: Work, body: bytes) -> Outcome:
        """One ``transcript`` row per segment with speech."""
        rows = _rows(work.call_id, parse(body), work.detail.duration)
        status = CallStatus.TRANSCRIPT_DONE if rows else CallStatus.NO_SPEECH
        scope = self._context.scope
        no_new_answers = not rows or (scope is not None and "llm2" not in scope.stages)
        replace = (t.transcript, t.audit_answer) if no_new_answers else (t.transcript,)
        return Outcome(work, State.DONE, call={"status": status}, rows={t.transcript: rows}, replace=replace)


def _count_kept_out(connection: sa.Connection, batch_id: int) -> int:
    kept_out = t.call.c.status.in_([CallStatus.SHORT_CALL, CallStatus.UNSUPPORTED_LANGUAGE])
    query = sa.select(sa.func.count()).select_from(JOINED)
    return int(connection.execute(query.where(t.call.c.batchId == batch_id, kept_out)).scalar_one())


def _rows(call_id: int, reply: dict[str, Any], duration: float) -> list[dict[str, Any]]:
    """The segments with words, numbered from 0.

    Raises:
        BadReply: the reply is not the ``verbose_json`` shape.
    """
    segments = reply.get("segments")
    if segments is None:
        whole = text(reply, "text")
        length = seconds(reply, "duration") if "duration" in reply else duration
        segments = [{"start": 0.0, "end": length, "text": whole}]
    if not isinstance(segments, list) or not all(isinstance(segment, dict) for segment in segments):
        raise BadReply("'segments' is no list of objects")
    rows: list[dict[str, Any]] = []
    for segment in segments:
        words = text(segment, "text").strip()
        if not words or _is_no_speech(segment):
            continue
        speaker = segment.get("speaker")
        rows.append(
            {
                "callId": call_id,
                "segmentIndex": len(rows),
                "startTime": seconds(segment, "start"),
                "endTime": seconds(segment, "end"),
                "speaker": speaker[:32] if isinstance(speaker, str) else None,
                "text": words,
            }
        )
    return rows


def _is_no_speech(segment: dict[str, Any]) -> bool:
    """Whisper's own rule for silence: likely no speech, and unsure of the words (Radford et al. 2022, 4.5)."""
    silence, certainty = segment.get("no_speech_prob"), segment.get("avg_logprob")
    if not isinstance(silence, int | float):
        return False
    unsure = not isinstance(certainty, int | float) or certainty < _LOW_LOG_PROBABILITY
    return silence > _NO_SPEECH_PROBABILITY and unsure
