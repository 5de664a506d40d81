"""What the deciding loop is at, for those who look at it from outside: is it turning, and whom is it deciding about?

Owns two facts that one thread writes and others read: when the loop last came round, and the decision under way. The
probes, the Lease and the watchdog judge by it. A signal that asks the process to end breaks off the decision under
way: nothing of it has taken effect yet. Never stops anything else.
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

SLOW = 1.0  # [s] a decision that takes longer is named
STALLED = 5.0  # [s] a loop that does not come round for anything else is named
DEAD = 120.0  # [s] silent this long: liveness fails, and the Lease goes to a standby
LOOK = 0.25  # [s] between two looks of the watchdog


class Interrupted(BaseException):
    """The process is to end: the decision under way is broken off."""


class Pulse:
    """See the module. Made, beaten and asked to decide by the deciding thread; ``clock`` is monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._beaten = clock()
        self._deciding: tuple[str, float] | None = None
        self._told: object = None

    def beat(self) -> None:
        """The loop came round."""
        self._beaten = self._clock()

    @property
    def silent(self) -> float:
        """[s] since the loop last came round."""
        return max(0.0, self._clock() - self._beaten)

    @property
    def alive(self) -> bool:
        """Is it worth while to hold the Lease? A process whose loop is stuck for good must not keep a standby out."""
        return self.silent < DEAD

    @property
    def deciding(self) -> tuple[str, float] | None:
        """The pod (namespace/name) that is being decided about and for how long [s]; None: none is."""
        now = self._deciding
        return None if now is None else (now[0], self._clock() - now[1])

    def decide(self, pod: str, decision: Callable[[], T]) -> T:
        """``decision()``, known to be about ``pod`` while it lasts. Raises Interrupted where the process is to end."""
        self._deciding = pod, self._clock()
        try:
            return decision()
        finally:
            self._deciding = None

    def interrupt(self) -> None:
        """Call it from a signal handler, which runs in the deciding thread. Raises Interrupted within a decision."""
        if self._deciding is not None:
            raise Interrupted

    def words(self) -> str:
        """What keeps the loop; empty where nothing does."""
        deciding = self.deciding
        if deciding is not None and deciding[1] >= SLOW:
            return f"deciding about {deciding[0]} for {deciding[1]:.0f} s"
        return f"busy for {self.silent:.0f} s" if self.silent >= STALLED else ""

    # -- the watchdog, in another thread

    async def watch(self, thread: int) -> None:
        """Name each long decision and each standstill once, until cancelled. ``thread`` is the deciding one's ident."""
        while True:
            self._look(thread)
            await asyncio.sleep(LOOK)

    def _look(self, thread: int) -> None:
        running = self._deciding
        slow = running is not None and self._clock() - running[1] >= SLOW
        trouble: object = running if slow else self._beaten if self.silent >= STALLED else None
        if trouble is not None and trouble != self._told:
            if slow and running is not None:
                logger.warning("a decision takes long", extra={"pod": running[0], "seconds": SLOW})
            else:
                logger.warning("the scheduling loop stands still", extra={"seconds": STALLED, "at": _where(thread)})
        self._told = trouble


def _where(thread: int) -> str:
    """Module and line that the thread executes."""
    frame = sys._current_frames().get(thread)
    return "" if frame is None else f"{frame.f_globals.get('__name__', '?')}:{frame.f_lineno}"
