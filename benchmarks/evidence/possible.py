"""How much any placement could save, from the bound alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from peaks_scheduler.simulation.bound import bound

from .fleets import Fleet
from .runs import Figures

TENTHS = tuple(k / 10 for k in range(1, 10))


@dataclass(frozen=True, slots=True)
class Possible:
    """Power of a fleet with all servers at one use, over the bound, in percent saved."""

    fleet: Fleet

    def measure(self) -> Figures:
        nodes = self.fleet.nodes()
        threads = sum(node.cpu_cores for node in nodes)
        least = bound(nodes).at(np.array([load * threads for load in TENTHS]))
        even = [sum(node.curve.watts(load) for node in nodes) for load in TENTHS]
        return {f"{load:.0%}": 100.0 * (1.0 - low / high) for load, low, high in zip(TENTHS, least, even, strict=True)}
