"""The shapes of the API's requests and replies, as the OpenAPI document shows them. No queries and no rules here."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def _as_utc(moment: datetime) -> datetime:
    """The database's times are UTC without saying so."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


Time = Annotated[datetime, AfterValidator(_as_utc)]
"""A time in UTC, ISO 8601."""
StageName = Literal["lid", "stt", "llm1", "llm2"]


class Problem(BaseModel):
    """Any error: one sentence."""

    detail: str


# -- ad-hoc tasks ----------------------------------------------------------------------------------------------------


class Queued(BaseModel):
    """A task was queued."""

    status: Literal["queued"]
    task_id: str


class ReauditQueued(BaseModel):
    """A reaudit was taken on (the word is seed 002's)."""

    status: Literal["processing"]
    task_id: str


class ReauditRequest(BaseModel):
    """Which calls to take through which stages again."""

    model_config = ConfigDict(extra="forbid", strict=True)

    audio_names: list[Annotated[str, Field(min_length=1, max_length=255)]] = Field(min_length=1, max_length=10_000)
    stages: list[StageName] = Field(
        min_length=1, max_length=16, description="Run in pipeline order whatever the order."
    )
    batch_id: int | None = Field(
        None, ge=1, le=2**63 - 1, description="Only this batch's calls; else those of every batch."
    )


class TaskFile(BaseModel):
    """One file of a task."""

    file: str
    batch_id: int | None
    status: Literal["queued", "processing", "completed", "skipped", "failed"]
    error: str | None


class TaskReply(BaseModel):
    """How a task stands."""

    task_id: str
    kind: Literal["upload", "reaudit"]
    status: Literal["queued", "processing", "completed", "failed"]
    batch_id: int | None
    run_id: str | None
    created_at: Time | None
    started_at: Time | None
    completed_at: Time | None
    error: str | None
    progress: float = Field(description="Percent.")
    files: list[TaskFile]


class AnswerShown(BaseModel):
    """An answer, and what it came from."""

    answer: str | None
    confidence: float | None
    evidence_status: str | None
    model: str | None
    prompt_version: str | None
    created_at: Time | None


class ChangeShown(BaseModel):
    """A question of a call before and after a reaudit."""

    call_id: int
    batch_id: int
    file: str
    question_id: int
    question: str
    agrees: bool
    old: AnswerShown | None
    new: AnswerShown | None


class ChangesReply(BaseModel):
    """What a reaudit changed."""

    task_id: str
    status: str
    compared: int
    agreed: int
    agreement_rate: float | None = Field(description="Agreed by compared, 0 to 1; null where nothing was compared.")
    changes: list[ChangeShown]


# -- batches ---------------------------------------------------------------------------------------------------------


class StageTiming(BaseModel):
    """A stage's times (seed 000, step 7)."""

    name: str
    start_time: Time | None
    end_time: Time | None
    duration_seconds: float | None
    status: str


class TimingReply(BaseModel):
    """The times of a batch (seed 000, step 7)."""

    batch_id: int
    stages: list[StageTiming]
    total_elapsed_seconds: float | None
    estimated_remaining_seconds: float | None
    estimated_remaining_low: float | None = None
    estimated_remaining_high: float | None = None


class PhaseDetail(BaseModel):
    """A stage in the words of seed 004."""

    name: str
    status: str
    progress: int
    items_processed: int
    items_total: int
    started_at: Time | None
    completed_at: Time | None
    error: str | None


class JobStatusReply(BaseModel):
    """A batch in the words of seed 004."""

    job_id: str
    batch_id: int
    batch: str
    status: Literal["pending", "running", "paused", "completed", "failed", "cancelled"]
    phase: str | None
    progress: float
    message: str
    error: str | None
    metrics: dict[str, Any]
    started_at: Time | None
    completed_at: Time | None
    phase_details: list[PhaseDetail]


class StageStatusDetail(BaseModel):
    """A stage in the words of seed 003."""

    status: str
    started_at: Time | None
    completed_at: Time | None
    duration_seconds: float | None
    progress: float
    error: str | None
    metadata: dict[str, Any]


class DocumentStatusReply(BaseModel):
    """A batch in the words of seed 003."""

    batch_id: int
    status: str
    current_stage: str | None
    progress: float
    started_at: Time | None
    completed_at: Time | None
    error: str | None
    stage_status: dict[str, StageStatusDetail]


class StageCounts(BaseModel):
    """How many batches stand where in a stage, and the mean of its durations in seconds."""

    pending: int
    processing: int
    completed: int
    failed: int
    skipped: int
    avg_duration: float | None


class StatisticsReply(BaseModel):
    """Seed 003's statistics."""

    timestamp: Time
    stages: dict[str, StageCounts]


class BatchLine(BaseModel):
    """A batch in a list."""

    batch_id: int
    batch: str
    kind: str
    status: str
    state: str
    total_files: int
    progress: float
    current_stage: str | None
    created_at: Time | None
    started_at: Time | None
    completed_at: Time | None


class BatchesReply(BaseModel):
    """A page of batches, newest first."""

    total: int
    batches: list[BatchLine]


class FileLine(BaseModel):
    """A file of a batch."""

    call_id: int
    file: str
    machine: str | None
    status: str
    language: str
    duration_seconds: float
    done: dict[str, bool]
    error: str | None


class FilesReply(BaseModel):
    """A page of a batch's files."""

    batch_id: int
    total: int
    files: list[FileLine]


class Segment(BaseModel):
    """A piece of a transcript; times are seconds into the call."""

    segment: int
    start: float | None
    end: float | None
    speaker: str | None
    text: str | None


class TradeShown(BaseModel):
    """An executed trade that the call is mapped to."""

    trade_id: int
    order_id: str
    symbol: str | None
    side: str | None
    quantity: float | None
    price: float | None
    order_time: Time | None
    is_evidence: bool
    match_tier: str
    score: float | None
    step: int
    verdict: str | None


class SaidTrade(BaseModel):
    """A trade that was discussed in the call."""

    symbol: str | None
    side: str | None
    quantity: float | None
    price: float | None
    evidence: Any
    model: str | None
    prompt_version: str | None
    created_at: Time | None


class CallAnswer(AnswerShown):
    """An answer of the audit, with the words that it rests on."""

    question_id: int
    question: str | None
    evidence: Any
    replaced_at: Time | None = None
    task_id: str | None = None


class CallReply(BaseModel):
    """A call with all that is known of it."""

    call_id: int
    batch_id: int
    file: str
    status: str
    language: str
    duration_seconds: float
    metadata: dict[str, Any] | None
    transcript: list[Segment]
    trades: list[TradeShown]
    conversations: list[SaidTrade]
    answers: list[CallAnswer]
    history: list[CallAnswer]


class TrendDay(BaseModel):
    """The completed batches of a day: how many, their files, and each stage's mean duration in seconds."""

    date: str
    batches: int
    files: int
    stages: dict[str, float]


class TrendsReply(BaseModel):
    """Trends by day, oldest first."""

    days: list[TrendDay]
