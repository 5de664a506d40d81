"""Threads that the end of the process does not wait for.

asyncio calls what blocks, name lookups above all, in threads of its default executor, and Python waits for these when
it ends: a name server that does not answer holds one for 20 s, longer than a pod has to end. Each call has a thread of
its own, and keeps it when nobody waits for it any more.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class DaemonThreads(ThreadPoolExecutor):
    """An executor with a daemon thread for each call; for ``loop.set_default_executor``."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call ``fn`` in a new thread. Raises RuntimeError where none can be started."""
        future: Future[T] = Future()
        call = partial(fn, *args, **kwargs)
        threading.Thread(target=_run, args=(call, future), name="blocking call", daemon=True).start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Waits for nothing."""


def _run(call: Callable[[], Any], future: Future[Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(call())
    except BaseException as error:
        future.set_exception(error)
