"""Since when has the API server answered no request, and why?

Owns the time of the first failed request since the last answered one. Every HTTP status counts as an answer, a conflict
and a missing right included, except 401 and 5xx: a scheduler that receives only these can bind no pod. Assumes that
requests are sent all the time; broken watches do so. Never sends a request itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable

UNAUTHORIZED = 401
MOST_WORDS = 300  # [characters] of the reason


class Reachability:
    """Whether our requests are answered. ``clock``: monotonic [s]."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since: float | None = None
        self._why = ""

    @property
    def failing_for(self) -> float:
        """Time since the first failed request after the last answered one [s]; 0 if the last one was answered."""
        return 0.0 if self._since is None else self._clock() - self._since

    @property
    def why(self) -> str:
        """Why the last failed request failed."""
        return self._why

    def answered(self, status: int) -> None:
        """Note that a request was answered with this HTTP status."""
        if status >= 500:
            self.failed(f"it answers {status}")
        elif status == UNAUTHORIZED:
            self.failed("it refuses our credentials (401)")
        else:
            self._since = None

    def failed(self, why: str) -> None:
        """Note that a request was not answered."""
        self._why = why[:MOST_WORDS]
        if self._since is None:
            self._since = self._clock()
