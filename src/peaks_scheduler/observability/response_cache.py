"""An answer that takes at most a tenth of the time to work out, however many ask for it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")
FRESH = 0.1  # [s]
REST = 10.0  # times as long as an answer took it is not worked out again


class ResponseCache(Generic[T]):
    """What ``work`` gives, to all who ask while it works and for a while afterwards; failures as well.

    The while is ``fresh`` [s], and longer where the work took long. Its state belongs to the event loop on which it is
    asked.
    """

    def __init__(self, work: Callable[[], Awaitable[T]], fresh: float = FRESH) -> None:
        self._work, self._fresh = work, fresh
        self._task: asyncio.Task[T] | None = None
        self._until = -math.inf

    async def get(self, patience: float) -> T:
        """Raises TimeoutError where it takes longer than ``patience`` [s], and whatever ``work`` raises."""
        async with asyncio.timeout(patience):
            return await asyncio.shield(self._current())

    def stop(self) -> None:
        """Nobody will ask again."""
        if self._task is not None:
            self._task.cancel()

    def _current(self) -> asyncio.Task[T]:
        now = asyncio.get_running_loop().time()
        if self._task is None or (self._task.done() and now >= self._until):
            self._task = asyncio.create_task(self._done(), name="shared answer")
            self._task.add_done_callback(
                lambda task: task.cancelled() or task.exception()
            )  # those who asked may be gone
        return self._task

    async def _done(self) -> T:
        now = asyncio.get_running_loop().time
        begun = now()
        try:
            return await self._work()
        finally:
            self._until = now() + max(self._fresh, REST * (now() - begun))
