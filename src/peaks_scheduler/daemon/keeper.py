"""A keeper: one source of facts, with its tasks, health checks and gauges.

A new source of facts is one class that derives from ``Keeper`` and one line in ``wiring.KEEPERS``. Each method may be
left out. A keeper never stops the scheduling: it says what is wrong in its checks, and its tasks never end by
themselves (a task that ends ends the process).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, Protocol

from peaks_scheduler.observability.gauge import Gauge
from peaks_scheduler.observability.serving import Check

Tasks = Mapping[str, Coroutine[Any, Any, None]]


class Keeper(Protocol):
    """See the module. ``checks`` and ``gauges`` are asked for once, what they name at every probe and scrape."""

    def tasks(self) -> Tasks:
        """Name -> what runs until it is cancelled, from before the watches start to the end of the process."""
        return {}

    def checks(self) -> Sequence[Check]:
        """What ``/readyz`` asks, in the scheduling loop."""
        return ()

    def gauges(self) -> Sequence[Gauge]:
        """What ``/metrics`` shows, read in the scheduling loop."""
        return ()

    async def aclose(self) -> None:
        """Close connections, after the tasks have ended."""
        return


async def whole(work: Awaitable[object]) -> None:
    """Wait for ``work``; where a task that it waits for is cancelled, it is given up and nothing is raised.

    kopf, ending, cancels every task that is younger than itself, those of a keeper's questions among them. The keeper
    itself must not end by that: it asks again.
    """
    try:
        await work
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise


async def every(seconds: float, work: Callable[[], object]) -> None:
    """Call ``work`` every so many seconds until cancelled."""
    while True:
        await asyncio.sleep(seconds)
        work()
