"""Runs on all processors, and what they measured on disk. Equal runs are measured once."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from benchmarks import BenchmarkError

from .runs import Figures, Run


def measured(
    runs: Iterable[Run], say: Callable[[str], None], jobs: int = -1, keep: Callable[[dict[Run, Figures]], object] = len
) -> dict[Run, Figures]:
    """The figures of every run.

    jobs    number of processes; -1: as many as there are processors
    keep    is given what has been measured, now and then and at the end
    """
    from joblib import Parallel, delayed

    todo = list(dict.fromkeys(runs))
    found: dict[Run, Figures] = {}
    begun = time.monotonic()
    for run, figures in Parallel(n_jobs=jobs, return_as="generator_unordered")(delayed(_one)(run) for run in todo):
        found[run] = figures
        if len(found) % 10 == 0:
            left = (time.monotonic() - begun) / len(found) * (len(todo) - len(found))
            say(f"evidence: {len(found)} of {len(todo)} runs, about {left / 60.0:.0f} min left")
            keep(found)
    keep(found)
    return found


def _one(run: Run) -> tuple[Run, Figures]:
    return run, run.measure()


def save(found: dict[Run, Figures], file: Path) -> None:
    """Add to the file what has been measured; what it has of other runs stays."""
    known = _read(file) | {repr(run): figures for run, figures in found.items()}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(dict(sorted(known.items()))), encoding="utf-8")


def kept(runs: Iterable[Run], file: Path) -> dict[Run, Figures]:
    """What the file has of the runs. Raises BenchmarkError where it lacks one."""
    known, wanted = _read(file), list(runs)
    if any(repr(run) not in known for run in wanted):
        raise BenchmarkError("evidence: not every case was measured yet: run it once without --only")
    return {run: known[repr(run)] for run in wanted}


def missing_of(runs: Iterable[Run], file: Path) -> list[Run]:
    """Runs that the file lacks."""
    known = _read(file)
    return [run for run in runs if repr(run) not in known]


def _read(file: Path) -> dict[str, Figures]:
    """Figures by the text of a run."""
    known: dict[str, Figures] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return known
