"""Parse large answers in a thread, so that the event loop goes on and no pod waits.

All work shares one thread: a busy thread holds the interpreter for 5 ms at a time, and with several threads the event
loop would wait for each of them in turn. Assumes that the work makes no single long call, because Python cannot
interrupt one.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

_THREAD = ThreadPoolExecutor(1, "answers")


async def off_loop(work: Callable[[], T]) -> T:
    """The result of ``work``, done in the thread. Raises what it raises."""
    return await asyncio.get_running_loop().run_in_executor(_THREAD, work)
