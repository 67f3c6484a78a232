"""The stage catalogue: one row per stage, in pipeline order. Everything that lists stages reads it.

Adding a stage is a row here and a module in ``cofi_dagster.pipeline``. Nothing else belongs in this module: no SQL,
no Dagster, no HTTP.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """How a stage does its work."""

    FILES = "files"
    """One request per file to a service of the fleet, driven by the engine."""
    TABLE = "table"
    """One computation over the batch's rows, in the process of the run."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of the pipeline.

    Attributes:
        name: the stage's name in the catalogue, in Dagster, in logs and in the APIs.
        title: what a person reads.
        column: prefix of the stage's columns in ``batchStatus`` (``<column>Status``, ``…StartTime``, ``…EndTime``).
        kind: per file, or over the batch's tables.
        service: the service of the fleet that does the work, or None. Also the name of the Dagster pool.
        done_flag: the column of ``fileDistribution`` that says that a file is through, or None.
        done_word: ``batchStatus.status`` once the stage is complete, or None where the seeds have no word.
        optional: whether ``COFI_STAGES_DISABLED`` may name it.
        prerequisites: the stages that must be ``Complete`` or ``Skipped`` before this one may start.
        status_is_flag: True where ``<column>Status`` holds 0/1 instead of a word.
        recompute: whether it is computed again when a prerequisite ended after it did.
        in_upload: whether an ad-hoc audit upload runs it.
        in_reaudit: whether a reaudit may select it.
        description: one sentence for the Dagster UI and the documents.
    """

    name: str
    title: str
    column: str
    kind: Kind
    service: str | None
    done_flag: str | None
    done_word: str | None
    optional: bool
    prerequisites: tuple[str, ...]
    description: str
    status_is_flag: bool = False
    recompute: bool = False
    in_upload: bool = False
    in_reaudit: bool = False

    @property
    def status_column(self) -> str:
        """The stage's status column in ``batchStatus``."""
        return f"{self.column}Status"

    @property
    def start_column(self) -> str:
        """The stage's start time column in ``batchStatus``."""
        return f"{self.column}StartTime"

    @property
    def end_column(self) -> str:
        """The stage's end time column in ``batchStatus``."""
        return f"{self.column}EndTime"


STAGES: tuple[Stage, ...] = (
    Stage(
        "file_distribution", "File distribution", "dbInsertion", Kind.FILES, "files", None, "dbInsertDone",
        optional=False, prerequisites=(), in_upload=True,
        description="Registers every audio file of the batch and uploads it to a machine of the fleet.",
    ),
    Stage(
        "callmetadata", "Call metadata", "callmetadata", Kind.TABLE, None, None, None,
        optional=True, prerequisites=("file_distribution",), status_is_flag=True,
        description="Reads callMetadata.csv: who called whom, when and for how long.",
    ),
    Stage(
        "trademetadata", "Trade metadata", "trademetadata", Kind.TABLE, None, None, None,
        optional=True, prerequisites=("file_distribution",), status_is_flag=True,
        description="Reads tradeMetadata.csv: the orders that need evidence.",
    ),
    Stage(
        "denoise", "Denoise", "denoise", Kind.FILES, "denoise", "denoiseDone", "denoiseDone",
        optional=True, prerequisites=("file_distribution",),
        description="Replaces each file's audio on its machine with a cleaned one.",
    ),
    Stage(
        "ivr", "IVR", "ivr", Kind.FILES, "ivr", "ivrDone", "ivrDone",
        optional=True, prerequisites=("file_distribution",),
        description="Finds prompts, ring tones, hold music and silence in each call.",
    ),
    Stage(
        "lid", "Language identification", "lid", Kind.FILES, "lid", "lidDone", "lidDone",
        optional=False, prerequisites=("file_distribution",), in_upload=True, in_reaudit=True,
        description="Names the language and the length of each call.",
    ),
    Stage(
        "triaging", "Triaging step 1", "triaging", Kind.TABLE, None, None, "triagingDone",
        optional=True, prerequisites=("callmetadata", "trademetadata", "lid"), recompute=True,
        description="Matches each trade with the calls that began before its order, by metadata alone.",
    ),
    Stage(
        "stt", "Speech to text", "stt", Kind.FILES, "stt", "sttDone", "sttDone",
        optional=False, prerequisites=("lid",), in_upload=True, in_reaudit=True,
        description="Transcribes each call that is long enough and in a supported language.",
    ),
    Stage(
        "llm1", "LLM1: trades discussed", "llm1", Kind.FILES, "llm", "llm1Done", "llm1Done",
        optional=True, prerequisites=("stt",), in_upload=True, in_reaudit=True,
        description="Extracts the trades that were discussed in each transcript.",
    ),
    Stage(
        "triaging_step2", "Triaging step 2", "triagingStep2", Kind.TABLE, None, None, "triagingStep2Done",
        optional=True, prerequisites=("triaging", "llm1"), recompute=True,
        description="Confirms, re-ranks or withdraws the mappings by what was said, and names discrepancies.",
    ),
    Stage(
        "llm2", "LLM2: audit questionnaire", "llm2", Kind.FILES, "llm", "llm2Done", "llm2Done",
        optional=True, prerequisites=("stt", "llm1"), in_upload=True, in_reaudit=True,
        description="Answers the audit questionnaire for each call, with the words that each answer rests on.",
    ),
)  # fmt: skip

BY_NAME: dict[str, Stage] = {stage.name: stage for stage in STAGES}
NAMES: tuple[str, ...] = tuple(BY_NAME)
OPTIONAL: frozenset[str] = frozenset(stage.name for stage in STAGES if stage.optional)
DONE_FLAGS: tuple[str, ...] = tuple(stage.done_flag for stage in STAGES if stage.done_flag)
SERVICES: tuple[str, ...] = tuple(dict.fromkeys(stage.service for stage in STAGES if stage.service))

assert all(p in NAMES[: NAMES.index(s.name)] for s in STAGES for p in s.prerequisites)
