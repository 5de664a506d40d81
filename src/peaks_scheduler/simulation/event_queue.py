"""Events in order of time. Events of one time come in the order of ``Kind``, then in that of their entry. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from enum import IntEnum

What = Callable[[], None]


class Kind(IntEnum):
    """What happens; of one time, in this order."""

    END = 0
    NODE_BACK = 1
    NODE_FAILS = 2
    USE = 3
    RETRY = 4
    ARRIVAL = 5
    BATCH = 6


class EventQueue:
    """What is still to come."""

    def __init__(self) -> None:
        self._events: list[tuple[float, int, int, What]] = []
        self._entered = 0

    def __bool__(self) -> bool:
        return bool(self._events)

    def enter(self, time: float, kind: Kind, what: What) -> None:
        """``what`` happens at ``time`` [s]."""
        self._entered += 1
        heapq.heappush(self._events, (time, kind, self._entered, what))

    def next(self) -> tuple[float, What]:
        """The next event, which is taken out."""
        time, _, _, what = heapq.heappop(self._events)
        return time, what
