"""scheduler_perf's figure: the mean of the rates of one-second intervals. Pure.

Their collector looks at the number of bound pods once a second. It waits for the first bound pod, skips that sample,
and then gives the rate since the sample before. An interval without a Binding counts with the next one that has some,
as often as it lasted seconds. Here the same is computed from the times of the Bindings.
"""

from __future__ import annotations

import bisect
import statistics
from collections.abc import Sequence

INTERVAL = 1.0  # [s]


def samples(bound: Sequence[float], begun: float, ended: float) -> list[float]:
    """Rates [pods/s] as their collector would record them.

    ``bound``: times of the Bindings in order [s]; looked at every second from ``begun`` to ``ended``.
    """
    rates: list[float] = []
    last: int | None = None
    skipped = 0
    for tick in range(1, int((ended - begun) / INTERVAL + 1e-9) + 1):
        now = bisect.bisect_right(bound, begun + tick * INTERVAL)
        if now == 0:
            continue
        if last is None:
            last = now
        elif now == last:
            skipped += 1
        else:
            rates += [(now - last) / (INTERVAL * (skipped + 1))] * (skipped + 1)
            last, skipped = now, 0
    return rates


def average(bound: Sequence[float], begun: float, ended: float) -> float | None:
    """Their average [pods/s]; None if all was over before a second sample."""
    rates = samples(bound, begun, ended)
    return statistics.fmean(rates) if rates else None


def first_to_last(bound: Sequence[float]) -> float | None:
    """Pods per second from the first Binding to the last; None for fewer than two."""
    if len(bound) < 2 or bound[-1] <= bound[0]:
        return None
    return (len(bound) - 1) / (bound[-1] - bound[0])
