"""Whether a server that fails may be asked again: after ALLOWED failures in a row, only once a pause. Pure.

    closed ── the ALLOWED-th failure ──▶ open ── the pause is over: one request ──▶ trying ── it failed ──▶ open, longer
       ▲                                   │                                           │
       └───────────── any success ─────────┴───────────────────────────────────────────┘

The caller's clock is an argument. Requests that were sent before it opened and fail afterwards change nothing, so that
many at once make no longer pause than one. Where failures have a ``part`` (a model of a server), those of one part
count once until something succeeds: one model that hangs shows nothing about its server.
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
        self._parts: set[str] = set()

    def rests(self, now: float) -> bool:
        """Is it too early for a request?"""
        return self._failures >= ALLOWED and now < self._until

    def admits(self, now: float) -> bool:
        """May a request be sent now? It is the one that tries, if so and a pause is over."""
        if self._failures < ALLOWED:
            return True
        if self.rests(now):
            return False
        # should nobody say what became of it, another one may try after as long a pause
        self._trying, self._until = True, now + self._pause()
        return True

    def failed(self, now: float, part: str | None = None) -> None:
        """A request failed, in this part."""
        if self._failures < ALLOWED:
            if part in self._parts:
                return
            self._parts |= set() if part is None else {part}
            self._failures += 1
            self._until = now + self._pause()
        elif self._trying:
            self._pauses, self._trying = self._pauses + 1, False
            self._until = now + self._pause()

    def succeeded(self) -> None:
        """A request was answered."""
        self._failures, self._pauses, self._trying = 0, 0, False
        self._parts.clear()

    def _pause(self) -> float:
        return min(FIRST_PAUSE * 2.0 ** min(self._pauses, 10), LONGEST_PAUSE)
