"""The directory sensor: which directories are complete, what it says of the others, and that each starts once, ever."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from cofi_dagster.orchestration.sensors import batch_directory_sensor
from cofi_dagster.pipeline.arrivals import Arrival, Listing, list_batch_root, new_batches
from cofi_dagster.settings import Settings
from cofi_dagster_tests.batches import make_batch
from cofi_dagster_tests.fleet_simulator import FleetSimulator
from cofi_dagster_tests.orchestration.conftest import KEY, Installation

NOW = 1_000_000.0
QUIET = 120.0

ARRIVALS = [
    ("with _SUCCESS", Arrival(KEY, True, None), True),
    ("quiet for long", Arrival(KEY, False, NOW - 500), True),
    ("quiet for just so long", Arrival(KEY, False, NOW - QUIET), True),
    ("changed a moment ago", Arrival(KEY, False, NOW - 119.9), False),
    ("changed in the future of this clock", Arrival(KEY, False, NOW + 60), False),
    ("empty so far", Arrival(KEY, False, None), False),
]


@pytest.mark.parametrize(("arrival", "starts"), [row[1:] for row in ARRIVALS], ids=[row[0] for row in ARRIVALS])
def test_a_directory_is_complete_with_its_mark_or_when_it_is_quiet(arrival: Arrival, starts: bool) -> None:
    assert new_batches(Listing([arrival]), set(), NOW, QUIET) == ([KEY] if starts else [])


def test_a_known_batch_is_never_new() -> None:
    assert new_batches(Listing([Arrival(KEY, True, None)]), {KEY}, NOW, QUIET) == []


def test_the_oldest_batch_comes_first_and_the_tenth_after_the_ninth() -> None:
    keys = ["2026-01-15_10", "2026-01-15_9", "2026-01-14_11", "2025-12-31_1"]
    found = new_batches(Listing([Arrival(key, True, None) for key in keys]), set(), NOW, QUIET)
    assert found == ["2025-12-31_1", "2026-01-14_11", "2026-01-15_9", "2026-01-15_10"]


def test_the_newest_change_of_any_file_counts(tmp_path: Path) -> None:
    folder = tmp_path / KEY
    folder.mkdir()
    for name, time in (("a.wav", 1000), ("b.wav", 3000), ("c.wav", 2000)):
        (folder / name).touch()
        os.utime(folder / name, (time, time))
    os.utime(folder, (1500, 1500))
    assert list_batch_root(tmp_path, set()).arrivals == [Arrival(KEY, False, 3000)]


def test_a_file_that_was_added_with_an_old_time_is_a_change_too(tmp_path: Path) -> None:
    folder = tmp_path / KEY
    folder.mkdir()
    (folder / "a.wav").touch()
    os.utime(folder / "a.wav", (1000, 1000))
    os.utime(folder, (5000, 5000))
    assert list_batch_root(tmp_path, set()).arrivals == [Arrival(KEY, False, 5000)]


def test_names_that_are_no_batch_keys_are_reported_and_files_are_not(tmp_path: Path) -> None:
    for name in ("2026-01-15", "incoming", "2026-02-30_1", KEY):
        (tmp_path / name).mkdir()
    (tmp_path / "2026-01-16_1").touch()
    listing = list_batch_root(tmp_path, set())
    assert sorted(listing.other) == ["2026-01-15", "2026-02-30_1", "incoming"]
    assert listing.arrivals == [Arrival(KEY, False, None)]


def test_a_directory_that_cannot_be_read_is_not_an_empty_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_batch(tmp_path, KEY, 1)
    make_batch(tmp_path, "2026-01-15_2", 1)
    (tmp_path / "2026-01-15_3").symlink_to(tmp_path / "2026-01-15_3")
    real = os.scandir

    def scandir(path: Path) -> object:
        if Path(path).name == KEY:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    listing = list_batch_root(tmp_path, set())
    assert sorted(listing.unreadable) == [
        f"{KEY}: Permission denied",
        "2026-01-15_3: Too many levels of symbolic links",
    ]
    assert [arrival.key for arrival in listing.arrivals] == ["2026-01-15_2"]
    assert new_batches(listing, set(), NOW, QUIET) == ["2026-01-15_2"]


# -- on an instance ------------------------------------------------------------------------------------------------


def tick(here: Installation) -> dg.SensorResult | dg.SkipReason:
    """Evaluate the sensor once, as the daemon does."""
    context = dg.build_sensor_context(
        instance=here.instance, definitions=here.defs, resources={"tracking": here.defs.resources["tracking"]}
    )
    (said,) = list(batch_directory_sensor(context))
    return said


def requests(said: dg.SensorResult | dg.SkipReason) -> list[tuple[str | None, str | None, str | None]]:
    """The run key, the partition and the batch tag of each run that is asked for."""
    assert isinstance(said, dg.SensorResult)
    return [(run.run_key, run.partition_key, run.tags.get("cofi/batch")) for run in said.run_requests or []]


def test_each_complete_directory_is_one_run_with_its_partition(installation: Callable[..., Installation]) -> None:
    here = installation()
    root = here.site.settings.batches
    for number in (1, 2):
        make_batch(root, f"2026-01-15_{number}", 1)
    make_batch(root, "2026-01-15_3", 1, complete=False)
    said = tick(here)
    assert requests(said) == [(f"batch:{key}", key, key) for key in ("2026-01-15_1", "2026-01-15_2")]
    assert isinstance(said, dg.SensorResult)
    (added,) = said.dynamic_partitions_requests or []
    assert (added.partitions_def_name, list(added.partition_keys)) == ("batches", ["2026-01-15_1", "2026-01-15_2"])


def test_a_batch_that_ran_is_never_started_again_though_it_failed(
    installation: Callable[..., Installation], fleet: FleetSimulator
) -> None:
    here = installation(COFI_MAX_ATTEMPTS=1, **fleet.environment())
    make_batch(here.site.settings.batches, KEY, 1)
    assert requests(tick(here)) == [(f"batch:{KEY}", KEY, KEY)]
    fleet.fault("status", service="denoise", status=422, times=None)
    assert not here.run().success
    (here.site.settings.batches / KEY / "late.wav").touch()
    said = tick(here)
    assert isinstance(said, dg.SkipReason)
    assert said.skip_message == f"no new complete batch directory in {here.site.settings.batches}"


def test_a_tick_without_work_says_what_it_saw(installation: Callable[..., Installation]) -> None:
    here = installation()
    root = here.site.settings.batches
    make_batch(root, KEY, 1, complete=False)
    (root / "incoming").mkdir()
    said = tick(here)
    assert isinstance(said, dg.SkipReason)
    assert said.skip_message == (
        f"no new complete batch directory in {root}, 1 still arriving, no batch keys: incoming"
    )


def test_a_batch_root_that_is_not_there_is_said_so(installation: Callable[..., Installation], tmp_path: Path) -> None:
    share = tmp_path / "share"
    said = tick(installation(COFI_BATCH_ROOT=share))
    assert isinstance(said, dg.SkipReason)
    assert said.skip_message == f"the batch root {share} cannot be read: No such file or directory"


def test_the_quiet_time_is_the_settings(installation: Callable[..., Installation]) -> None:
    here = installation(COFI_BATCH_QUIET_SECONDS=0)
    make_batch(here.site.settings.batches, KEY, 1, complete=False)
    assert requests(tick(here)) == [(f"batch:{KEY}", KEY, KEY)]


def test_the_default_batch_root_is_made_and_a_configured_one_is_not(
    settings: Callable[..., Settings], instance_of: Callable[[Settings], dg.DagsterInstance], tmp_path: Path
) -> None:
    instance_of(settings())
    assert list_batch_root(tmp_path / "home" / "batches", set()) == Listing()
    instance_of(settings(COFI_BATCH_ROOT=tmp_path / "share"))
    assert not (tmp_path / "share").exists()
