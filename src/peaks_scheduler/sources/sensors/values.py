"""Constants that the configuration gives as values of sensors: ``sensors.values``.

For nodes without a sensor, and to try things out. Never asks anything.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from peaks_scheduler.objects.node import Node
from peaks_scheduler.text.words import few

from .source import Reading, Readings


class ConstantValues:
    """``values``: node -> signal -> value. ``clock``: [s] since the epoch, ours."""

    name = "sensor-values"

    def __init__(self, values: Mapping[str, Mapping[str, float]], clock: Callable[[], float] = time.time) -> None:
        self._values, self._clock = values, clock

    async def fetch(self, nodes: Sequence[Node]) -> Readings:
        """The constants of these nodes."""
        now = self._clock()
        there = [node.name for node in nodes if node.name in self._values]
        readings = {
            name: {s: Reading(value, now, "sensors.values", constant=True) for s, value in self._values[name].items()}
            for name in there
        }
        others = sorted(self._values.keys() - set(there))
        return Readings(readings, {"": f"no nodes of this cluster: {few(others)}"} if others else {})

    async def aclose(self) -> None:
        """Nothing to close."""
