"""Language identification: each call's language and length, into ``lidStatus`` and the call itself."""

from __future__ import annotations

from typing import Any

from cofi_dagster.database import tables as t
from cofi_dagster.pipeline.audio_stage import AudioStage, seconds, text
from cofi_dagster.pipeline.run import StageContext
from cofi_dagster.pipeline.scope import excluded_by
from cofi_dagster.pipeline.work import BadReply, FileStage, Outcome, State, Work

LANGUAGE_IDS: dict[str, int] = {"en": 1, "hi": 2, "hinglish": 3}
"""``call.languageId``; a language that is not here has 0."""


def make(context: StageContext) -> FileStage:
    """The stage for a batch."""
    return Lid(context)


class Lid(AudioStage):
    """``{"language", "confidence", "audio_duration"}``."""

    def read(self, work: Work, reply: dict[str, Any]) -> Outcome:
        """A row of history, and the call's language and length (seed 002, steps 7 and 8)."""
        language = text(reply, "language").strip().lower()[:32]
        if not language:
            raise BadReply("'language' is empty")
        duration = seconds(reply, "audio_duration")
        row = {
            "batchId": self.context.batch.id,
            "file": work.file,
            "language": language,
            "confidence": seconds(reply, "confidence"),
            "audioDuration": duration,
        }
        call = {"languageId": LANGUAGE_IDS.get(language, 0), "lang": language, "audioDuration": duration}
        scope = self.context.scope
        if scope is not None and scope.is_last(self.stage):
            excluded = excluded_by(self.context.settings, language, duration)
            call["status"] = excluded or scope.before[work.call_id]
        return Outcome(work, State.DONE, call=call, rows={t.lid_status: [row]})
