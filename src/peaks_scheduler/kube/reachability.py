"""Does the API server answer us at all, and if not, since when and why?

Owns the time of the first request of ours that failed with none answered since. An answer is anything that the server
says to somebody whom it knows: a conflict, a missing right. A 401 or a 5xx is none: with nothing else nothing is bound.
Assumes that somebody asks all the time, as the watches do once they are broken. Never asks by itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable

UNAUTHORIZED = 401
MOST_WORDS = 300  # characters of the reason


class Reachability:
    """See the module. ``clock`` is monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since: float | None = None
        self._why = ""

    @property
    def failing_for(self) -> float:
        """[s] since the first request that failed with none answered since; 0: the last one was answered."""
        return 0.0 if self._since is None else self._clock() - self._since

    @property
    def why(self) -> str:
        """What became of the last request that failed."""
        return self._why

    def answered(self, status: int) -> None:
        """A request was answered with this HTTP status."""
        if status >= 500:
            self.failed(f"it answers {status}")
        elif status == UNAUTHORIZED:
            self.failed("it refuses our credentials (401)")
        else:
            self._since = None

    def failed(self, why: str) -> None:
        """A request was not answered."""
        self._why = why[:MOST_WORDS]
        if self._since is None:
            self._since = self._clock()
