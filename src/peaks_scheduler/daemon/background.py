"""An event loop in a thread of its own, for what must not wait for decisions: the Lease, the probes, the watchdog.

Owns the thread. The interpreter switches between threads every few milliseconds, so this one also runs during a long
decision. Code that runs here may read of the scheduler only what is set in one assignment (a number, a flag, a tuple);
for everything else it asks the scheduling loop, with a timeout. Never starts work of its own.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from .daemon_threads import DaemonThreads

T = TypeVar("T")

JOIN = 2.0  # [s] to wait for the thread's end


class BackgroundLoop:
    """The loop, from ``start`` to ``stop``. Create it in the scheduling loop."""

    def __init__(self) -> None:
        self._main = asyncio.get_running_loop()
        self._loop = asyncio.new_event_loop()
        self._loop.set_default_executor(DaemonThreads())
        self._thread = threading.Thread(target=self._run, name="background", daemon=True)

    def start(self) -> None:
        self._thread.start()

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Await ``work`` in the background loop: its result or its error; cancelled together with the caller."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    async def ask(self, question: Callable[[], T], within: float) -> T:
        """The result of ``question()``, called in the scheduling loop; to be used in the background loop. Raises
        TimeoutError without an answer within so many seconds."""
        answer: Future[T] = Future()
        self._main.call_soon_threadsafe(_reply, question, answer)
        async with asyncio.timeout(within):
            return await asyncio.wrap_future(answer)

    def tell(self, message: Callable[..., object], *words: object) -> None:
        """Call ``message(*words)`` in the scheduling loop soon; to be used in the background loop."""
        self._main.call_soon_threadsafe(message, *words)

    async def stop(self) -> None:
        """End the loop and the tasks in it."""
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
