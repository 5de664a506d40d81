"""The one thread in which answers are read, so that no pod waits for it.

One, whatever is asked: a thread that works holds the interpreter for 5 ms at a time, and the event loop would wait for
each of several in turn. Assumes work that makes no single call that takes long: nobody can take the interpreter from
one. Never does anything that is short.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

_THREAD = ThreadPoolExecutor(1, "answers")


async def off_loop(work: Callable[[], T]) -> T:
    """What ``work`` gives, and whatever it raises."""
    return await asyncio.get_running_loop().run_in_executor(_THREAD, work)
