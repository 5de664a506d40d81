"""True CPU use of the nodes over time, and the averages of it that a load source reports.

Owns what runs where at this moment. Averages are asked for seldom and late, so only the points are kept from which the
use at the recent report times follows. Pure.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

import numpy as np

from peaks_scheduler.arrays import Floats

from .case import LoadView


class TrueUse:
    """Use of N nodes.

    Args:
        capacity: (N,) [cores] of the nodes.
        view: when reports are due, and what they average.
    """

    def __init__(self, capacity: Sequence[float], view: LoadView) -> None:
        self._capacity = np.array(capacity, np.float64)
        self._interval = view.interval_s
        self._window = view.window_s
        self._kept = view.window_s + view.delay_s + 2 * view.interval_s + _longest(view)
        self._demand = np.zeros(len(capacity))
        self._used = np.zeros(len(capacity))  # [core s] until ``_since``
        self._since = np.zeros(len(capacity))  # [s]
        self._now = 0.0
        self._points: deque[tuple[float, Floats, Floats]] = deque()  # time, [core s] used until then, [cores] from then

    def add(self, i: int, cores: float, now: float) -> None:
        """Node i's pods want so many cores more (or fewer) from ``now`` on."""
        self._used[i] += self._in_use(i) * (now - self._since[i])
        self._since[i] = now
        demand = self._demand[i] + cores
        # what is left of sums of decimals is no use
        self._demand[i] = demand if demand > 1e-9 else 0.0

    def share(self, i: int) -> float:
        """Use of node i now, a fraction of its CPUs."""
        return self._in_use(i) / float(self._capacity[i])

    def _in_use(self, i: int) -> float:
        return min(float(self._demand[i]), float(self._capacity[i]))

    def advance(self, now: float) -> None:
        """Let time pass, before anything changes at ``now``."""
        if self._interval and (self._passes(now, 0.0) or self._passes(now, self._window)):
            in_use = np.minimum(self._demand, self._capacity)
            self._points.append((self._now, self._used + in_use * (self._now - self._since), in_use))
            while len(self._points) > 1 and self._points[1][0] <= now - self._kept:
                self._points.popleft()
        self._now = now

    def _passes(self, now: float, after: float) -> bool:
        """Does a time lie between the last and ``now`` that is so long before a report's?"""
        return math.floor((now + after) / self._interval) > math.floor((self._now + after) / self._interval)

    def averages(self, number: int) -> tuple[Floats, float, float]:
        """Report ``number``: (N,) mean use as a fraction, and from when to when [s] it covers.

        Before the start nothing ran.
        """
        end = number * self._interval
        start = end - self._window
        if not self._window:
            return self._at(end)[1] / self._capacity, end, end
        mean = (self._at(end)[0] - self._at(start)[0]) / self._window / self._capacity
        return np.maximum(mean, 0.0), start, end

    def _at(self, time: float) -> tuple[Floats, Floats]:
        """(N,) [core s] used until a time at which a window begins or ends, and (N,) [cores] in use then."""
        for when, used, in_use in reversed(self._points):
            if when <= time:
                return used + in_use * (time - when), in_use
        return np.zeros(len(self._capacity)), np.zeros(len(self._capacity))


def _longest(view: LoadView) -> float:
    """[s] the longest time without a report: gaps between which none is due are one."""
    longest = begun = ended = 0.0
    for start, end in sorted(view.gaps):
        if start > ended + view.interval_s:
            begun = start
        ended = max(ended, end)
        longest = max(longest, ended - begun)
    return longest
