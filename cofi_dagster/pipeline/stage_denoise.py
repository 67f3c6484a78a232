"""Denoise: the machine replaces its copy of each file with a cleaned one. Nothing but the flag is kept."""

from __future__ import annotations

from cofi_dagster.pipeline.audio_stage import AudioStage
from cofi_dagster.pipeline.run import StageContext
from cofi_dagster.pipeline.work import FileStage


def make(context: StageContext) -> FileStage:
    """The stage for a batch."""
    return AudioStage(context)
