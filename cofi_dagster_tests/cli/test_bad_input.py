"""Wrong uses and faults that a person can mend: one line that says what and where, and the right exit code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cofi_dagster_tests.batches import make_batch, wav
from cofi_dagster_tests.cli.conftest import CommandLine, Said
from cofi_dagster_tests.fleet_simulator import FleetSimulator
from cofi_dagster_tests.mariadb import MariaDB

KEY = "2026-01-15_1"

BAD_SETTINGS = [
    ("COFI_STAGES_DISABLED", "stage9", "'stage9' is no stage; the stages are file_distribution,"),
    ("COFI_STAGES_DISABLED", "ivr,lid", "'lid' cannot be disabled"),
    ("COFI_WEB_PORT", "70000", "65535"),
    ("STT_PORT", "0", "greater than or equal to 1"),
    ("LLM_PORT", "http", "valid integer"),
    ("GPU_MACHINES", "gpu1,gpu2,gpu1", "names a machine twice"),
    ("COFI_BATCH_QUIET_SECONDS", "-1", "greater than or equal to 0"),
    ("PROGRESS_UPDATE_INTERVAL", "0", "greater than or equal to 1"),
    ("LOG_FILE_START_EVENTS", "perhaps", "valid boolean"),
    ("COFI_TRADE_CSV_COLUMNS", "Order No", "'Order No' is not of the form theirs=ours"),
    ("STT_PROTOCOL", "grpc", "'cofi' or 'openai'"),
    ("COFI_DATABASE_URL", "nonsense", "not a database URL, e.g. mysql+pymysql://user@host/cofi"),
    ("COFI_DATABASE_URL", "postgresql://db/cofi", "'postgresql' is not supported; use sqlite, mysql or mariadb"),
    ("COFI_DATABASE_URL", "sqlite://", "must be a file"),
]


@pytest.mark.parametrize(("name", "value", "words"), BAD_SETTINGS)
def test_a_bad_setting_is_named_with_what_it_may_be(
    quick_cofi: Callable[..., Said], name: str, value: str, words: str
) -> None:
    said = quick_cofi("batch", "list", **{name: value})
    assert (said.code, said.out) == (2, "")
    assert said.complaint.startswith(name)
    assert words in said.complaint


def test_a_password_file_that_cannot_be_read_is_named(quick_cofi: Callable[..., Said]) -> None:
    said = quick_cofi(
        "db", "check", COFI_DATABASE_URL="mysql://cofi@db/cofi", COFI_DATABASE_PASSWORD_FILE="/no/such/file"
    )
    assert said.code == 2
    assert said.complaint == "COFI_DATABASE_PASSWORD_FILE: cannot read a password from /no/such/file"


WRONG_USES = [
    (["batch", "run"], "Missing argument 'directory'."),
    (["batch", "run", "a", "b"], "Got unexpected extra argument(s) (b)"),
    (["batch", "show", "first"], "Invalid value for 'ID'"),
    (["batch", "shew"], "No such command 'shew'."),
    (["batch", "list", "--all"], "No such option: --all"),
    (["node", "--port", "70000"], "Invalid value for '--port'"),
]


@pytest.mark.parametrize(("arguments", "words"), WRONG_USES)
def test_a_wrong_use_is_said_in_one_line(quick_cofi: Callable[..., Said], arguments: list[str], words: str) -> None:
    said = quick_cofi(*arguments)
    assert (said.code, said.out) == (2, "")
    assert words in said.complaint


@pytest.mark.parametrize("arguments", [[], ["batch"], ["db"]])
def test_without_a_command_there_is_help(quick_cofi: Callable[..., Said], arguments: list[str]) -> None:
    said = quick_cofi(*arguments)
    assert (said.code, said.err) == (2, "")
    assert "Usage: cofi" in said.out


def test_a_directory_that_does_not_exist_is_named(cofi: CommandLine) -> None:
    said = cofi("batch", "run", KEY)
    assert (said.code, said.complaint) == (2, f"the batch directory {cofi.folder / KEY} does not exist")


def test_a_file_is_no_batch_directory(cofi: CommandLine) -> None:
    (cofi.folder / KEY).touch()
    said = cofi("batch", "run", KEY)
    assert (said.code, said.complaint) == (2, f"{cofi.folder / KEY} is not a directory")


@pytest.mark.parametrize(
    "name", ["calls", "2026-13-01_1", "2026-01-15", "2026-01-15_0", "15-01-2026_1", "2026-01-15_01"]
)
def test_a_name_that_is_no_batch_key_is_named(
    quick_cofi: Callable[..., Said], directory: Callable[..., Path], name: str
) -> None:
    directory(name)
    said = quick_cofi("batch", "run", name)
    assert said.code == 2
    assert said.complaint == f"'{name}' is no batch key: it must be <batchDate>_<batchNumber>, e.g. 2026-01-15_1"


def test_a_directory_without_audio_is_a_batch_that_failed(cofi: CommandLine, directory: Callable[..., Path]) -> None:
    (directory() / "notes.txt").write_text("nothing to hear")
    said = cofi("batch", "run", KEY, GPU_MACHINES="127.0.0.1")
    assert (said.code, said.last) == (1, "batch 1 Failed")
    assert f"the batch directory {cofi.folder / KEY} holds no audio files" in said.complaint


def test_no_gpu_machine_is_a_setting_that_is_lacking(cofi: CommandLine, directory: Callable[..., Path]) -> None:
    (directory() / "a.wav").write_bytes(wav())
    said = cofi("batch", "run", KEY)
    assert (said.code, said.last) == (1, "batch 1 Failed")
    assert "no GPU machine is configured: set GPU_MACHINES, or start one here with `cofi node`" in said.complaint


def test_a_fleet_that_cannot_be_reached_is_named_after_the_wait(
    cofi: CommandLine, directory: Callable[..., Path], free_port: Callable[[], int]
) -> None:
    (directory() / "a.wav").write_bytes(wav())
    said = cofi("batch", "run", KEY, GPU_MACHINES="127.0.0.1", FILES_PORT=str(free_port()), COFI_FLEET_WAIT_SECONDS="1")
    assert (said.code, said.last) == (1, "batch 1 Failed")
    assert "file_distribution" in said.complaint
    assert "127.0.0.1" in said.complaint


@pytest.mark.parametrize(
    ("name", "content", "lacking"),
    [
        ("callMetadata.csv", "callStart,callEnd\n", "audioName"),
        ("tradeMetadata.csv", "orderId,symbol,side,orderTime\n", "quantity"),
    ],
)
def test_a_csv_without_its_columns_names_them_before_gpu_time_is_spent(
    cofi: CommandLine, fleet: FleetSimulator, name: str, content: str, lacking: str
) -> None:
    folder = make_batch(cofi.folder, KEY, 2)
    (folder / name).write_text(content)
    said = cofi("batch", "run", folder, **fleet.environment())
    assert (said.code, said.last) == (1, "batch 1 Failed")
    assert name in said.complaint
    assert lacking in said.complaint
    assert {request.service for request in fleet.requests()} <= {"files", "files-head", "health"}


def test_a_batch_that_came_from_elsewhere_is_refused(cofi: CommandLine, fleet: FleetSimulator) -> None:
    first = make_batch(cofi.folder, KEY, 1)
    assert cofi("batch", "run", first, **fleet.environment()).code == 0
    other = make_batch(cofi.folder / "elsewhere", KEY, 1)
    said = cofi("batch", "run", other, **fleet.environment())
    assert (said.code, said.out) == (1, "")
    assert said.complaint == f"batch {KEY} (1) comes from {first}, not from {other}"


def test_an_unknown_batch_is_said_so(cofi: CommandLine) -> None:
    for verb in ("show", "retry"):
        said = cofi("batch", verb, 99)
        assert (said.code, said.out, said.complaint) == (1, "", "there is no batch 99")


@pytest.mark.parametrize("command", [("batch", "list"), ("db", "check"), ("db", "upgrade"), ("batch", "run", KEY)])
def test_a_database_that_is_down_is_named_without_its_password(
    cofi: CommandLine, directory: Callable[..., Path], free_port: Callable[[], int], command: tuple[str, ...]
) -> None:
    directory()
    said = cofi(*command, COFI_DATABASE_URL=f"mysql+pymysql://cofi:secret@127.0.0.1:{free_port()}/cofi")
    assert (said.code, said.out) == (1, "")
    assert "the database mysql+pymysql://cofi:***@127.0.0.1:" in said.complaint
    assert "secret" not in said.complaint
    assert "Connection refused" in said.complaint


@pytest.mark.parametrize("command", [("batch", "list"), ("batch", "show", "1"), ("batch", "run", KEY)])
def test_a_database_that_is_too_old_says_how_to_upgrade_it(
    cofi: CommandLine, directory: Callable[..., Path], mariadb_server: MariaDB, command: tuple[str, ...]
) -> None:
    directory()
    said = cofi(*command, COFI_DATABASE_URL=mariadb_server.fresh_database())
    assert (said.code, said.out) == (1, "")
    assert "cofi db upgrade" in said.complaint


def test_a_file_that_is_no_database_is_named(cofi: CommandLine) -> None:
    place = cofi.folder / "letter.txt"
    place.write_text("Dear all, this is no database. " * 10)
    said = cofi("batch", "list", COFI_DATABASE_URL=f"sqlite:///{place}")
    assert said.code == 1
    assert f"{place} cannot be used: file is not a database" in said.complaint


@pytest.mark.parametrize("command", [("batch", "list"), ("db", "upgrade"), ("batch", "run", KEY), ("up",)])
def test_a_home_that_is_a_file_is_named(
    cofi: CommandLine, quick_cofi: Callable[..., Said], directory: Callable[..., Path], command: tuple[str, ...]
) -> None:
    directory()
    home = cofi.folder / "home"
    home.touch()
    said = quick_cofi(*command)
    assert (said.code, said.out, said.complaint) == (1, "", f"COFI_HOME is {home}, which is not a folder")


@pytest.mark.parametrize("command", [("batch", "list"), ("batch", "run", KEY), ("up",)])
def test_a_home_that_cannot_be_made_is_named(
    quick_cofi: Callable[..., Said], directory: Callable[..., Path], command: tuple[str, ...]
) -> None:
    directory()
    said = quick_cofi(*command, COFI_HOME="/proc/cofi")
    assert (said.code, said.out) == (1, "")
    assert said.complaint.startswith("COFI_HOME is /proc/cofi, which cannot be used: ")


def test_an_address_that_others_reach_needs_keys(quick_cofi: Callable[..., Said]) -> None:
    said = quick_cofi("up", COFI_WEB_HOST="0.0.0.0")
    assert (said.code, said.out) == (2, "")
    assert said.complaint == "COFI_WEB_HOST is 0.0.0.0, which others can reach: set COFI_API_KEYS first"


def test_a_key_without_a_role_that_exists_is_refused_and_not_shown(quick_cofi: Callable[..., Said]) -> None:
    said = quick_cofi("up", COFI_WEB_HOST="0.0.0.0", COFI_API_KEYS="anna:admin:hunter2")
    assert said.code == 2
    assert said.complaint.startswith("COFI_API_KEYS: entry 1 must be key, or name:role:key")
    assert "hunter2" not in said.complaint
