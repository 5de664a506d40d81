"""Whether a server that fails may be asked again: after ALLOWED failures in a row, only once a pause. Pure.

    closed ── the ALLOWED-th failure ──▶ open ── the pause is over: one request ──▶ trying ── it failed ──▶ open, longer
       ▲                                   │                                           │
       └───────────── any success ─────────┴───────────────────────────────────────────┘

The caller's clock is an argument. Requests that were sent before it opened and fail afterwards change nothing, so that
many at once make no longer pause than one.
"""

from __future__ import annotations

ALLOWED = 3
FIRST_PAUSE = 30.0
"""[s]; each further one is twice as long."""
LONGEST_PAUSE = 600.0


class Circuit:
    """See the module. Times are in seconds, on one monotonic clock."""

    def __init__(self) -> None:
        self._failures, self._pauses, self._until, self._trying = 0, 0, 0.0, False

    def admits(self, now: float) -> bool:
        """May a request be sent now? It is the one that tries, if so and a pause is over."""
        if self._failures < ALLOWED:
            return True
        if now < self._until:
            return False
        # should nobody say what became of it, another one may try after as long a pause
        self._trying, self._until = True, now + self._pause()
        return True

    def failed(self, now: float) -> None:
        """A request failed."""
        if self._failures < ALLOWED:
            self._failures += 1
            self._until = now + self._pause()
        elif self._trying:
            self._pauses, self._trying = self._pauses + 1, False
            self._until = now + self._pause()

    def succeeded(self) -> None:
        """A request was answered."""
        self._failures, self._pauses, self._trying = 0, 0, False

    def _pause(self) -> float:
        return min(FIRST_PAUSE * 2.0 ** min(self._pauses, 10), LONGEST_PAUSE)
