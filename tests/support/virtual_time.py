"""An event loop whose clock jumps: what would take minutes takes milliseconds, and always the same.

``run_virtually(scenario())`` runs a coroutine on a loop that, whenever everything waits, moves its clock to the next
timer instead of sleeping. For code without sockets: what waits for the network would wait for ever, and is told
so.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _JumpingSelector(selectors.SelectSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0  # not 0: a time of 0 must not pass for "never" by accident

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("everything waits and no timer is set: this would hang")
        self.now += max(timeout, 0.0)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """``time()`` starts at 1000 s and moves only when nothing else can be done."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


def run_virtually(scenario: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(scenario)


def now() -> float:
    """Virtual time of the running loop [s]: the ``clock`` to hand to the code under test."""
    return asyncio.get_running_loop().time()
