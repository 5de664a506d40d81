"""A question in parts: many rows to one model, several requests at once, one answer.

Owns that the parts are answered by one version of the model, that the first failure ends the whole question, that at
most AT_ONCE requests are under way, and that the event loop goes on between large ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import numpy as np

from peaks_scheduler.arrays import Floats
from peaks_scheduler.errors import PredictorError

from .connection import AT_ONCE
from .predictor import Prediction

Ask = Callable[[Floats], Awaitable[Prediction]]
_LARGE = 500  # rows: fewer take less time than the event loop needs for a turn


async def in_parts(rows: Floats, size: int, ask: Ask, where: str) -> Prediction:
    """The answer to (M, C) rows, of which ``ask`` takes ``size`` at a time.

    Raises what ``ask`` raises, and PredictorError of kind version if the parts' versions differ.
    """
    parts = [rows[first : first + size] for first in range(0, len(rows), size)]
    answers: list[Prediction] = [Prediction(rows[:0, 0])] * len(parts)
    await _work(iter(range(len(parts))), parts, answers, ask)
    versions = sorted({each.version for each in answers})
    if len(versions) > 1:
        changed = f"{where}: its version changed while it was asked ({', '.join(versions)})"
        raise PredictorError("version", f"{changed}: the next round asks anew")
    return Prediction(np.concatenate([each.watts for each in answers]), versions[0])


async def _work(todo: Iterator[int], parts: list[Floats], answers: list[Prediction], ask: Ask) -> None:
    async def worker() -> None:
        for i in todo:
            answers[i] = await ask(parts[i])

    workers = [asyncio.create_task(worker()) for _ in range(min(AT_ONCE, len(parts)))]
    try:
        await asyncio.gather(*workers)
    finally:
        for each in workers:
            each.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


class Turns:
    """Large parts are encoded one at a time, each in a turn of its own of the event loop: several at once would be
    encoded one right after the other, and a decision would wait for all of them."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    async def encode(self, rows: Floats, encoded: Callable[[Floats], bytes]) -> bytes:
        """What ``encoded`` makes of the rows."""
        if len(rows) <= _LARGE:
            return encoded(rows)
        async with self._lock:
            await asyncio.sleep(0)
            return encoded(rows)
