"""Runs on all processors, and what they measured on disk. Equal runs are measured once."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from benchmarks import BenchmarkError

from .runs import Figures, Run


def measured(runs: Iterable[Run], say: Callable[[str], None], jobs: int = -1) -> dict[Run, Figures]:
    """The figures of every run. ``jobs`` processes; -1: as many as there are processors."""
    from joblib import Parallel, delayed

    todo = list(dict.fromkeys(runs))
    found: dict[Run, Figures] = {}
    if not todo:
        return found
    begun = time.monotonic()
    for run, figures in Parallel(n_jobs=jobs, return_as="generator_unordered")(delayed(_one)(run) for run in todo):
        found[run] = figures
        left = (time.monotonic() - begun) / len(found) * (len(todo) - len(found))
        if len(found) % 20 == 0:
            say(f"evidence: {len(found)} of {len(todo)} runs, about {left / 60.0:.0f} min left")
    return found


def _one(run: Run) -> tuple[Run, Figures]:
    return run, run.measure()


def save(found: dict[Run, Figures], file: Path) -> None:
    """Add to the file what has been measured; what it has of other runs stays."""
    known = json.loads(file.read_text()) if file.is_file() else {}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(dict(sorted((known | {repr(run): each for run, each in found.items()}).items()))))


def kept(runs: Iterable[Run], file: Path) -> dict[Run, Figures]:
    """What the file has of the runs. Raises BenchmarkError where it lacks one."""
    known = json.loads(file.read_text()) if file.is_file() else {}
    wanted = list(runs)
    if any(repr(run) not in known for run in wanted):
        raise BenchmarkError("evidence: not every case was measured yet: run it once without --only")
    return {run: known[repr(run)] for run in wanted}
