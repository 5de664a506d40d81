"""Runs a module of the benchmarks in a process of its own, and reads the JSON line that it prints."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from benchmarks import ROOT, BenchmarkError


def ask(module: str, *arguments: object, limit: float) -> dict[str, float]:
    """What ``python -m benchmarks.MODULE ARGUMENTS`` measured. Raises BenchmarkError if it does not end well within
    ``limit`` [s]."""
    argv = (sys.executable, "-m", f"benchmarks.{module}", *(str(each) for each in arguments))
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    try:
        done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=limit, check=True)
        return dict(json.loads(done.stdout))
    except (subprocess.SubprocessError, ValueError) as error:
        said = getattr(error, "stderr", None) or ""
        raise BenchmarkError(f"{' '.join(argv[2:])}: the probe did not finish:\n{error}\n{said[-2000:]}") from error
