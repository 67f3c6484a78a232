"""Addresses of the Dagster UI, for links from COFI's pages. It is on the same address, so that they name no host."""

from __future__ import annotations

from urllib.parse import quote

PARTITION_TAG = "dagster/partition"
TASK_TAG = "cofi/task"
"""The tags by which Dagster's runs of a batch, and of a task, are found."""


def run(run_id: str) -> str:
    """A run: its stages in time, its log."""
    return f"/runs/{quote(run_id, safe='')}"


def runs_of_batch(key: str) -> str:
    """All runs of the batch with this key, newest first."""
    return _runs_with(PARTITION_TAG, key)


def runs_of_task(task_id: str) -> str:
    """All runs of an audit upload or a reaudit: each retry is one."""
    return _runs_with(TASK_TAG, task_id)


def stage_of_batch(stage: str, key: str) -> str:
    """What Dagster knows of one stage of the batch with this key: its materialisation, checks and numbers."""
    return f"/assets/{quote(stage, safe='')}?view=partitions&partition={quote(key, safe='')}"


def stage(name: str) -> str:
    """A stage over all batches; its overview plots what is a number."""
    return f"/assets/{quote(name, safe='')}"


def job(name: str) -> str:
    """A job: its graph, and where it is launched from."""
    return f"/locations/cofi/jobs/{quote(name, safe='')}"


def _runs_with(tag: str, value: str) -> str:
    return f"/runs?q[]={quote(f'tag:{tag}={value}', safe='')}"
