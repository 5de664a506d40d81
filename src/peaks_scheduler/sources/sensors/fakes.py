"""Sensors of WAO's type Fake: constants that an object of the cluster gives, for trials without sensors."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from peaks_scheduler.objects.node import Node

from .source import Reading, Readings


class FakeSensors:
    """Constant readings. ``values_of``: signal -> value of a node. ``clock``: [s] since the epoch, ours."""

    name = "fake"

    def __init__(
        self, values_of: Callable[[Node], Mapping[str, float]], clock: Callable[[], float] = time.time
    ) -> None:
        self._values_of, self._clock = values_of, clock

    async def fetch(self, nodes: Sequence[Node]) -> Readings:
        """The readings of the nodes that have constants."""
        now = self._clock()
        found = ((node.name, self._values_of(node)) for node in nodes)
        return Readings(
            {
                name: {signal: Reading(value, now, "fake", constant=True) for signal, value in values.items()}
                for name, values in found
                if values
            }
        )

    async def aclose(self) -> None:
        """Nothing to close."""
