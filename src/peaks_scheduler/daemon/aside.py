"""An event loop in a thread of its own, for what must not wait for decisions: the Lease, the probes, the watchdog.

Owns the thread. The interpreter passes from one thread to another every few milliseconds, so a decision of any length
leaves it its turns. What runs here may read of the scheduler only what is one assignment (a number, a flag, a tuple);
all else it asks the deciding loop for, with a limit to its patience. Never runs anything of its own accord.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")

JOIN = 2.0  # [s] for the thread to end: one that does not is no reason to stay


class Aside:
    """The loop, from ``start`` to ``stop``; made in the loop that it stands beside."""

    def __init__(self) -> None:
        self._main = asyncio.get_running_loop()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="aside", daemon=True)

    def start(self) -> None:
        self._thread.start()

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """``await work`` over there, from here: its result or its error, and cancelled with us."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    async def ask(self, question: Callable[[], T], within: float) -> T:
        """``question()`` in the deciding loop, from over there. Raises TimeoutError where it is not answered in time,
        within [s]."""
        answer: Future[T] = Future()
        self._main.call_soon_threadsafe(_reply, question, answer)
        async with asyncio.timeout(within):
            return await asyncio.wrap_future(answer)

    def tell(self, message: Callable[..., object], *words: object) -> None:
        """Have the deciding loop call ``message(*words)``, from over there."""
        self._main.call_soon_threadsafe(message, *words)

    async def stop(self) -> None:
        """End the loop and what still runs in it."""
        if not self._thread.is_alive():
            self._loop.close()
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        await asyncio.to_thread(self._thread.join, JOIN)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            left = asyncio.all_tasks(self._loop)
            for task in left:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._loop.close()


def _reply(question: Callable[[], T], answer: Future[T]) -> None:
    if not answer.set_running_or_notify_cancel():
        return  # nobody waits for it any more
    try:
        answer.set_result(question())
    except Exception as error:
        answer.set_exception(error)
