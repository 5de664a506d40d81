"""The scheduler as ever, and on a signal a line about what it holds: for the soaks, never part of the package.

Owns that line, appended to the file that SOAK_FILE names. Starts the daemon by its own command line. SIGUSR1 asks for
all of it: garbage is collected before objects are counted, after memory was read: what counts is what somebody still
holds. SIGUSR2 asks for the numbers that cost nothing, and leaves the garbage alone. With SOAK_TRACE the whole line also
says where the growth of memory was allocated, which slows everything down.

    SOAK_FILE=samples.jsonl python -m tests.soak.inside run --config config.yaml
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import os
import signal
import sys
import tracemalloc
from collections import Counter
from typing import Any

from peaks_scheduler.cli import main

TOP = 25
_first: list[tracemalloc.Snapshot] = []


_MALLINFO = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"


class _Mallinfo(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in _MALLINFO.split()]


def malloc() -> dict[str, int]:
    """[bytes] what glibc's allocator gave out, and what it holds without use; empty where it is another allocator."""
    try:
        ask = ctypes.CDLL(None).mallinfo2
    except AttributeError:
        return {}
    ask.restype = _Mallinfo
    told = ask()
    return {"given": told.uordblks + told.hblkhd, "free": told.fordblks}


def objects() -> Counter[str]:
    """Objects that the collector knows, by type."""
    return Counter(f"{type(each).__module__}.{type(each).__qualname__}" for each in gc.get_objects())


def grown() -> list[str]:
    """Where what has been added since the first time was allocated."""
    if not tracemalloc.is_tracing():
        return []
    now = tracemalloc.take_snapshot()
    _first[:] = _first or [now]
    return [*map(str, now.compare_to(_first[0], "lineno")[:TOP]), *errors()]


def errors() -> list[str]:
    """Exceptions that somebody still holds, and who."""
    held = [each for each in gc.get_objects() if isinstance(each, BaseException)]
    return [f"{each!r:.80} by {[type(who).__name__ for who in gc.get_referrers(each)][:6]}" for each in held[:40]]


def tell(number: int, _frame: object) -> None:
    """Append the line."""
    said: dict[str, Any] = {"blocks": sys.getallocatedblocks(), "malloc": malloc(), "tasks": len(asyncio.all_tasks())}
    said |= whole() if number == signal.SIGUSR1 else {"objects": {}}
    with open(os.environ["SOAK_FILE"], "a", encoding="utf-8") as file:
        file.write(json.dumps(said) + "\n")


def whole() -> dict[str, Any]:
    """What takes a moment: all objects that somebody holds."""
    gc.collect()
    return {"objects": objects(), "grown": grown()}


if __name__ == "__main__":
    if os.environ.get("SOAK_TRACE"):
        tracemalloc.start()
    signal.signal(signal.SIGUSR1, tell)
    signal.signal(signal.SIGUSR2, tell)
    main()
