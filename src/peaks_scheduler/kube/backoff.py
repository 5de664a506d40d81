"""Pauses between tries that fail: they grow, and begin anew after a while without a failure.

Owns no task and no sleep. Jitter keeps the many that lost the same server from asking again at the same instant.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable


class Backoff:
    """See the module.

    Args:
        first: [s] the pause after a first failure; doubled after each further one.
        longest: [s] it is never longer, jitter aside.
        calm: [s] without a failure after which the next pause is the first again.
        clock: monotonic seconds.
        jitter: from 0 to 1; a pause is multiplied by half to one and a half.
    """

    def __init__(
        self,
        first: float = 0.2,
        longest: float = 10.0,
        calm: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._first, self._longest, self._calm, self._clock, self._jitter = first, longest, calm, clock, jitter
        self._pause, self._until = first, clock()

    def pause(self, least: float = 0.0) -> float:
        """[s] to wait after a failure just now; at least ``least``, as a server may ask for."""
        now = self._clock()
        if now - self._until > self._calm:
            self._pause = self._first
        pause = max(least, self._pause * (0.5 + self._jitter()))
        self._pause = min(self._pause * 2.0, self._longest)
        self._until = now + pause
        return pause
