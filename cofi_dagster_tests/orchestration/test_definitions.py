"""What Dagster is told of COFI: the assets follow the catalogue, and the files in the root are those that are used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.tags import PARTITION_NAME_TAG

from cofi_dagster.definitions import build_defs
from cofi_dagster.orchestration.adhoc_jobs import TASK_TAG
from cofi_dagster.orchestration.jobs import BATCH_PIPELINE
from cofi_dagster.stages import NAMES, STAGES
from cofi_dagster.web.pages import dagster_links

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def defs() -> dg.Definitions:
    return build_defs()


def test_the_definitions_load(defs: dg.Definitions) -> None:
    dg.Definitions.validate_loadable(defs)


def test_there_is_an_asset_for_each_stage_in_the_order_of_the_catalogue(defs: dg.Definitions) -> None:
    graph = defs.resolve_asset_graph()
    order = [key.to_user_string() for key in graph.toposorted_asset_keys]
    assert order == list(NAMES)
    parents = {name: {key.to_user_string() for key in graph.get(dg.AssetKey(name)).parent_keys} for name in NAMES}
    assert parents == {name: {before} if before else set() for before, name in zip((None, *NAMES), NAMES, strict=False)}


def test_each_asset_says_what_it_is_and_where_it_belongs(defs: dg.Definitions) -> None:
    graph = defs.resolve_asset_graph()
    for stage in STAGES:
        node = graph.get(dg.AssetKey(stage.name))
        assert node.description.startswith(stage.description)
        assert 1 <= len(node.kinds) <= 3
        assert node.partitions_def == dg.DynamicPartitionsDefinition(name="batches")
        assert node.pools == ({f"cofi_{stage.service}"} if stage.service else set())
        assert {key.name for key in node.check_keys} == {"all_files_accounted_for", "failure_share", "no_open_alerts"}


def test_the_boxes_of_the_graph_are_a_chain_as_the_stages_are(defs: dg.Definitions) -> None:
    graph = defs.resolve_asset_graph()
    boxes = [graph.get(dg.AssetKey(name)).group_name for name in NAMES]
    assert [box for box, before in zip(boxes, [None, *boxes], strict=False) if box != before] == [
        "intake", "audio", "evidence",
    ]  # fmt: skip


def test_everything_in_the_ui_says_what_it_is(defs: dg.Definitions) -> None:
    repository = defs.get_repository_def()
    jobs = [job for job in repository.get_all_jobs() if not job.name.startswith("__")]
    ops = [node.definition for job in jobs for node in job.nodes]
    checks = [spec for checks in (defs.asset_checks or ()) for spec in checks.check_specs]
    fields = [
        field
        for op in ops
        if op.config_field is not None
        for field in getattr(op.config_field.config_type, "fields", {}).values()
    ]
    described = [*jobs, *ops, *repository.sensor_defs, *checks, *fields, *repository.get_top_level_resources().values()]
    assert len(described) > 40
    assert [one for one in described if not one.description] == []


def test_the_pipelines_job_has_all_stages_and_runs_in_its_own_process(defs: dg.Definitions) -> None:
    job = defs.resolve_job_def(BATCH_PIPELINE)
    assert set(job.nodes_in_topological_order[i].name for i in range(len(NAMES))) == set(NAMES)
    assert job.executor_def.name == dg.in_process_executor.name
    assert job.partitions_def == dg.DynamicPartitionsDefinition(name="batches")


def test_the_pages_find_runs_by_the_tags_that_runs_carry() -> None:
    assert (dagster_links.PARTITION_TAG, dagster_links.TASK_TAG) == (PARTITION_NAME_TAG, TASK_TAG)
    assert dagster_links.runs_of_batch("2026-01-15_1") == "/runs?q[]=tag%3Adagster%2Fpartition%3D2026-01-15_1"
    assert dagster_links.stage_of_batch("stt", "2026-01-15_1") == "/assets/stt?view=partitions&partition=2026-01-15_1"


def test_fresh_definitions_share_nothing_that_a_test_could_spoil() -> None:
    one, other = build_defs(), build_defs()
    assert one is not other
    assert one.resources["tracking"] is not other.resources["tracking"]


def test_dagsters_own_command_loads_the_workspace_from_the_root(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "dagster", "definitions", "validate", "-w", "workspace.yaml"]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "COFI_HOME": str(tmp_path), "DAGSTER_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "cofi" in done.stdout + done.stderr


def test_the_instance_that_cofi_prepares_has_the_files_of_the_root() -> None:
    packaged = ROOT / "cofi_dagster" / "orchestration" / "instance_files"
    for name in ("dagster.yaml", "workspace.yaml"):
        assert (packaged / name).read_bytes() == (ROOT / name).read_bytes()
        assert (packaged / name).resolve() == ROOT / name
