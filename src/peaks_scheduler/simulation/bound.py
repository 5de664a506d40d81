"""The least power that any placement of a load could draw: water-filling on the lower convex envelopes.

A node's power is nowhere below its envelope, and here the load may be divided into parts of any size: so no placement
of whole pods draws less. A node that may be switched off starts its envelope at its standby power. Curves are straight
between ``LEVELS``, so envelopes consist of lines. The cheapest line of all nodes is filled first, then the next one;
that is optimal because the slopes of an envelope's lines only rise. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from peaks_scheduler.arrays import Floats, Mask
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
    return Bounds(nodes, ceiling).of()


def weighted_bound(
    nodes: Sequence[SimulatedNode], weight: Callable[[SimulatedNode], float], ceiling: float = 1.0
) -> Bound:
    """The same where a watt of a node counts ``weight(node)``: its grid's intensity, for example."""
    return Bounds(nodes, ceiling).of(weights=np.array([weight(node) for node in nodes]))


class Bounds:
    """The bounds of a cluster of N nodes, whichever of them are there, and whatever a watt of each counts."""

    def __init__(self, nodes: Sequence[SimulatedNode], ceiling: float = 1.0) -> None:
        self._count = len(nodes)
        shapes = [_shape(node) for node in nodes]
        known = {shape: _shape_lines(node, ceiling) for shape, node in dict(zip(shapes, nodes, strict=True)).items()}
        self._idle = np.array([known[shape][0] for shape in shapes])
        lines = [known[shape][1] for shape in shapes]
        self._node = np.repeat(np.arange(len(nodes)), [len(each) for each in lines])
        table = np.concatenate(lines)
        cpus = np.array([node.cpu_cores for node in nodes])[self._node]
        self._cores, self._watts, self._above = table[:, 0] * cpus, table[:, 1], table[:, 2]

    def of(self, up: Mask | None = None, weights: Floats | None = None) -> Bound:
        """The bound of the nodes that are ``up`` (N,), weighted by ``weights`` (N,); None: all of them, with 1."""
        counts = np.ones(self._count) if weights is None else weights
        watts = self._watts * counts[self._node]
        order = np.lexsort((watts / self._cores, self._above))
        if up is not None:
            order = order[up[self._node[order]]]
            counts = counts[up]
        idle = float(np.sum((self._idle if up is None else self._idle[up]) * counts))
        return Bound(
            np.cumsum(np.concatenate([[0.0], self._cores[order]])), np.cumsum(np.concatenate([[idle], watts[order]]))
        )


def _shape(node: SimulatedNode) -> tuple[Hashable, float | None]:
    """Equal for nodes whose lines are alike but for their size."""
    return node.curve, node.standby_watts


def _shape_lines(node: SimulatedNode, ceiling: float) -> tuple[float, Floats]:
    """[W] at no load, and the (L, 3) lines of the envelope: fraction of the CPUs, [W], above the ceiling 1."""
    corners, ceiling = _points(node), min(ceiling, 1.0)
    below, above = _lines(_cut(corners, 0.0, ceiling)), _lines(_cut(corners, ceiling, 1.0))
    return corners[0][1], np.array([(*line, 0.0) for line in below] + [(*line, 1.0) for line in above])


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
    """(fraction of the CPUs, watts) along each line."""
    return [(end - start, high - low) for (start, low), (end, high) in pairwise(corners)]
