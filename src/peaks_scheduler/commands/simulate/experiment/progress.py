"""Progress of an experiment on standard error, with an estimate of what is left."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from peaks_scheduler.text.terminal import say

_EVERY_S, _EVERY_S_ON_TERMINAL = 30.0, 2.0


def estimate(done: int, total: int, elapsed: float) -> str:
    """How long the rest takes, in words, if runs go on as fast as those of the ``elapsed`` [s]; empty if unknown."""
    if done == 0 or done >= total:
        return ""
    left = elapsed / done * (total - done)
    for unit, seconds in (("h", 3600.0), ("min", 60.0)):
        if left >= 1.5 * seconds:
            return f", about {left / seconds:.0f} {unit} left"
    return f", about {left:.0f} s left"


class RunProgress:
    """Says how many runs are finished: after the first, then every half minute, and at the end."""

    def __init__(self, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._total, self._clock = total, clock
        self._start, self._said = clock(), -_EVERY_S
        self._done = 0

    def one_more(self) -> None:
        """Another run is finished."""
        self._done += 1
        elapsed = self._clock() - self._start
        every = _EVERY_S_ON_TERMINAL if sys.stderr.isatty() else _EVERY_S
        if self._done == self._total or elapsed - self._said >= every:
            self._said = elapsed
            say(f"run {self._done} of {self._total}{estimate(self._done, self._total, elapsed)}")
