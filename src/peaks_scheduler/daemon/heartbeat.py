"""Heartbeat of the scheduling loop: is it running, and which pod is it deciding about?

Owns two facts that one thread writes and others read: the time of the last beat, and the decision under way. The
probes, the Lease and the watchdog judge by them. A signal that ends the process interrupts the decision under way,
which has had no effect yet. Never stops anything else.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

logger = logging.getLogger(__name__)

SLOW = 1.0  # [s] a longer decision is logged
STALLED = 5.0  # [s] a longer silence of the loop is logged
DEAD = 120.0  # [s] after a longer silence liveness fails, and the Lease goes to a standby
LOOK = 0.25  # [s] between two looks of the watchdog


class Interrupted(BaseException):
    """The process ends: the decision under way is interrupted."""


class Heartbeat:
    """See the module. Only the scheduling thread may create it, beat and decide; ``clock`` is monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last_beat = clock()
        self._deciding: tuple[str, float] | None = None
        self._logged: object = None

    def beat(self) -> None:
        """The loop is running."""
        self._last_beat = self._clock()

    @property
    def silent(self) -> float:
        """[s] since the last beat."""
        return max(0.0, self._clock() - self._last_beat)

    @property
    def alive(self) -> bool:
        """Is the loop running? If it is stuck, the process must not keep the Lease from a standby."""
        return self.silent < DEAD

    @property
    def deciding(self) -> tuple[str, float] | None:
        """The pod (namespace/name) of the decision under way and its duration so far [s]; None: there is none."""
        now = self._deciding
        return None if now is None else (now[0], self._clock() - now[1])

    def decide(self, pod: str, decision: Callable[[], T]) -> T:
        """The result of ``decision()``, which is about ``pod``. Raises Interrupted if the process ends meanwhile."""
        self._deciding = pod, self._clock()
        try:
            return decision()
        finally:
            self._deciding = None

    def interrupt(self) -> None:
        """Raise Interrupted within a decision. For a signal handler, which runs in the scheduling thread."""
        if self._deciding is not None:
            raise Interrupted

    def trouble(self) -> str:
        """Why the loop is late, in words; empty if it is not."""
        deciding = self.deciding
        if deciding is not None and deciding[1] >= SLOW:
            return f"deciding about {deciding[0]} for {deciding[1]:.0f} s"
        return f"busy for {self.silent:.0f} s" if self.silent >= STALLED else ""

    # -- the watchdog, in another thread

    async def watch(self, thread: int) -> None:
        """Log each long decision and each stall once, until cancelled. ``thread``: ident of the scheduling thread."""
        while True:
            self._look(thread)
            await asyncio.sleep(LOOK)

    def _look(self, thread: int) -> None:
        running = self._deciding
        slow = running is not None and self._clock() - running[1] >= SLOW
        trouble: object = running if slow else self._last_beat if self.silent >= STALLED else None
        if trouble is not None and trouble != self._logged:
            if slow and running is not None:
                logger.warning("a decision takes long", extra={"pod": running[0], "seconds": SLOW})
            else:
                logger.warning("the scheduling loop stands still", extra={"seconds": STALLED, "at": _where(thread)})
        self._logged = trouble


def _where(thread: int) -> str:
    """Module and line that the thread runs now."""
    frame = sys._current_frames().get(thread)
    return "" if frame is None else f"{frame.f_globals.get('__name__', '?')}:{frame.f_lineno}"
