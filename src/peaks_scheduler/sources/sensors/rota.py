"""Asks the server of every node, so many at once and for so long; who was not asked is the first the next time.

Owns the order in which nodes are asked. A round ends after its time, however slow the servers are: else readings of
the first nodes would be stale before those of the last had come. Nodes whose server failed the last time are asked
after all others, so that dead servers cost the others nothing. Assumes that a question has a time limit of its own. A
question that raises is that node's failure alone.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from peaks_scheduler.objects.node import Node

from .source import Reading, Readings

MOST_AT_ONCE = 256
_OF_FILES = 4  # questions take at most this part of the files that the process may open
UNASKED = "not asked in this round: the servers are too slow for so many nodes (sensors.queries suits them better)"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server of one node gave."""

    readings: Mapping[str, Reading] = field(default_factory=lambda: MappingProxyType({}))
    """Signal -> reading."""
    failure: str = ""
    """Why a reading is missing; the same text for all nodes with that trouble. Empty: no trouble."""


def enough(nodes: int, timeout: float, budget: float, least: int, files: int) -> int:
    """How many questions at once reach all nodes within ``budget`` [s], though each takes its ``timeout`` [s].

    At least ``least``; at most MOST_AT_ONCE, and a quarter of ``files``, the number that the process may open.
    """
    wanted = math.ceil(nodes * timeout / max(budget, 1.0))
    return max(least, min(wanted, MOST_AT_ONCE, files // _OF_FILES))


class Rota:
    """See the module.

    Args:
        at_once: questions under way at the same time, unless a round says more.
        budget: [s] after which no further node is asked in a round.
        clock: [s], monotonic.
    """

    def __init__(self, at_once: int, budget: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._at_once, self._budget, self._clock = at_once, budget, clock
        self._turn = 0
        self._last: dict[str, tuple[bool, int]] = {}  # node -> did it fail the last time, and which turn was that

    async def round(
        self, nodes: Sequence[Node], ask: Callable[[Node], Awaitable[Answer]], at_once: int | None = None
    ) -> Readings:
        """Ask the nodes, those not asked for longest first."""
        names = {node.name for node in nodes}
        self._last = {name: last for name, last in self._last.items() if name in names}
        waiting = iter(sorted(nodes, key=lambda node: self._last.get(node.name, (False, 0))))
        end = self._clock() + self._budget
        answers: dict[str, Answer] = {}
        async with asyncio.TaskGroup() as workers:
            for _ in range(min(at_once or self._at_once, len(nodes))):
                workers.create_task(self._work(waiting, ask, end, answers))
        failures = {name: answer.failure for name, answer in answers.items() if answer.failure}
        failures |= dict.fromkeys(sorted(names - answers.keys()), UNASKED)
        return Readings({name: answer.readings for name, answer in answers.items() if answer.readings}, failures)

    async def _work(
        self,
        waiting: Iterator[Node],
        ask: Callable[[Node], Awaitable[Answer]],
        end: float,
        answers: dict[str, Answer],
    ) -> None:
        while self._clock() < end and (node := next(waiting, None)) is not None:
            try:
                answer = await ask(node)
            except Exception as error:  # else one node would cost the readings of all others
                answer = Answer(failure=f"cannot be asked ({type(error).__name__}): check its address")
            answers[node.name] = answer
            self._turn += 1
            self._last[node.name] = (not answer.readings, self._turn)
