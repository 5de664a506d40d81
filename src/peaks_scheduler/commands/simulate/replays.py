"""Replays and measures the cases of one simulation, several at a time. The results do not depend on how many."""

from __future__ import annotations

from collections.abc import Sequence

from peaks_scheduler.simulation.case import Case, Replay
from peaks_scheduler.simulation.energy import measure
from peaks_scheduler.simulation.measurement import Measurement
from peaks_scheduler.simulation.replay import Progress, replay
from peaks_scheduler.text.progress import ProgressBar

from .processes import in_processes, processors

Result = tuple[Replay, Measurement]


def replayed(cases: Sequence[Case], price: float | None, jobs: int | None) -> list[Result]:
    """The result of every case, in their order. ``jobs``: processes at most; None: one for each processor."""
    many = min(jobs or processors(), len(cases))
    if many <= 1:
        return [_alone(case, price) for case in cases]
    results: dict[int, Result] = {}
    with ProgressBar("cases", lines=len(cases)) as progress:
        for place, result in in_processes(_measured, [(case, price) for case in cases], many):
            results[place] = result
            progress.update(len(results), len(cases))
    return [results[place] for place in range(len(cases))]


def _alone(case: Case, price: float | None) -> Result:
    with ProgressBar(case.strategy, lines=4, least=2) as progress:
        return _measured((case, price), progress.update)


def _measured(what: tuple[Case, float | None], progress: Progress | None = None) -> Result:
    case, price = what
    done = replay(case, progress)
    return done, measure(done, price)
