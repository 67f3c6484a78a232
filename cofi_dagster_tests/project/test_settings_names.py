"""Under which names settings are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from cofi_dagster.settings import Settings


def test_a_setting_is_read_under_its_documented_name_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    before = Settings.load()
    assert before.home == Path(".cofi")
    for name, field in Settings.model_fields.items():
        if name.upper() != field.alias:
            monkeypatch.setenv(name.upper(), "/somewhere/else")  # HOME among them, which every shell sets
    assert Settings.load() == before


def test_every_setting_has_a_documented_name() -> None:
    assert all(field.alias for field in Settings.model_fields.values())
