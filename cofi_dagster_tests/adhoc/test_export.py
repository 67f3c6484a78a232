"""A batch as files for people: whole, and harmless in a spreadsheet."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import openpyxl
import pytest

from cofi_dagster.database import tables as t
from cofi_dagster.export import export, neutral
from cofi_dagster_tests.fleet_simulator import FleetSimulator
from cofi_dagster_tests.pipeline.site import Site

EVIL = '=HYPERLINK("mailto:x","y")\x07.wav'


@pytest.fixture
def batch(site: Site, machines: FleetSimulator) -> int:
    """A batch with a call of an evil name and one that fails."""
    machines.fault("status", service="stt", file="call_b.wav", status=422, detail="broken")
    made = site.make([EVIL, "call_b.wav"])
    site.run(made)
    site.execute(t.trade_metadata.update().values(audioName=None, orderId="1200000000000001"))
    return made


def test_every_form_has_the_same_rows(site: Site, batch: int, tmp_path: Path) -> None:
    known = site.pipeline.batch(batch)
    paths = {form: export(site.engine, known, form, tmp_path / form) for form in ("csv", "xlsx", "json")}
    whole = json.loads(paths["json"][0].read_text("utf-8"))
    assert len(whole["answers"]) == sum(len(answers) for answers in site.answers(batch).values())
    book = openpyxl.load_workbook(paths["xlsx"][0], read_only=True)
    for path, name in zip(paths["csv"], ("answers", "mappings", "exceptions"), strict=True):
        with path.open(encoding="utf-8-sig", newline="") as source:
            rows = list(csv.reader(source))
        assert len(rows) - 1 == len(whole[name])
        assert len(list(book[name].iter_rows())) - 1 == len(whole[name])
    kinds = {row["kind"] for row in whole["exceptions"]}
    assert {"trade without evidence", "call not audited", "call without trade"} <= kinds
    assert any(row["startSeconds"] is not None and row["quotes"] for row in whole["answers"])


def test_no_cell_is_a_formula(site: Site, batch: int, tmp_path: Path) -> None:
    known = site.pipeline.batch(batch)
    (path,) = export(site.engine, known, "xlsx", tmp_path)
    cells = [cell for sheet in openpyxl.load_workbook(path) for row in sheet.iter_rows() for cell in row]
    assert not [cell for cell in cells if cell.data_type == "f"]
    names = {cell.value for cell in cells if isinstance(cell.value, str) and "HYPERLINK" in cell.value}
    assert names
    assert all(name.startswith("'=") for name in names)
    assert "1200000000000001" in {cell.value for cell in cells}, "an order's id stays text"


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "  =1"])
def test_what_a_spreadsheet_would_calculate_becomes_text(text: str) -> None:
    assert neutral(text) == "'" + text
    assert neutral(-1.5) == -1.5
    assert neutral("plain = text") == "plain = text"
