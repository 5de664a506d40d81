"""The benchmarks can be run and their results compared. What they measure is never asserted here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def benchmarks(*args: str, **more: str) -> subprocess.CompletedProcess[str]:
    """With ``more`` in the environment."""
    argv, environment = [sys.executable, "-m", "benchmarks", *args], {**os.environ, **more}
    # UTF-8 whatever the locale, on both ends of the pipe
    environment["PYTHONIOENCODING"] = "utf-8"
    return subprocess.run(
        argv, cwd=ROOT, env=environment, capture_output=True, encoding="utf-8", timeout=300, check=False
    )


def test_a_quick_run_of_the_decision_writes_figures_that_can_be_compared(tmp_path: Path) -> None:
    results = tmp_path / "results.json"
    ran = benchmarks("--quick", "--only", "decision", "--output", str(results))
    assert ran.returncode == 0, ran.stderr
    assert "bare numpy" in ran.stdout
    figures = json.loads(results.read_text())["figures"]
    assert {"plain pod", "nodeSelector"} <= {figure["name"] for figure in figures}
    assert all(value > 0 for figure in figures for value in figure["values"])
    compared = benchmarks("compare", str(results), str(results))
    assert compared.returncode == 0, compared.stderr
    assert "plain pod" in compared.stdout


def test_a_part_that_there_is_not_is_wrong_usage() -> None:
    ran = benchmarks("--only", "everything")
    assert ran.returncode == 2
    assert "Traceback" not in ran.stderr


def test_the_study_of_strategies_runs_on_measured_servers(test_data: Path) -> None:
    ran = benchmarks("--quick", "--only", "strategies", PEAKS_TEST_DATA=str(test_data))
    assert ran.returncode == 0, ran.stderr
    assert "filled, true curves, 70% load" in ran.stdout


def test_the_simulation_is_measured_without_its_trace_where_there_is_none() -> None:
    ran = benchmarks("--quick", "--only", "simulation", PEAKS_TEST_DATA="")
    assert ran.returncode == 0, ran.stderr
    assert "all of many hosts: CPU" in ran.stdout
    assert "no trace" in ran.stderr


def test_without_measured_servers_the_study_says_what_it_lacks() -> None:
    ran = benchmarks("--quick", "--only", "strategies", PEAKS_TEST_DATA="")
    assert ran.returncode == 1
    assert "PEAKS_TEST_DATA" in ran.stderr
    assert "Traceback" not in ran.stderr
