"""A scheduler that tells what it holds, and how it is asked: for this soak and for the one of the benchmarks.

Owns the file that the process appends its lines to, and the two signals: one asks for a whole sample, for which the
process collects garbage and counts its objects, the other for a light one. Assumes ``inside.py`` as its program.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from tests.e2e.support.daemon import Daemon
from tests.e2e.support.processes import wait_until

from .samples import Sample, sample

ROOT = Path(__file__).resolve().parents[2]
WHOLE, LIGHT = signal.SIGUSR1, signal.SIGUSR2


class Watched(Daemon):
    """A daemon that tells what it holds."""

    program = (sys.executable, "-m", "tests.soak.inside")

    def __init__(self, folder: Path, kubeconfig: Path, **more: Any) -> None:
        self._lines = folder / "samples.jsonl"
        self._lines.touch()
        env = {"SOAK_FILE": str(self._lines), "SOAK_TRACE": os.environ.get("SOAK_TRACE", ""), "PYTHONPATH": str(ROOT)}
        super().__init__(folder, kubeconfig, **more, env=env)

    def look(self, minute: float, pods: int, which: signal.Signals = WHOLE) -> Sample:
        """A sample of now. ``minute`` and ``pods``: for how long, and how many pods have come and gone."""
        before = len(self._written())
        os.kill(self.pid, which)
        wait_until(lambda: len(self._written()) > before, "the daemon's own sample", timeout=60.0)
        return sample(minute, self.pid, self._written()[-1], pods)

    def _written(self) -> list[str]:
        """Whole lines only."""
        return self._lines.read_text(encoding="utf-8").split("\n")[:-1]
