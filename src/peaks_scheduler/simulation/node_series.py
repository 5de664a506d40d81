"""What each node did over time, from the placements alone: use, demand, pods, power. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np

from peaks_scheduler.arrays import Floats, Mask

from .case import Case, Placement
from .cluster import Outage, SimulatedNode
from .levels import true_watts
from .measurement import NodeSeries

Step = tuple[float, float, int, int]
"""(time, more cores, more pods, more outages)"""
_NOTHING, _ALL_TIME = np.zeros(1), np.ones(1)


def node_series(
    nodes: Sequence[SimulatedNode], placements: Iterable[Placement], outages: Iterable[Outage], end: float
) -> Mapping[str, NodeSeries]:
    """The series of every node from 0 to ``end`` [s]."""
    steps: dict[str, list[Step]] = {node.name: [] for node in nodes}
    for placement in placements:
        steps[placement.node] += _steps(placement)
    for outage in outages:
        steps[outage.node] += [(outage.start_s, 0.0, 0, 1), (outage.end_s, 0.0, 0, -1)]
    return {node.name: _series(node, [step for step in steps[node.name] if step[0] < end]) for node in nodes}


def spans_of_nodes(case: Case) -> Iterator[tuple[float, float, Mask]]:
    """(from, to, (N,) nodes that are up): the times [s] between which no node goes or comes back, the last one to
    infinity."""
    changes = sorted({time for each in case.outages for time in (each.start_s, each.end_s) if time > 0.0})
    for start, stop in pairwise([0.0, *changes, np.inf]):
        down = {each.node for each in case.outages if each.start_s <= start < each.end_s}
        yield start, stop, np.array([node.name not in down for node in case.nodes])


def _steps(placement: Placement) -> Iterator[Step]:
    """What a placement adds to its node, and takes off again."""
    usage = placement.job.usage or ((0.0, placement.job.cpu_used_cores),)
    before = 0.0
    for number, (offset, cores) in enumerate(usage):
        if offset and placement.start_s + offset >= placement.end_s:
            break
        yield placement.start_s + offset, cores - before, 0 if number else 1, 0
        before = cores
    yield placement.end_s, -before, -1, 0


def _series(node: SimulatedNode, steps: list[Step]) -> NodeSeries:
    if not steps:
        return NodeSeries(
            _NOTHING, _NOTHING, _NOTHING, _watts(node, _NOTHING, _NOTHING, _ALL_TIME), _NOTHING, _ALL_TIME
        )
    table = np.array([(0.0, 0.0, 0, 0), *sorted(steps)], np.float64)
    sums = np.cumsum(table[:, 1:], axis=0)
    last = np.append(np.diff(table[:, 0]) > 0.0, True)  # of several steps at one time the last one has their sum
    times, (demand, pods, failed) = table[last, 0], sums[last].T
    demand = np.where(pods > 0.0, np.maximum(demand, 0.0), 0.0)  # without the rounding of the sums
    cores = np.minimum(demand, node.cpu_cores)
    up = (failed <= 0.0).astype(np.float64)
    return NodeSeries(times, cores, demand, _watts(node, cores, pods, up), pods, up)


def _watts(node: SimulatedNode, cores: Floats, pods: Floats, up: Floats) -> Floats:
    """(T,) [W]"""
    watts = true_watts(node, cores / node.cpu_cores)
    if node.standby_watts is not None:
        watts = np.where(pods > 0.0, watts, np.minimum(watts, node.standby_watts))
    return watts * up


def integral(times: Floats, values: Floats, end: float) -> float:
    """Integral of a series until ``end``: each of (T,) values holds from its time to the next."""
    return float(np.sum(values * np.diff(times, append=end)))
