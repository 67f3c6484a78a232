"""Every table and column, declared once for SQLite, MySQL 8 and MariaDB 10.6+. No queries here.

Names are those of the contract: seeds' tables and columns in camelCase, as other people's SQL relies on them. All times
are the database server's own clock in UTC (see :class:`utcnow`).
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from cofi_dagster.database.column_types import (
    DOUBLE,
    MYSQL,
    Day,
    file_column,
    flag_column,
    id_column,
    json_column,
    long_column,
    number_column,
    ref_column,
    time_column,
    word_column,
)
from cofi_dagster.database.column_types import utcnow as utcnow  # noqa: PLC0414 - the clock is used beside the tables
from cofi_dagster.stages import DONE_FLAGS, STAGES

metadata = sa.MetaData()
_OPTIONS: dict[str, Any] = {
    f"{server}_{option}": value
    for server in MYSQL
    for option, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("row_format", "DYNAMIC"))
}  # fmt: skip


def _stage_columns() -> list[sa.Column[Any]]:
    columns: list[sa.Column[Any]] = []
    for stage in STAGES:
        name = stage.status_column
        columns.append(flag_column(name) if stage.status_is_flag else word_column(name, "Pending"))
        columns += [time_column(stage.start_column), time_column(stage.end_column)]
    return columns


batch_status = sa.Table(
    "batchStatus", metadata,
    id_column(),
    sa.Column("batchDate", Day, nullable=False),
    sa.Column("batchNumber", sa.Integer, nullable=False),
    word_column("status", "Pending"),
    sa.Column("totalFiles", sa.Integer, nullable=False, server_default=sa.text("0")),
    *_stage_columns(),
    word_column("kind", "batch", 16),
    sa.Column("directory", sa.Text),
    sa.Column("processId", sa.Integer),
    sa.Column("categoryMappingId", sa.Integer),
    time_column("createdAt", now=True),
    sa.UniqueConstraint("batchDate", "batchNumber", name="uq_batchStatus_key"),
    sa.Index("idx_batch_timestamps", "batchDate", "status"),
    sa.Index("idx_batchStatus_status", "status"),
    **_OPTIONS,
)  # fmt: skip

file_distribution = sa.Table(
    "fileDistribution", metadata,
    id_column(),
    file_column("file"),
    sa.Column("ip", sa.String(255)),
    ref_column("batchId"),
    *(flag_column(flag) for flag in DONE_FLAGS),
    sa.Column("bytes", sa.BigInteger),
    sa.Column("sha256", sa.String(64)),
    sa.UniqueConstraint("batchId", "file", name="uq_fileDistribution_file"),
    **_OPTIONS,
)  # fmt: skip

call = sa.Table(
    "call", metadata,
    id_column(),
    ref_column("batchId"),
    file_column("audioName"),
    word_column("status", "Pending"),
    sa.Column("languageId", sa.Integer),
    word_column("lang", "unknown"),
    sa.Column("audioDuration", DOUBLE, nullable=False, server_default=sa.text("0")),
    sa.Column("llm1ReplyId", sa.String(32)),
    sa.UniqueConstraint("batchId", "audioName", name="uq_call_audioName"),
    sa.Index("idx_call_status", "batchId", "status"),
    sa.Index("idx_call_audioName", "audioName"),
    sa.Index("idx_call_lang", "batchId", "lang"),
    **_OPTIONS,
)  # fmt: skip

call_metadata = sa.Table(
    "callMetadata", metadata,
    id_column(),
    ref_column("batchId"),
    file_column("audioName"),
    time_column("callStart"),
    time_column("callEnd"),
    number_column("durationSeconds"),
    sa.Column("clientCode", sa.String(64)),
    sa.Column("clientPhone", sa.String(64)),
    sa.Column("dealerId", sa.String(64)),
    sa.Column("extension", sa.String(64)),
    sa.Column("direction", sa.String(32)),
    sa.UniqueConstraint("batchId", "audioName", name="uq_callMetadata_audioName"),
    sa.Index("idx_callMetadata_client", "clientCode", "callStart"),
    sa.Index("idx_callMetadata_phone", "clientPhone"),
    sa.Index("idx_callMetadata_dealer", "dealerId", "batchId"),
    sa.Index("idx_callMetadata_start", "batchId", "callStart"),
    **_OPTIONS,
)  # fmt: skip

trade_metadata = sa.Table(
    "tradeMetadata", metadata,
    id_column(),
    ref_column("batchId"),
    sa.Column("orderId", sa.String(64), nullable=False),
    sa.Column("tradeId", sa.String(64)),
    sa.Column("clientCode", sa.String(64)),
    sa.Column("clientPhone", sa.String(64)),
    sa.Column("symbol", sa.String(64)),
    sa.Column("side", sa.String(16)),
    number_column("quantity"),
    number_column("price"),
    time_column("orderTime"),
    time_column("tradeTime"),
    sa.Column("exchange", sa.String(32)),
    sa.Column("dealerId", sa.String(64)),
    sa.Column("status", sa.String(32)),
    file_column("audioName", nullable=True),
    sa.Index("idx_tradeMetadata_order", "batchId", "orderId", "tradeId"),
    sa.Index("idx_tradeMetadata_audioName", "batchId", "audioName"),
    sa.Index("idx_tradeMetadata_symbol", "symbol", "batchId"),
    **_OPTIONS,
)  # fmt: skip

trade_audio_mapping = sa.Table(
    "tradeAudioMapping", metadata,
    id_column(),
    ref_column("batchId"),
    ref_column("tradeMetadataId"),
    ref_column("callId"),
    file_column("audioName"),
    sa.Column("matchTier", sa.String(32), nullable=False),
    number_column("score"),
    sa.Column("step", sa.Integer, nullable=False),
    sa.Column("verdict", sa.String(32)),
    json_column("detail"),
    sa.Index("idx_tradeAudioMapping_trade", "batchId", "tradeMetadataId"),
    sa.Index("idx_tradeAudioMapping_call", "callId"),
    sa.Index("idx_tradeAudioMapping_verdict", "batchId", "verdict", "score"),
    **_OPTIONS,
)  # fmt: skip

lid_status = sa.Table(
    "lidStatus", metadata,
    id_column(),
    ref_column("batchId"),
    file_column("file"),
    sa.Column("language", sa.String(32)),
    number_column("confidence"),
    number_column("audioDuration"),
    time_column("createdAt", now=True),
    sa.Index("idx_lidStatus_file", "batchId", "file"),
    **_OPTIONS,
)  # fmt: skip

ivr_segment = sa.Table(
    "ivrSegment", metadata,
    id_column(),
    ref_column("callId"),
    sa.Column("kind", sa.String(16), nullable=False),
    number_column("startTime"),
    number_column("endTime"),
    sa.Index("idx_ivrSegment_call", "callId"),
    **_OPTIONS,
)  # fmt: skip


def _segment_columns() -> list[sa.Column[Any]]:
    return [
        ref_column("callId"),
        sa.Column("segmentIndex", sa.Integer, nullable=False),
        number_column("startTime"),
        number_column("endTime"),
        sa.Column("speaker", sa.String(32)),
        long_column("text"),
    ]


transcript = sa.Table(
    "transcript", metadata,
    id_column(),
    *_segment_columns(),
    sa.UniqueConstraint("callId", "segmentIndex", name="uq_transcript_segment"),
    **_OPTIONS,
)  # fmt: skip

transcript_history = sa.Table(
    "transcriptHistory", metadata,
    id_column(),
    *_segment_columns(),
    time_column("replacedAt", now=True),
    sa.Column("taskId", sa.String(36)),
    sa.Index("idx_transcriptHistory_call", "callId"),
    **_OPTIONS,
)  # fmt: skip

call_conversation = sa.Table(
    "callConversation", metadata,
    id_column(),
    ref_column("callId"),
    sa.Column("symbol", sa.String(255)),
    sa.Column("side", sa.String(16)),
    number_column("quantity"),
    number_column("price"),
    sa.Column("priceType", sa.String(16)),
    json_column("evidence"),
    sa.Column("model", sa.String(255)),
    sa.Column("promptVersion", sa.String(64)),
    sa.Column("replyId", sa.String(32)),
    time_column("createdAt", now=True),
    sa.Index("idx_callConversation_call", "callId"),
    sa.Index("idx_callConversation_symbol", "symbol", "callId"),
    **_OPTIONS,
)  # fmt: skip


def _answer_columns() -> list[sa.Column[Any]]:
    return [
        ref_column("callId"),
        sa.Column("questionId", sa.Integer, nullable=False),
        long_column("question"),
        long_column("answer"),
        number_column("confidence"),
        json_column("evidence"),
        sa.Column("evidenceStatus", sa.String(16)),
        sa.Column("model", sa.String(255)),
        sa.Column("promptVersion", sa.String(64)),
        time_column("createdAt", now=True),
    ]


audit_answer = sa.Table(
    "auditAnswer", metadata,
    id_column(),
    *_answer_columns(),
    sa.UniqueConstraint("callId", "questionId", name="uq_auditAnswer_question"),
    sa.Index("idx_auditAnswer_evidence", "evidenceStatus", "callId"),
    **_OPTIONS,
)  # fmt: skip

audit_answer_history = sa.Table(
    "auditAnswerHistory", metadata,
    id_column(),
    *_answer_columns(),
    time_column("replacedAt", now=True),
    sa.Column("taskId", sa.String(36)),
    sa.Index("idx_auditAnswerHistory_call", "callId", "questionId"),
    sa.Index("idx_auditAnswerHistory_task", "taskId"),
    **_OPTIONS,
)  # fmt: skip

processing_logs = sa.Table(
    "processing_logs", metadata,
    id_column(),
    ref_column("call_id", nullable=True),
    ref_column("batch_id", nullable=True),
    sa.Column("stage_name", sa.String(64), nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    long_column("error_message"),
    long_column("input_payload"),
    long_column("output_payload"),
    time_column("created_at", now=True),
    sa.Index("idx_processing_logs_batch", "batch_id", "status", "stage_name"),
    sa.Index("idx_processing_logs_call", "call_id"),
    **_OPTIONS,
)  # fmt: skip

batch_execution_log = sa.Table(
    "batchExecutionLog", metadata,
    id_column(),
    ref_column("batchId"),
    sa.Column("stage", sa.String(64)),
    sa.Column("eventType", sa.String(32), nullable=False),
    file_column("fileName", nullable=True),
    sa.Column("status", sa.String(32)),
    sa.Column("totalFiles", sa.Integer),
    sa.Column("processedFiles", sa.Integer),
    json_column("metadata"),
    time_column("createdAt", now=True),
    sa.Index("idx_batchExecutionLog_batch", "batchId", "stage", "eventType"),
    **_OPTIONS,
)  # fmt: skip

audit_task = sa.Table(
    "auditTask", metadata,
    sa.Column("taskId", sa.String(36), primary_key=True),
    sa.Column("kind", sa.String(16), nullable=False),
    word_column("status", "queued"),
    json_column("request"),
    ref_column("batchId", nullable=True),
    sa.Column("runId", sa.String(64)),
    long_column("error"),
    time_column("createdAt", now=True),
    time_column("startedAt"),
    time_column("completedAt"),
    sa.Column("attempt", sa.Integer, nullable=False, server_default=sa.text("1")),
    sa.Index("idx_auditTask_status", "status", "createdAt"),
    sa.Index("idx_auditTask_batch", "batchId"),
    **_OPTIONS,
)  # fmt: skip

audit_task_call = sa.Table(
    "auditTaskCall", metadata,
    sa.Column("taskId", sa.String(36), primary_key=True),
    ref_column("callId", primary_key=True, autoincrement=False),
    ref_column("batchId"),
    file_column("audioName"),
    word_column("status", "queued"),
    sa.Column("stageDone", sa.String(64)),
    sa.Column("statusBefore", sa.String(32)),
    sa.Column("flagsBefore", sa.String(255)),
    long_column("error"),
    sa.Index("idx_auditTaskCall_call", "callId"),
    **_OPTIONS,
)  # fmt: skip

audit_question = sa.Table(
    "auditQuestion", metadata,
    id_column(),
    sa.Column("processId", sa.Integer, nullable=False),
    sa.Column("categoryMappingId", sa.Integer, nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
    long_column("text"),
    sa.Column("answerType", sa.String(32), nullable=False, server_default="text"),
    sa.UniqueConstraint("processId", "categoryMappingId", "position", name="uq_auditQuestion_position"),
    **_OPTIONS,
)  # fmt: skip

stage_detail = sa.Table(
    "stageDetail", metadata,
    ref_column("batchId", primary_key=True, autoincrement=False),
    sa.Column("stage", sa.String(64), primary_key=True),
    sa.Column("itemsTotal", sa.Integer),
    sa.Column("itemsDone", sa.Integer),
    sa.Column("itemsFailed", sa.Integer),
    sa.Column("itemsSkipped", sa.Integer),
    long_column("error"),
    json_column("metadata"),
    time_column("pausedAt"),
    sa.Column("skipReason", sa.String(255)),
    sa.Column("itemsWorked", sa.Integer),
    number_column("workDone"),
    number_column("secondsAtWork"),
    json_column("pace"),
    time_column("paceAt"),
    **_OPTIONS,
)  # fmt: skip
"""``itemsWorked`` files with ``workDone`` seconds of audio took ``secondsAtWork``, without the time between runs;
``pace`` is the engine's own view of a stage at work: what is left, how fast, and what is in flight."""

batch_control = sa.Table(
    "batchControl", metadata,
    ref_column("batchId", primary_key=True, autoincrement=False),
    sa.Column("request", sa.String(16)),
    sa.Column("launch", sa.String(64)),
    sa.Column("launches", sa.Integer, nullable=False, server_default=sa.text("0")),
    sa.Column("requestedBy", sa.String(255)),
    time_column("requestedAt"),
    sa.Index("idx_batchControl_launch", "launch"),
    **_OPTIONS,
)  # fmt: skip
"""What a person wants of a batch: ``request`` (``pause``, ``cancel``) is for the run at work on it, ``launch`` (``all``
or a stage) for the daemon to start one."""

alert = sa.Table(
    "alert", metadata,
    id_column(),
    sa.Column("alertKey", sa.String(255), nullable=False),
    sa.Column("openKey", sa.String(255)),
    sa.Column("kind", sa.String(32), nullable=False),
    ref_column("batchId", nullable=True),
    sa.Column("stage", sa.String(64)),
    long_column("message"),
    time_column("raisedAt", now=True),
    time_column("resolvedAt"),
    json_column("toldRaised"),
    json_column("toldResolved"),
    sa.UniqueConstraint("openKey", name="uq_alert_openKey"),
    sa.Index("idx_alert_resolved", "resolvedAt"),
    sa.Index("idx_alert_batch", "batchId"),
    **_OPTIONS,
)  # fmt: skip
"""``openKey`` is ``alertKey`` until the alert is resolved, then NULL: one open alert of a key; ``told…`` names the
sinks that have been told."""

legal_hold = sa.Table(
    "legalHold", metadata,
    id_column(),
    ref_column("batchId"),
    file_column("audioName", nullable=True),
    long_column("reason"),
    sa.Column("heldBy", sa.String(255), nullable=False),
    time_column("heldAt", now=True),
    sa.Column("releasedBy", sa.String(255)),
    long_column("releaseReason"),
    time_column("releasedAt"),
    sa.Index("idx_legalHold_batch", "batchId", "releasedAt"),
    **_OPTIONS,
)  # fmt: skip
"""What may not be purged: a whole batch, or one call of it (``audioName``), until it is released."""

human_review = sa.Table(
    "humanReview", metadata,
    id_column(),
    ref_column("batchId"),
    ref_column("callId", nullable=True),
    ref_column("tradeMetadataId", nullable=True),
    sa.Column("questionId", sa.Integer),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("decision", sa.String(16), nullable=False),
    long_column("value"),
    long_column("reason"),
    long_column("machineValue"),
    sa.Column("reviewedBy", sa.String(255), nullable=False),
    time_column("reviewedAt", now=True),
    sa.Index("idx_humanReview_trade", "tradeMetadataId", "kind"),
    sa.Index("idx_humanReview_call", "callId", "questionId", "kind"),
    sa.Index("idx_humanReview_batch", "batchId"),
    **_OPTIONS,
)  # fmt: skip
"""What people said of the machine's findings (``machineValue``, as it was then): rows are only ever added, and of a
finding the newest counts."""

batch_lease = sa.Table(
    "batchLease", metadata,
    ref_column("batchId", primary_key=True, autoincrement=False),
    sa.Column("runId", sa.String(64), nullable=False),
    sa.Column("host", sa.String(255), nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    number_column("processStarted"),
    sa.Column("taskId", sa.String(36)),
    time_column("heartbeatAt", now=True),
    **_OPTIONS,
)  # fmt: skip

commit_receipt = sa.Table(
    "commitReceipt", metadata,
    sa.Column("writer", sa.String(32), primary_key=True),
    sa.Column("token", sa.String(32), nullable=False),
    time_column("committedAt", now=True),
    sa.Index("idx_commitReceipt_committedAt", "committedAt"),
    **_OPTIONS,
)  # fmt: skip
"""The last transaction of each writer: committed with it, so that a lost confirmation leaves nothing open."""

cofi_version = sa.Table(
    "cofiVersion", metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("fingerprint", sa.String(64), nullable=False),
    time_column("upgradedAt", now=True),
    **_OPTIONS,
)  # fmt: skip
"""One row: the tables and views that the last upgrade left behind."""
