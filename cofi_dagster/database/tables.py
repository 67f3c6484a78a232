"""Every table and column, declared once for SQLite, MySQL 8 and MariaDB 10.6+. No queries here.

Names are those of the contract: seeds' tables and columns in camelCase, as other people's SQL relies on them. All times
are the database server's own clock in UTC (see :class:`utcnow`).
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.elements import ColumnElement

from cofi_dagster.stages import DONE_FLAGS, STAGES

MYSQL = ("mysql", "mariadb")


class utcnow(ColumnElement[Any]):  # noqa: N801 - reads as the SQL function that it is
    """The database server's clock, UTC, microseconds (SQLite: milliseconds). The one clock of all stored times."""

    type = sa.DateTime()
    inherit_cache = True


@compiles(utcnow)
def _utcnow_mysql(element: utcnow, compiler: Any, **kw: Any) -> str:
    return "NOW(6)"


@compiles(utcnow, "sqlite")
def _utcnow_sqlite(element: utcnow, compiler: Any, **kw: Any) -> str:
    return "(strftime('%Y-%m-%d %H:%M:%f000', 'now'))"


def _id() -> sa.Column[int]:
    kind = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    return sa.Column("id", kind, primary_key=True, autoincrement=True)


def _ref(name: str, *, nullable: bool = False, **kw: Any) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=nullable, **kw)


def _time(name: str, *, now: bool = False) -> sa.Column[Any]:
    kind = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), *MYSQL)
    return sa.Column(name, kind, server_default=utcnow() if now else None)


def _flag(name: str) -> sa.Column[int]:
    kind = sa.SmallInteger().with_variant(mysql.TINYINT(1), *MYSQL)
    return sa.Column(name, kind, nullable=False, server_default=sa.text("0"))


def _word(name: str, default: str | None = None, length: int = 32) -> sa.Column[str]:
    return sa.Column(name, sa.String(length), nullable=default is None, server_default=default)


def _file(name: str, *, nullable: bool = False) -> sa.Column[str]:
    """An audio file's name: up to 255 characters, told apart byte by byte (``A.wav`` is not ``a.wav``)."""
    kind = sa.String(255).with_variant(mysql.VARCHAR(255, collation="utf8mb4_bin"), *MYSQL)
    return sa.Column(name, kind, nullable=nullable)


def _long(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text().with_variant(mysql.MEDIUMTEXT(), *MYSQL))


def _number(name: str) -> sa.Column[float]:
    return sa.Column(name, sa.Float(53))


def _json(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.JSON(none_as_null=True))


metadata = sa.MetaData()
_OPTIONS: dict[str, Any] = {
    "mysql_engine": "InnoDB", "mysql_charset": "utf8mb4",
    "mariadb_engine": "InnoDB", "mariadb_charset": "utf8mb4",
}  # fmt: skip


def _stage_columns() -> list[sa.Column[Any]]:
    columns: list[sa.Column[Any]] = []
    for stage in STAGES:
        name = stage.status_column
        columns.append(_flag(name) if stage.status_is_flag else _word(name, "Pending"))
        columns += [_time(stage.start_column), _time(stage.end_column)]
    return columns


batch_status = sa.Table(
    "batchStatus", metadata,
    _id(),
    sa.Column("batchDate", sa.Date, nullable=False),
    sa.Column("batchNumber", sa.Integer, nullable=False),
    _word("status", "Pending"),
    sa.Column("totalFiles", sa.Integer, nullable=False, server_default=sa.text("0")),
    *_stage_columns(),
    sa.Column("kind", sa.String(16), nullable=False, server_default="batch"),
    sa.Column("directory", sa.Text),
    sa.Column("processId", sa.Integer),
    sa.Column("categoryMappingId", sa.Integer),
    _time("createdAt", now=True),
    sa.UniqueConstraint("batchDate", "batchNumber", name="uq_batchStatus_key"),
    sa.Index("idx_batch_timestamps", "batchDate", "status"),
    sa.Index("idx_batchStatus_status", "status"),
    **_OPTIONS,
)  # fmt: skip

file_distribution = sa.Table(
    "fileDistribution", metadata,
    _id(),
    _file("file"),
    sa.Column("ip", sa.String(255)),
    _ref("batchId"),
    *(_flag(flag) for flag in DONE_FLAGS),
    sa.Column("bytes", sa.BigInteger),
    sa.Column("sha256", sa.String(64)),
    sa.UniqueConstraint("batchId", "file", name="uq_fileDistribution_file"),
    *(sa.Index(f"idx_fileDistribution_{flag}", "batchId", flag) for flag in DONE_FLAGS),
    **_OPTIONS,
)  # fmt: skip

call = sa.Table(
    "call", metadata,
    _id(),
    _ref("batchId"),
    _file("audioName"),
    _word("status", "Pending"),
    sa.Column("languageId", sa.Integer),
    sa.Column("lang", sa.String(32), nullable=False, server_default="unknown"),
    sa.Column("audioDuration", sa.Float(53), nullable=False, server_default=sa.text("0")),
    sa.Column("llm1ReplyId", sa.String(32)),
    sa.UniqueConstraint("batchId", "audioName", name="uq_call_audioName"),
    sa.Index("idx_call_status", "batchId", "status"),
    sa.Index("idx_call_audioName", "audioName"),
    **_OPTIONS,
)  # fmt: skip

call_metadata = sa.Table(
    "callMetadata", metadata,
    _id(),
    _ref("batchId"),
    _file("audioName"),
    _time("callStart"),
    _time("callEnd"),
    _number("durationSeconds"),
    sa.Column("clientCode", sa.String(64)),
    sa.Column("clientPhone", sa.String(64)),
    sa.Column("dealerId", sa.String(64)),
    sa.Column("extension", sa.String(64)),
    sa.Column("direction", sa.String(32)),
    sa.UniqueConstraint("batchId", "audioName", name="uq_callMetadata_audioName"),
    sa.Index("idx_callMetadata_client", "clientCode", "callStart"),
    **_OPTIONS,
)  # fmt: skip

trade_metadata = sa.Table(
    "tradeMetadata", metadata,
    _id(),
    _ref("batchId"),
    sa.Column("orderId", sa.String(64), nullable=False),
    sa.Column("tradeId", sa.String(64)),
    sa.Column("clientCode", sa.String(64)),
    sa.Column("clientPhone", sa.String(64)),
    sa.Column("symbol", sa.String(64)),
    sa.Column("side", sa.String(16)),
    _number("quantity"),
    _number("price"),
    _time("orderTime"),
    _time("tradeTime"),
    sa.Column("exchange", sa.String(32)),
    sa.Column("dealerId", sa.String(64)),
    sa.Column("status", sa.String(32)),
    _file("audioName", nullable=True),
    sa.Index("idx_tradeMetadata_order", "batchId", "orderId", "tradeId"),
    sa.Index("idx_tradeMetadata_audioName", "batchId", "audioName"),
    **_OPTIONS,
)  # fmt: skip

trade_audio_mapping = sa.Table(
    "tradeAudioMapping", metadata,
    _id(),
    _ref("batchId"),
    _ref("tradeMetadataId"),
    _ref("callId"),
    _file("audioName"),
    sa.Column("matchTier", sa.String(32), nullable=False),
    _number("score"),
    sa.Column("step", sa.Integer, nullable=False),
    sa.Column("verdict", sa.String(32)),
    _json("detail"),
    sa.Index("idx_tradeAudioMapping_trade", "batchId", "tradeMetadataId"),
    sa.Index("idx_tradeAudioMapping_call", "callId"),
    **_OPTIONS,
)  # fmt: skip

lid_status = sa.Table(
    "lidStatus", metadata,
    _id(),
    _ref("batchId"),
    _file("file"),
    sa.Column("language", sa.String(32)),
    _number("confidence"),
    _number("audioDuration"),
    _time("createdAt", now=True),
    sa.Index("idx_lidStatus_file", "batchId", "file"),
    **_OPTIONS,
)  # fmt: skip

ivr_segment = sa.Table(
    "ivrSegment", metadata,
    _id(),
    _ref("callId"),
    sa.Column("kind", sa.String(16), nullable=False),
    _number("startTime"),
    _number("endTime"),
    sa.Index("idx_ivrSegment_call", "callId"),
    **_OPTIONS,
)  # fmt: skip


def _segment_columns() -> list[sa.Column[Any]]:
    return [
        _ref("callId"),
        sa.Column("segmentIndex", sa.Integer, nullable=False),
        _number("startTime"),
        _number("endTime"),
        sa.Column("speaker", sa.String(32)),
        _long("text"),
    ]


transcript = sa.Table(
    "transcript", metadata,
    _id(),
    *_segment_columns(),
    sa.UniqueConstraint("callId", "segmentIndex", name="uq_transcript_segment"),
    **_OPTIONS,
)  # fmt: skip

transcript_history = sa.Table(
    "transcriptHistory", metadata,
    _id(),
    *_segment_columns(),
    _time("replacedAt", now=True),
    sa.Column("taskId", sa.String(36)),
    sa.Index("idx_transcriptHistory_call", "callId"),
    **_OPTIONS,
)  # fmt: skip

call_conversation = sa.Table(
    "callConversation", metadata,
    _id(),
    _ref("callId"),
    sa.Column("symbol", sa.String(255)),
    sa.Column("side", sa.String(16)),
    _number("quantity"),
    _number("price"),
    sa.Column("priceType", sa.String(16)),
    _json("evidence"),
    sa.Column("model", sa.String(255)),
    sa.Column("promptVersion", sa.String(64)),
    sa.Column("replyId", sa.String(32)),
    _time("createdAt", now=True),
    sa.Index("idx_callConversation_call", "callId"),
    **_OPTIONS,
)  # fmt: skip


def _answer_columns() -> list[sa.Column[Any]]:
    return [
        _ref("callId"),
        sa.Column("questionId", sa.Integer, nullable=False),
        _long("question"),
        _long("answer"),
        _number("confidence"),
        _json("evidence"),
        sa.Column("evidenceStatus", sa.String(16)),
        sa.Column("model", sa.String(255)),
        sa.Column("promptVersion", sa.String(64)),
        _time("createdAt", now=True),
    ]


audit_answer = sa.Table(
    "auditAnswer", metadata,
    _id(),
    *_answer_columns(),
    sa.UniqueConstraint("callId", "questionId", name="uq_auditAnswer_question"),
    **_OPTIONS,
)  # fmt: skip

audit_answer_history = sa.Table(
    "auditAnswerHistory", metadata,
    _id(),
    *_answer_columns(),
    _time("replacedAt", now=True),
    sa.Column("taskId", sa.String(36)),
    sa.Index("idx_auditAnswerHistory_call", "callId", "questionId"),
    sa.Index("idx_auditAnswerHistory_task", "taskId"),
    **_OPTIONS,
)  # fmt: skip

processing_logs = sa.Table(
    "processing_logs", metadata,
    _id(),
    _ref("call_id", nullable=True),
    _ref("batch_id", nullable=True),
    sa.Column("stage_name", sa.String(64), nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    _long("error_message"),
    _long("input_payload"),
    _long("output_payload"),
    _time("created_at", now=True),
    sa.Index("idx_processing_logs_batch", "batch_id", "status", "stage_name"),
    sa.Index("idx_processing_logs_call", "call_id"),
    **_OPTIONS,
)  # fmt: skip

batch_execution_log = sa.Table(
    "batchExecutionLog", metadata,
    _id(),
    _ref("batchId"),
    sa.Column("stage", sa.String(64)),
    sa.Column("eventType", sa.String(32), nullable=False),
    _file("fileName", nullable=True),
    sa.Column("status", sa.String(32)),
    sa.Column("totalFiles", sa.Integer),
    sa.Column("processedFiles", sa.Integer),
    _json("metadata"),
    _time("createdAt", now=True),
    sa.Index("idx_batchExecutionLog_batch", "batchId", "stage", "eventType"),
    **_OPTIONS,
)  # fmt: skip

audit_task = sa.Table(
    "auditTask", metadata,
    sa.Column("taskId", sa.String(36), primary_key=True),
    sa.Column("kind", sa.String(16), nullable=False),
    _word("status", "queued"),
    _json("request"),
    _ref("batchId", nullable=True),
    sa.Column("runId", sa.String(64)),
    _long("error"),
    _time("createdAt", now=True),
    _time("startedAt"),
    _time("completedAt"),
    sa.Column("attempt", sa.Integer, nullable=False, server_default=sa.text("1")),
    sa.Index("idx_auditTask_status", "status", "createdAt"),
    sa.Index("idx_auditTask_batch", "batchId"),
    **_OPTIONS,
)  # fmt: skip

audit_task_call = sa.Table(
    "auditTaskCall", metadata,
    sa.Column("taskId", sa.String(36), primary_key=True),
    _ref("callId", primary_key=True, autoincrement=False),
    _ref("batchId"),
    _file("audioName"),
    _word("status", "queued"),
    sa.Column("stageDone", sa.String(64)),
    sa.Column("statusBefore", sa.String(32)),
    sa.Column("flagsBefore", sa.String(255)),
    _long("error"),
    sa.Index("idx_auditTaskCall_call", "callId"),
    **_OPTIONS,
)  # fmt: skip

audit_question = sa.Table(
    "auditQuestion", metadata,
    _id(),
    sa.Column("processId", sa.Integer, nullable=False),
    sa.Column("categoryMappingId", sa.Integer, nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
    _long("text"),
    sa.Column("answerType", sa.String(32), nullable=False, server_default="text"),
    sa.UniqueConstraint("processId", "categoryMappingId", "position", name="uq_auditQuestion_position"),
    **_OPTIONS,
)  # fmt: skip

stage_detail = sa.Table(
    "stageDetail", metadata,
    _ref("batchId", primary_key=True, autoincrement=False),
    sa.Column("stage", sa.String(64), primary_key=True),
    sa.Column("itemsTotal", sa.Integer),
    sa.Column("itemsDone", sa.Integer),
    sa.Column("itemsFailed", sa.Integer),
    sa.Column("itemsSkipped", sa.Integer),
    _long("error"),
    _json("metadata"),
    _time("pausedAt"),
    sa.Column("skipReason", sa.String(255)),
    sa.Column("itemsWorked", sa.Integer),
    _number("workDone"),
    _number("secondsAtWork"),
    _json("pace"),
    _time("paceAt"),
    **_OPTIONS,
)  # fmt: skip
"""``itemsWorked`` files with ``workDone`` seconds of audio took ``secondsAtWork``, without the time between runs; ``pace``
is the engine's own view of a stage at work: what is left, how fast, and what is in flight."""

batch_control = sa.Table(
    "batchControl", metadata,
    _ref("batchId", primary_key=True, autoincrement=False),
    sa.Column("request", sa.String(16)),
    sa.Column("launch", sa.String(64)),
    sa.Column("launches", sa.Integer, nullable=False, server_default=sa.text("0")),
    sa.Column("requestedBy", sa.String(255)),
    _time("requestedAt"),
    sa.Index("idx_batchControl_launch", "launch"),
    **_OPTIONS,
)  # fmt: skip
"""What a person wants of a batch: ``request`` (``pause``, ``cancel``) is for the run at work on it, ``launch`` (``all``
or a stage) for the daemon to start one."""

alert = sa.Table(
    "alert", metadata,
    _id(),
    sa.Column("alertKey", sa.String(255), nullable=False),
    sa.Column("openKey", sa.String(255)),
    sa.Column("kind", sa.String(32), nullable=False),
    _ref("batchId", nullable=True),
    sa.Column("stage", sa.String(64)),
    _long("message"),
    _time("raisedAt", now=True),
    _time("resolvedAt"),
    _json("toldRaised"),
    _json("toldResolved"),
    sa.UniqueConstraint("openKey", name="uq_alert_openKey"),
    sa.Index("idx_alert_resolved", "resolvedAt"),
    sa.Index("idx_alert_batch", "batchId"),
    **_OPTIONS,
)  # fmt: skip
"""``openKey`` is ``alertKey`` until the alert is resolved, then NULL: one open alert of a key; ``told…`` names the sinks
that have been told."""

batch_lease = sa.Table(
    "batchLease", metadata,
    _ref("batchId", primary_key=True, autoincrement=False),
    sa.Column("runId", sa.String(64), nullable=False),
    sa.Column("host", sa.String(255), nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    _number("processStarted"),
    sa.Column("taskId", sa.String(36)),
    _time("heartbeatAt", now=True),
    **_OPTIONS,
)  # fmt: skip
