"""Nodes at rest: where a pod was rejected or two schedulers collided, nothing is placed until the picture is clear
again.

Owns how long each node rests. A kubelet that just rejected a pod may reject the next one for the same, already outdated
reason (kubernetes#135296), and the other scheduler is probably still busy there. The rest doubles when it happens
again soon.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

FIRST_REST = 15.0  # [s]
LONGEST_REST = 240.0  # [s]
REMEMBERED = 600.0  # [s] after the end of a rest: a collision within this time doubles the next one


@dataclass(slots=True)
class Rest:
    """One node's present or last rest; both in seconds, ``until`` monotonic."""

    until: float
    length: float


class Cooling:
    """``rest(node, True/False)`` is told when a rest begins and ends; ``now`` is monotonic seconds."""

    def __init__(self, rest: Callable[[str, bool], None]) -> None:
        self._rest = rest
        self._resting: dict[str, Rest] = {}
        self._rested: dict[str, Rest] = {}

    def cool(self, node: str, now: float) -> float:
        """Rest the node from now on; for how long [s]. One at rest already begins its rest anew."""
        present, last = self._resting.get(node), self._rested.pop(node, None)
        length = present.length if present else min(2 * last.length, LONGEST_REST) if last else FIRST_REST
        self._resting[node] = Rest(now + length, length)
        self._rest(node, True)
        return length

    def tick(self, now: float) -> list[str]:
        """End the rests that are over; their nodes."""
        over = [node for node, rest in self._resting.items() if rest.until <= now]
        for node in over:
            self._rested[node] = self._resting.pop(node)
            self._rest(node, False)
        for node in [node for node, rest in self._rested.items() if rest.until + REMEMBERED <= now]:
            del self._rested[node]
        return over
