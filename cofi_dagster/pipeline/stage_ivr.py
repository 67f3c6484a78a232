"""IVR: prompts, ring tones, hold music and silence of each call, kept as segments in seconds."""

from __future__ import annotations

from typing import Any

from cofi_dagster.database import tables as t
from cofi_dagster.pipeline.audio_stage import AudioStage, seconds, text
from cofi_dagster.pipeline.run import StageContext
from cofi_dagster.pipeline.work import BadReply, FileStage, Outcome, State, Work


def make(context: StageContext) -> FileStage:
    """The stage for a batch."""
    return Ivr(context)


class Ivr(AudioStage):
    """``{"segments": [{"kind", "start", "end"}]}``."""

    def read(self, work: Work, reply: dict[str, Any]) -> Outcome:
        """One ``ivrSegment`` row per segment."""
        segments = reply.get("segments")
        if not isinstance(segments, list) or not all(isinstance(segment, dict) for segment in segments):
            raise BadReply("'segments' is no list of objects")
        rows = [
            {
                "callId": work.call_id,
                "kind": text(segment, "kind")[:16],
                "startTime": seconds(segment, "start"),
                "endTime": seconds(segment, "end"),
            }
            for segment in segments
        ]
        return Outcome(work, State.DONE, rows={t.ivr_segment: rows}, replace=(t.ivr_segment,))
