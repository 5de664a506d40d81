"""Work in several processes: ``each = in_processes()``, then ``each(function, arguments)``.

The results are the same, to the last bit, wherever they are made. Starting processes takes about two seconds, so little
work is done here: a fit takes about 20 ms, for example.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from peaks_scheduler.simulation.beliefs import Each

LEAST = 300
"""Arguments. Of fewer fits this process makes all: the others would hardly be ready before."""


def in_processes(jobs: int | None = None, least: int = LEAST) -> Each:
    """Calls a function on each argument in ``jobs`` processes, results in order; None: as many as there are processors.

    In this process where the arguments are fewer than ``least``, where one process is asked for, and without joblib.
    """

    def each(function: Callable[[Any], Any], arguments: Sequence[Any]) -> Iterable[Any]:
        processes = jobs or processors()
        if processes == 1 or len(arguments) < least:
            return map(function, arguments)
        try:
            from joblib import Parallel, delayed
        except ImportError:
            return map(function, arguments)
        pool = Parallel(n_jobs=processes, backend="loky", return_as="generator")
        found: Iterable[Any] = pool(delayed(function)(each) for each in arguments)
        return found

    return each


def without_joblib(jobs: int | None, count: int) -> str:
    """Why ``count`` arguments are worked on one by one though there are more processors; empty: they are not."""
    if count < 2 or (jobs or processors()) == 1:
        return ""
    try:
        import joblib  # noqa: F401
    except ImportError as error:
        return f"one process works alone: several need joblib, which is not there ({error})"
    return ""


def processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
