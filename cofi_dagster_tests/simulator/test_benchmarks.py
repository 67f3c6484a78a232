"""The benchmarks run and write what they measured. Their figures are nobody's test."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def _benchmarks(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_bare_loop_makes_every_request_and_its_figures_are_written(tmp_path: Path) -> None:
    results = tmp_path / "results.json"
    done = _benchmarks("wire", "--files", "40", "--results", str(results))
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(results.read_text())["measures"]["wire"]
    assert row["value"] > 0
    assert list(row["detail"]["stages"]) == ["files", "denoise", "ivr", "lid", "stt", "llm1", "llm2"]
    assert "40 files" in done.stdout


def test_an_unknown_measure_is_named_with_those_that_exist() -> None:
    done = _benchmarks("speed")
    assert done.returncode == 2
    assert "no measure 'speed'; the measures are wire, overhead" in done.stderr
