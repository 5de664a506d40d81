"""Limits how many bindings are in flight, by additive increase and multiplicative decrease.

Owns the limit and the queue of waiting tasks. A 429 (``throttled``) halves the limit and holds all new turns back until
the server's Retry-After has passed, ten seconds at most. A burst of 429s halves it once. As many successes as the limit
raise it by one, up to the maximum. Assumes one event loop. Sends nothing itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType

from peaks_scheduler.errors import TooManyRequests

from .http.response_limits import LONGEST_WAIT

MAXIMUM = 64  # a kube-apiserver with two cores binds no faster with more in flight
LEAST_HOLD = 0.1  # [s] the 429s of one burst arrive within it, and halve the limit once


class Limiter:
    """``async with limiter:`` waits for a turn; turns are given in order of asking.

    A block that ends without an error counts as a success, one that ends with TooManyRequests as ``throttled``.
    """

    def __init__(
        self,
        maximum: int = MAXIMUM,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._maximum, self._clock = maximum, clock
        self._limit, self._in_flight, self._successes = maximum, 0, 0
        self._held_until = float("-inf")
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._resuming = False

    @property
    def limit(self) -> int:
        """Turns that may be taken at the same time."""
        return self._limit

    @property
    def in_flight(self) -> int:
        return self._in_flight

    def throttled(self, retry_after: float) -> None:
        """Halve the limit and give no turn for ``retry_after`` [s], as the server asked."""
        now, wait = self._clock(), LEAST_HOLD if math.isnan(retry_after) else retry_after
        if now >= self._held_until:
            self._limit = max(1, self._limit // 2)
        self._successes = 0
        self._held_until = max(self._held_until, now + min(max(wait, LEAST_HOLD), LONGEST_WAIT))
        if not self._resuming:
            self._resuming = True
            self._resume()

    async def __aenter__(self) -> None:
        if not self._waiting and self._open():
            self._in_flight += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._give_back()  # the turn was given at the same moment
            with contextlib.suppress(ValueError):
                self._waiting.remove(turn)  # later tasks must not wait behind a cancelled one
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, TooManyRequests):
            self.throttled(error.retry_after)
        elif error is None:
            self._succeeded()
        self._give_back()

    def _open(self) -> bool:
        return self._in_flight < self._limit and self._clock() >= self._held_until

    def _succeeded(self) -> None:
        self._successes += 1
        if self._successes >= self._limit:
            self._successes = 0
            self._limit = min(self._limit + 1, self._maximum)

    def _give_back(self) -> None:
        self._in_flight -= 1
        self._hand_out()

    def _hand_out(self) -> None:
        while self._waiting and self._open():
            turn = self._waiting.popleft()
            if not turn.done():
                self._in_flight += 1
                turn.set_result(None)

    def _resume(self) -> None:
        """Give turns again when the hold is over. Uses a timer, not a task: kopf cancels every task when it stops."""
        wait = self._held_until - self._clock()
        if wait > 0:
            asyncio.get_running_loop().call_later(wait, self._resume)
            return
        self._resuming = False
        self._hand_out()
