"""The benchmark that needs the oracle is run once, quickly: it must not rot."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_constraints_are_measured_beside_kube_schedulers_algorithm(tmp_path: Path) -> None:
    results = tmp_path / "results.json"
    argv = [sys.executable, "-m", "benchmarks", "--quick", "--only", "constraints", "--output", str(results)]
    ran = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stderr
    subjects = {figure["name"]: set() for figure in json.loads(results.read_text())["figures"]}
    for figure in json.loads(results.read_text())["figures"]:
        subjects[figure["name"]].add(figure["subject"])
        assert all(value > 0 for value in figure["values"])
    assert subjects["spread, p99"] == subjects["anti-affinity, p99"] == {"peaks", "kube-scheduler"}
