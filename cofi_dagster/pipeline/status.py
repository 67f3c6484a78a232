"""The status words of batches, stages and calls: which there are, which step leads to which, and what the APIs say.

One home for each word, and one table for each kind of step. Nothing is read or written here.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from cofi_dagster.stages import STAGES


class BatchStatus(StrEnum):
    """The states of a batch (seed 004). ``batchStatus.status`` has them too, but ``running`` in a word per stage."""

    PENDING = "pending"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


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

BATCH_STEPS: Mapping[BatchStatus, frozenset[BatchStatus]] = {
    BatchStatus.PENDING: frozenset({BatchStatus.RUNNING, BatchStatus.CANCELLED}),
    BatchStatus.RUNNING: frozenset({
        BatchStatus.PAUSED, BatchStatus.COMPLETED, BatchStatus.FAILED, BatchStatus.CANCELLED,
    }),
    BatchStatus.PAUSED: frozenset({BatchStatus.RUNNING, BatchStatus.CANCELLED}),
    BatchStatus.FAILED: frozenset({BatchStatus.RUNNING}),
    BatchStatus.COMPLETED: frozenset(),
    BatchStatus.CANCELLED: frozenset(),
}  # fmt: skip
"""Seed 004's transitions of a batch, with running → cancelled, pending → cancelled and failed → running (a retry)."""

STAGE_STEPS: Mapping[StageStatus, frozenset[StageStatus]] = {
    StageStatus.PENDING: frozenset({StageStatus.IN_PROGRESS, StageStatus.SKIPPED}),
    StageStatus.IN_PROGRESS: frozenset({StageStatus.COMPLETE, StageStatus.FAILED, StageStatus.PAUSED}),
    StageStatus.PAUSED: frozenset({StageStatus.IN_PROGRESS, StageStatus.SKIPPED}),
    StageStatus.FAILED: frozenset({StageStatus.IN_PROGRESS, StageStatus.SKIPPED}),
    StageStatus.COMPLETE: frozenset({StageStatus.IN_PROGRESS}),
    StageStatus.SKIPPED: frozenset({StageStatus.IN_PROGRESS}),
}
"""Seed 003's states of a stage with seed 004's pause. A complete stage begins again for what is pending once more (a
file that came late, an input that changed), a skipped one when it is wanted after all."""


class IllegalStep(RuntimeError):
    """There is no such step from where the batch or the stage is; nothing was changed. The message says both ends."""


def check_batch_step(name: str, before: BatchStatus, after: BatchStatus) -> None:
    """Let a batch's step pass if the table has it.

    Raises:
        IllegalStep: it has not.
    """
    if after not in BATCH_STEPS[before]:
        raise IllegalStep(f"{name} is {before} and cannot become {after}")


def check_stage_step(name: str, before: StageStatus, after: StageStatus) -> None:
    """Let a stage's step pass if the table has it.

    Raises:
        IllegalStep: it has not.
    """
    if after not in STAGE_STEPS[before]:
        raise IllegalStep(f"{name} is {before} and cannot become {after}")


_STANDING: Mapping[str, BatchStatus] = {
    COMPLETED: BatchStatus.COMPLETED,
    FAILED: BatchStatus.FAILED,
    PAUSED: BatchStatus.PAUSED,
    CANCELLED: BatchStatus.CANCELLED,
}


def batch_state(word: str, *, started: bool) -> BatchStatus:
    """The state that ``batchStatus.status`` means; ``started`` says whether any of the batch's stages has begun."""
    if word == PENDING and not started:
        return BatchStatus.PENDING
    return _STANDING.get(word, BatchStatus.RUNNING)


DOCUMENT_WORDS: Mapping[StageStatus, str] = {
    StageStatus.PENDING: "pending",
    StageStatus.IN_PROGRESS: "processing",
    StageStatus.COMPLETE: "completed",
    StageStatus.FAILED: "failed",
    StageStatus.SKIPPED: "skipped",
    StageStatus.PAUSED: "paused",
}
"""A stage's word in seed 003's replies (``/status/{id}``, ``/stages/statistics``)."""

PHASE_WORDS: Mapping[StageStatus, str] = {**DOCUMENT_WORDS, StageStatus.IN_PROGRESS: "running"}
"""A stage's word in seed 004's replies (``phase_details``)."""


def document_word(state: BatchStatus) -> str:
    """A batch's word in seed 003's replies, which say ``processing`` where seed 004 says ``running``."""
    return "processing" if state is BatchStatus.RUNNING else str(state)


def phase_word(status: StageStatus, batch: BatchStatus, error: str | None) -> str:
    """A stage's word in seed 004's replies: one that a cancel stopped, or found paused, is ``cancelled``."""
    stopped = status is StageStatus.PAUSED or (status is StageStatus.FAILED and error == CANCELLED.lower())
    if batch is BatchStatus.CANCELLED and stopped:
        return str(BatchStatus.CANCELLED)
    return PHASE_WORDS[status]
