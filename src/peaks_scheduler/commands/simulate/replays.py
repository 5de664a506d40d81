"""Replays and measures the cases of one simulation, several at a time. The results do not depend on how many."""

from __future__ import annotations

from collections.abc import Sequence

from peaks_scheduler.simulation.case import Case, Replay
from peaks_scheduler.simulation.energy import measure
from peaks_scheduler.simulation.measurement import Measurement
from peaks_scheduler.simulation.replay import Progress, replay
from peaks_scheduler.text.progress import ProgressBar

from .processes import in_processes

Result = tuple[Replay, Measurement]
MOST_LINES = 10
"""Lines that say how far it is, where no terminal shows a bar."""


def replayed(cases: Sequence[Case], price: float | None, jobs: int | None) -> list[Result]:
    """The result of every case, in their order. ``jobs``: processes at most; None: one for each processor."""
    if len(cases) == 1:
        return [_alone(cases[0], price)]
    results: list[Result] = []
    with ProgressBar("cases", lines=min(len(cases), MOST_LINES)) as progress:
        progress.update(0, len(cases))  # on a terminal something is to be seen at once
        for result in in_processes(jobs, least=2)(_measured, [(case, price) for case in cases]):
            results.append(result)
            progress.update(len(results), len(cases))
    return results


def _alone(case: Case, price: float | None) -> Result:
    with ProgressBar(case.strategy, lines=4, least=2) as progress:
        return _measured((case, price), progress.update)


def _measured(what: tuple[Case, float | None], progress: Progress | None = None) -> Result:
    case, price = what
    done = replay(case, progress)
    return done, measure(done, price)
