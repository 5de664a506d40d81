"""Caches a response, so that computing it takes at most a tenth of the time, however many clients ask for it."""

from __future__ import annotations

import asyncio
import math
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
FRESH = 0.1  # [s] that a response is reused, at least
REUSE_FACTOR = 10.0  # a response is reused for so many times the time that it took


@dataclass(frozen=True, slots=True)
class Computed(Generic[T]):
    """The result of one computation; ``tag`` is its name, which no other computation has."""

    value: T
    tag: str


class ResponseCache(Generic[T]):
    """The result of ``work``, or its failure, for all who ask while it runs and for a time afterwards.

    That time is ``fresh`` [s], or ``REUSE_FACTOR`` times the duration of ``work``, if that is longer. Its state belongs
    to one event loop.
    """

    def __init__(self, work: Callable[[], Awaitable[T]], fresh: float = FRESH) -> None:
        self._work, self._fresh = work, fresh
        self._task: asyncio.Task[Computed[T]] | None = None
        self._until = -math.inf
        self._series, self._begun = secrets.token_hex(4), 0

    async def get(self, patience: float) -> Computed[T]:
        """The result. Raises TimeoutError if it takes longer than ``patience`` [s], and whatever ``work`` raises."""
        async with asyncio.timeout(patience):
            return await asyncio.shield(self._current())

    def stop(self) -> None:
        """Cancel ``work`` if it runs. Call it when nobody will ask again."""
        if self._task is not None:
            self._task.cancel()

    def _current(self) -> asyncio.Task[Computed[T]]:
        now = asyncio.get_running_loop().time()
        if self._task is None or (self._task.done() and now >= self._until):
            self._task = asyncio.create_task(self._run(), name="response cache")
            # retrieve the exception: all who asked may have given up
            self._task.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self._task

    async def _run(self) -> Computed[T]:
        now = asyncio.get_running_loop().time
        begun = now()
        self._begun += 1
        tag = f"{self._series}-{self._begun}"
        try:
            return Computed(await self._work(), tag)
        finally:
            self._until = now() + max(self._fresh, REUSE_FACTOR * (now() - begun))
