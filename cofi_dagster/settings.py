"""Every setting of COFI, with its meaning, unit and default. Nothing else reads the environment.

Settings come from the environment or from a ``.env`` file in the working directory. Names that the seeds gave have no
prefix (``GPU_MACHINES``, ``DENOISE_PORT``); all others begin with ``COFI_``.
"""

from __future__ import annotations

import sys
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from cofi_dagster import stages


class SettingsError(ValueError):
    """A setting has a value that COFI cannot use; the message names it and says what it may be."""


def _words(value: object) -> object:
    """Split ``a,b, c`` into its words; anything but a string passes."""
    if isinstance(value, str):
        return tuple(word.strip() for word in value.split(",") if word.strip())
    return value


Words = Annotated[tuple[str, ...], NoDecode]
Port = Annotated[int, Field(ge=1, le=65535)]


class Settings(BaseSettings):
    """All settings. ``Settings.load()`` reads them and turns a bad value into one clear sentence."""

    model_config = SettingsConfigDict(env_file=".env", env_file_encoding="utf-8", extra="ignore", frozen=True)

    # -- where things are ------------------------------------------------------------------------------------
    home: Path = Field(
        Path(".cofi"), alias="COFI_HOME", description="Folder of COFI's own files: database, uploads, Dagster's home."
    )
    database_url: SecretStr | None = Field(
        None,
        alias="COFI_DATABASE_URL",
        description="SQLAlchemy URL of the database, e.g. `mysql+pymysql://user@host/cofi?charset=utf8mb4`. "
        "Empty: SQLite in `COFI_HOME`.",
    )
    database_password_file: Path | None = Field(
        None,
        alias="COFI_DATABASE_PASSWORD_FILE",
        description="File whose first line is the database password, for a URL that holds none.",
    )
    dagster_database_url: SecretStr | None = Field(
        None,
        alias="COFI_DAGSTER_DATABASE_URL",
        description="URL of a MySQL or MariaDB database for Dagster's own runs and events, e.g. "
        "`mysql+pymysql://user@host/cofi_dagster`; it may be COFI's. Empty: SQLite in `COFI_HOME`.",
    )
    batch_root: Path | None = Field(
        None,
        alias="COFI_BATCH_ROOT",
        description="Folder that the batch directories `<batchDate>_<batchNumber>` arrive in. Empty: "
        "`COFI_HOME/batches`.",
    )
    batch_quiet_seconds: float = Field(
        120.0,
        ge=0,
        alias="COFI_BATCH_QUIET_SECONDS",
        description="A batch directory without `_SUCCESS` counts as complete once nothing in it has changed for so "
        "many seconds.",
    )

    # -- the fleet -------------------------------------------------------------------------------------------
    gpu_machines: Words = Field(
        (), alias="GPU_MACHINES", description="Hosts or addresses of the GPU machines, comma-separated."
    )
    files_port: Port = Field(5000, alias="FILES_PORT", description="Port of the files service on every machine.")
    denoise_port: Port = Field(5010, alias="DENOISE_PORT", description="Port of the denoise service.")
    ivr_port: Port = Field(5011, alias="IVR_PORT", description="Port of the IVR service.")
    lid_port: Port = Field(5012, alias="LID_PORT", description="Port of the language identification service.")
    stt_port: Port = Field(5013, alias="STT_PORT", description="Port of the speech to text service.")
    llm_port: Port = Field(
        5014, alias="LLM_PORT", description="Port of the LLM service on every machine, where no LLM URL is set."
    )
    llm1_api_url: Words = Field(
        (), alias="LLM1_API_URL", description="Base URLs (`http://host:port/v1`) of the LLM1 servers, comma-separated."
    )
    llm2_api_url: Words = Field(
        (), alias="LLM2_API_URL", description="Base URLs (`http://host:port/v1`) of the LLM2 servers, comma-separated."
    )
    llm1_model: str = Field("default", alias="LLM1_MODEL", description="Model name sent to the LLM1 servers.")
    llm2_model: str = Field("default", alias="LLM2_MODEL", description="Model name sent to the LLM2 servers.")
    llm_api_key: SecretStr | None = Field(
        None, alias="COFI_LLM_API_KEY", description="Bearer key for the LLM servers, where they ask for one."
    )
    stt_protocol: Literal["cofi", "openai"] = Field(
        "cofi",
        alias="STT_PROTOCOL",
        description="`cofi`: `POST /stt` on the machine's own copy of the file; `openai`: "
        "`POST /v1/audio/transcriptions`.",
    )
    stt_model: str = Field("whisper-1", alias="STT_MODEL", description="Model name sent with `STT_PROTOCOL=openai`.")
    concurrency_per_machine: int = Field(
        8,
        ge=1,
        le=1024,
        alias="COFI_CONCURRENCY_PER_MACHINE",
        description="Most requests in flight to one machine; fewer while it answers that it is busy.",
    )
    max_attempts: int = Field(
        3, ge=1, le=100, alias="COFI_MAX_ATTEMPTS", description="Attempts per file and stage before the file fails."
    )
    request_timeout_seconds: float = Field(
        120.0,
        gt=0,
        alias="COFI_REQUEST_TIMEOUT_SECONDS",
        description="Shortest time limit of any request; speech to text gets 2.5 × the length of the audio where "
        "that is more.",
    )
    fleet_wait_seconds: float = Field(
        300.0,
        ge=0,
        alias="COFI_FLEET_WAIT_SECONDS",
        description="How long a stage waits for any machine to come back before it stops as `Failed`.",
    )

    # -- the pipeline ----------------------------------------------------------------------------------------
    stages_disabled: Words = Field(
        (), alias="COFI_STAGES_DISABLED", description="Stages to skip, comma-separated, of the optional ones."
    )
    languages: Words = Field(
        ("en", "hi", "hinglish"), alias="COFI_LANGUAGES", description="Languages whose calls are transcribed."
    )
    min_call_seconds: float = Field(
        5.0, ge=0, alias="COFI_MIN_CALL_SECONDS", description="A call shorter than this many seconds is a `ShortCall`."
    )
    triage_window_minutes: float = Field(
        30.0,
        gt=0,
        alias="COFI_TRIAGE_WINDOW_MINUTES",
        description="How long before an order a call may have begun to be found evidence for it.",
    )
    call_csv_columns: Words = Field(
        (),
        alias="COFI_CALL_CSV_COLUMNS",
        description="Other header names in `callMetadata.csv`, as `theirs=ours,…`.",
    )
    trade_csv_columns: Words = Field(
        (),
        alias="COFI_TRADE_CSV_COLUMNS",
        description="Other header names in `tradeMetadata.csv`, as `theirs=ours,…`.",
    )
    failure_share_warning: float = Field(
        0.05,
        ge=0,
        le=1,
        alias="COFI_FAILURE_SHARE_WARNING",
        description="A stage's asset check warns when more than this share of its files failed.",
    )
    log_file_start_events: bool = Field(
        False,
        alias="LOG_FILE_START_EVENTS",
        description="Also record the start and the completion of every file in `batchExecutionLog`.",
    )
    progress_update_interval: int = Field(
        100, ge=1, alias="PROGRESS_UPDATE_INTERVAL", description="Record a `stage_progress` event every so many files."
    )
    commit_files: int = Field(
        250, ge=1, le=5000, alias="COFI_COMMIT_FILES", description="Most files whose results go into one transaction."
    )
    commit_seconds: float = Field(
        0.5, gt=0, alias="COFI_COMMIT_SECONDS", description="Longest time that a finished file waits for its commit."
    )

    # -- alerts ----------------------------------------------------------------------------------------------
    alert_stage_minutes: Words = Field(
        (),
        alias="COFI_ALERT_STAGE_MINUTES",
        description="Minutes that a stage may take before there is an alert, as `stage=minutes,…`; empty: none.",
    )
    alert_slower_than_history: float = Field(
        1.5,
        ge=0,
        alias="COFI_ALERT_SLOWER_THAN_HISTORY",
        description="Alert when a stage takes more than so many times what it took for batches of similar size; "
        "0: never.",
    )
    alert_stuck_minutes: float = Field(
        15.0,
        ge=0,
        alias="COFI_ALERT_STUCK_MINUTES",
        description="Alert when a stage at work has done no file for so many minutes; 0: never.",
    )
    alert_failure_share: float = Field(
        0.05,
        ge=0,
        le=1,
        alias="COFI_ALERT_FAILURE_SHARE",
        description="Alert when more than this share of a stage's files have failed; 1: never.",
    )
    alert_done_by: str = Field(
        "",
        pattern=r"^(([01]\d|2[0-3]):[0-5]\d)?$",
        alias="COFI_ALERT_DONE_BY",
        description="Time of day, `HH:MM`, by which a batch must be completed: the first one after it arrived; empty: "
        "none.",
    )
    time_zone: str = Field(
        "Asia/Kolkata",
        alias="COFI_TIME_ZONE",
        description="Time zone of `COFI_ALERT_DONE_BY` and of the pages, by its IANA name.",
    )
    alert_webhook_url: SecretStr | None = Field(
        None, alias="COFI_ALERT_WEBHOOK_URL", description="Slack-compatible webhook that alerts are sent to."
    )
    alert_email_to: Words = Field(
        (), alias="COFI_ALERT_EMAIL_TO", description="Addresses that alerts are mailed to, comma-separated."
    )
    alert_email_from: str = Field("cofi@localhost", alias="COFI_ALERT_EMAIL_FROM", description="Sender of the mails.")
    smtp_host: str = Field("localhost", alias="COFI_SMTP_HOST", description="Mail server.")
    smtp_port: Port = Field(25, alias="COFI_SMTP_PORT", description="Its port.")
    smtp_tls: Literal["none", "starttls", "tls"] = Field(
        "none", alias="COFI_SMTP_TLS", description="How the connection to the mail server is encrypted."
    )
    smtp_user: str = Field("", alias="COFI_SMTP_USER", description="User at the mail server; empty: no login.")
    smtp_password: SecretStr | None = Field(
        None, alias="COFI_SMTP_PASSWORD", description="Password at the mail server."
    )

    # -- the pages and the API -------------------------------------------------------------------------------
    web_host: str = Field("127.0.0.1", alias="COFI_WEB_HOST", description="Address that `cofi up` listens on.")
    web_port: Port = Field(3000, alias="COFI_WEB_PORT", description="Port that `cofi up` listens on.")
    api_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        (),
        alias="COFI_API_KEYS",
        description="Keys for the pages and the API, comma-separated: `key` (an operator) or `name:role:key` with role "
        "`viewer` or `operator`; instead of the key, `sha256:<hex>` of it.",
    )
    session_hours: float = Field(
        12.0,
        gt=0,
        le=24 * 30,
        alias="COFI_SESSION_HOURS",
        description="Hours after which a person who logged in to the pages has to give the key again.",
    )
    upload_max_file_mb: float = Field(
        200.0, gt=0, alias="COFI_UPLOAD_MAX_FILE_MB", description="Largest file of an audit upload, in MB."
    )
    upload_max_files: int = Field(
        100, ge=1, alias="COFI_UPLOAD_MAX_FILES", description="Most files in one audit upload."
    )

    rate_limit_per_minute: int = Field(
        600,
        ge=0,
        alias="COFI_RATE_LIMIT_PER_MINUTE",
        description="Most changing requests a minute of one key (without keys: of one address); ten times as many may "
        "read. 0: no limit.",
    )

    # -- the reference node ----------------------------------------------------------------------------------
    whisper_model_dir: Path | None = Field(
        None,
        alias="COFI_WHISPER_MODEL_DIR",
        description="Folder of a faster-whisper model for the reference node; empty: the small built-in recogniser.",
    )

    @field_validator(
        "gpu_machines",
        "llm1_api_url",
        "llm2_api_url",
        "stages_disabled",
        "languages",
        "call_csv_columns",
        "trade_csv_columns",
        "alert_stage_minutes",
        "alert_email_to",
        "api_keys",
        mode="before",
    )
    @classmethod
    def _split(cls, value: object) -> object:
        return _words(value)

    @field_validator(
        "database_url",
        "database_password_file",
        "dagster_database_url",
        "batch_root",
        "whisper_model_dir",
        "alert_webhook_url",
        "smtp_password",
        mode="before",
    )
    @classmethod
    def _empty_is_unset(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("stages_disabled")
    @classmethod
    def _may_be_disabled(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name not in stages.BY_NAME:
                raise ValueError(f"'{name}' is no stage; the stages are {', '.join(stages.NAMES)}")
            if name not in stages.OPTIONAL:
                raise ValueError(f"'{name}' cannot be disabled: the others need it")
        return value

    @field_validator("call_csv_columns", "trade_csv_columns")
    @classmethod
    def _pairs(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for pair in value:
            if not all(part.strip() for part in pair.partition("=")[::2]):
                raise ValueError(f"'{pair}' is not of the form theirs=ours")
        return value

    @field_validator("alert_stage_minutes")
    @classmethod
    def _minutes_of_stages(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for pair in value:
            name, _, minutes = pair.partition("=")
            if name not in stages.BY_NAME or not minutes.replace(".", "", 1).isdecimal():
                raise ValueError(f"'{pair}' is not of the form stage=minutes")
        return value

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError(f"'{value}' is no time zone, e.g. Asia/Kolkata") from None
        return value

    @model_validator(mode="after")
    def _one_machine_once(self) -> Self:
        if len(set(self.gpu_machines)) != len(self.gpu_machines):
            raise ValueError("GPU_MACHINES names a machine twice")
        return self

    @classmethod
    def load(cls, **overrides: Any) -> Settings:
        """Read the settings from the environment and ``.env``.

        Raises:
            SettingsError: a value cannot be used; the message names the setting.
        """
        try:
            return cls(**overrides)
        except ValidationError as error:
            raise SettingsError("; ".join(_sentence(item) for item in error.errors())) from None

    @property
    def database_path(self) -> Path:
        """Where the default SQLite database is."""
        return self.home.absolute() / "cofi.sqlite"

    @property
    def batches(self) -> Path:
        """The folder that batch directories arrive in."""
        return (self.batch_root or self.home / "batches").absolute()

    @property
    def dagster_home(self) -> Path:
        """Dagster's home: its own storage unless ``dagster.yaml`` there says otherwise."""
        return self.home.absolute() / "dagster"

    def is_enabled(self, stage: stages.Stage) -> bool:
        """Whether the stage is not disabled."""
        return stage.name not in self.stages_disabled

    def port(self, service: str) -> int:
        """The port of a service on every machine (``files``, ``denoise``, ``ivr``, ``lid``, ``stt``, ``llm``)."""
        port: int = getattr(self, f"{service}_port")
        return port


def _sentence(item: Any) -> str:
    name = str(item["loc"][0]) if item["loc"] else ""
    field = Settings.model_fields.get(name)
    shown = (field.alias or name) if field else name
    message = str(item["msg"]).removeprefix("Value error, ")
    return f"{shown}: {message}" if shown else message


def column_names(pairs: tuple[str, ...]) -> dict[str, str]:
    """``("Audio=audioName",)`` as ``{"Audio": "audioName"}``."""
    split = (pair.partition("=") for pair in pairs)
    return {theirs.strip(): ours.strip() for theirs, _, ours in split}


@lru_cache(maxsize=1)
def current() -> Settings:
    """The settings of this process, read once."""
    return Settings.load()


def parse_batch_key(key: str) -> tuple[date, int]:
    """``2026-01-15_1`` as (batch date, batch number).

    Raises:
        ValueError: the name is no batch key; the message says what one looks like.
    """
    day, _, number = key.partition("_")
    try:
        if len(day) != 10 or not number.isascii() or not number.isdigit() or str(int(number)) != number:
            raise ValueError
        parsed = date.fromisoformat(day)
        if not 1 <= int(number) <= sys.maxsize >> 32:
            raise ValueError
    except ValueError:
        raise ValueError(f"'{key}' is no batch key: it must be <batchDate>_<batchNumber>, e.g. 2026-01-15_1") from None
    return parsed, int(number)
