"""The status words of batches, stages and calls, and what the APIs call them. One home for each word."""

from __future__ import annotations

from enum import StrEnum

from cofi_dagster.stages import STAGES


class StageStatus(StrEnum):
    """Words of the ``…Status`` columns of ``batchStatus``."""

    PENDING = "Pending"
    IN_PROGRESS = "InProgress"
    COMPLETE = "Complete"
    FAILED = "Failed"
    SKIPPED = "Skipped"
    PAUSED = "Paused"


class CallStatus(StrEnum):
    """Words of ``call.status``: a call's place in the pipeline."""

    PENDING = "Pending"
    TRANSCRIPT_DONE = "TranscriptDone"
    AUDIT_DONE = "AuditDone"
    COMPLETE = "Complete"
    SHORT_CALL = "ShortCall"
    UNSUPPORTED_LANGUAGE = "UnsupportedLanguage"
    NO_SPEECH = "NoSpeech"


PENDING = "Pending"
COMPLETED = "Completed"
FAILED = "Failed"
PAUSED = "Paused"
CANCELLED = "Cancelled"

BATCH_WORDS: tuple[str, ...] = (PENDING, *(s.done_word for s in STAGES if s.done_word), COMPLETED)
"""``batchStatus.status`` of a batch that moves on, in order; ``Failed``, ``Paused`` and ``Cancelled`` stand beside."""

API_STAGE_WORDS: dict[str, str] = {
    StageStatus.PENDING: "pending",
    StageStatus.IN_PROGRESS: "processing",
    StageStatus.COMPLETE: "completed",
    StageStatus.FAILED: "failed",
    StageStatus.SKIPPED: "skipped",
    StageStatus.PAUSED: "paused",
}
"""The lower-case words of the seeds' status APIs."""


def api_batch_word(status: str, *, started: bool) -> str:
    """A batch's word in the seeds' APIs: ``pending``, ``processing``, or how it ended or stands still."""
    if status in (COMPLETED, FAILED, PAUSED, CANCELLED):
        return status.lower()
    return "processing" if started else "pending"
