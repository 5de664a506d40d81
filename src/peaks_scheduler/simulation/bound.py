"""The least power that any placement of a load could draw: water-filling on the lower convex envelopes.

A node's power is nowhere below its envelope, and here the load may be divided into parts of any size: so no placement
of whole pods draws less. A node that may be switched off starts its envelope at its standby power. Curves are straight
between ``LEVELS``, so envelopes consist of lines. The cheapest line of all nodes is filled first, then the next one;
that is optimal because the slopes of an envelope's lines only rise. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from peaks_scheduler.arrays import Floats
from peaks_scheduler.power.hull import Points, hull

from .cluster import SimulatedNode
from .levels import LEVELS, level_watts


@dataclass(frozen=True, slots=True, eq=False)
class Bound:
    """Least power by load: straight lines through L points."""

    cores: Floats
    """(L,) [cores] in use on all nodes together, rising from 0."""
    watts: Floats
    """(L,) [W]"""

    def at(self, cores: Floats) -> Floats:
        """(M,) [cores] in use on all nodes together -> (M,) [W]."""
        least: Floats = np.interp(cores, self.cores, self.watts)
        return least


def bound(nodes: Sequence[SimulatedNode], ceiling: float = 1.0) -> Bound:
    """The bound of these nodes, which are all there.

    ``ceiling`` is a fraction of each node's CPUs: no node goes above it while another is below. What the others cannot
    take is filled in above their ceilings.
    """
    return weighted_bound(nodes, lambda _: 1.0, ceiling)


def weighted_bound(
    nodes: Sequence[SimulatedNode], weight: Callable[[SimulatedNode], float], ceiling: float = 1.0
) -> Bound:
    """The same where a watt of a node counts ``weight(node)``: its grid's intensity, for example."""
    idle = sum(weight(node) * _points(node)[0][1] for node in nodes)
    below, above = [], []
    for node in nodes:
        corners = [(u * node.cpu_cores, weight(node) * watts) for u, watts in _points(node)]
        edge = ceiling * node.cpu_cores
        below += _lines(_cut(corners, 0.0, edge))
        above += _lines(_cut(corners, edge, node.cpu_cores))
    lines = [*_cheapest_first(below), *_cheapest_first(above)]
    cores, watts = zip(*lines, strict=True)
    return Bound(np.cumsum([0.0, *cores]), np.cumsum([idle, *watts]))


def _points(node: SimulatedNode) -> Points:
    """Corners (fraction, watts) of the envelope of the node's power."""
    watts = list(level_watts(node))
    if node.standby_watts is not None:
        watts[0] = min(watts[0], node.standby_watts)
    return hull(list(zip(LEVELS, watts, strict=True)))


def _cut(corners: Points, low: float, high: float) -> Points:
    """The part of a line through ``corners`` from ``low`` to ``high``; its own hull, for a part of a convex line is
    convex."""
    xs, ys = zip(*corners, strict=True)
    inner = [(x, y) for x, y in corners if low < x < high]
    return [(low, float(np.interp(low, xs, ys))), *inner, (high, float(np.interp(high, xs, ys)))] if low < high else []


def _lines(corners: Points) -> list[tuple[float, float]]:
    """(cores, watts) along each line."""
    return [(end - start, high - low) for (start, low), (end, high) in pairwise(corners)]


def _cheapest_first(lines: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    return sorted(lines, key=lambda line: line[1] / line[0])
