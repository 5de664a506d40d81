"""The least CO2 that any placement could have caused that knew the grid's intensity ahead and kept the same deadlines.

Pods that must start when they come leave only the choice of nodes: at each moment their use is filled into the nodes
whose grams per core are least (``bound.weighted_bound``). Work that can wait may also be moved in time, between the
earliest and the latest start of its pod. That is relaxed: work is divided and interrupted at will, a slot between two
changes of the intensity is judged by its mean use, which costs least because the bound is convex, and only the sum of
the work over all pods is kept above what must be done by the end of each slot and below what can be done by then. All
of that only lowers the result: it stays a bound. Pure; scipy solves the linear program.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from peaks_scheduler.arrays import Floats
from peaks_scheduler.power.hull import hull

from .bound import Bound, Bounds
from .carbon import intensity_of
from .carbon_policy import CARBON_DELAY
from .case import Case, Placement
from .delivered import delivered, wanted_until
from .measurement import NodeSeries, PowerSeries
from .node_series import spans_of_nodes

GRAM_SECONDS = 3.6e9
"""g W s/kWh in a kilogram."""
HOUR = 3600.0  # [s]
MOST_SLOTS = 10_000
"""Slots of the linear program. Where the intensity changes more often, neighbours share a slot and the least intensity
of each region: a year of hours stays as it is."""
MOST_LINES = 12
"""Lines of the bound in a slot. Where it has more, tangents below it take their place."""
ROUNDING = 1e-7
"""The solver's result may be too high by this share."""


def least_co2(case: Case, placements: Sequence[Placement], nodes: Mapping[str, NodeSeries], use: PowerSeries) -> float:
    """[kg] the bound for what a replay of the case delivered, from 0 to its end; the case has a grid."""
    if case.strategy == CARBON_DELAY and any(job.slack_s > 0.0 for job in case.jobs):
        return _least_moved(case, placements, nodes, use)
    return sum(_filled(slot, use) for slot in _slots(case, use.end_s)) / GRAM_SECONDS


@dataclass(frozen=True, slots=True, eq=False)
class _Slot:
    """A time in which neither the intensity nor the nodes change. ``bound`` counts [g W/kWh]."""

    start: float
    end: float
    bound: Bound


def _slots(case: Case, end: float) -> Iterator[_Slot]:
    names, region = np.unique([node.region for node in case.nodes], return_inverse=True)
    every = [intensity_of(case.grid, name) for name in names.tolist()]
    changes = np.unique(np.concatenate([each.times for each in every]))
    bounds = Bounds(case.nodes)
    for start, stop, up in spans_of_nodes(case):
        inner = changes[(changes > start) & (changes < min(stop, end))]
        edges = [start, *inner.tolist(), min(stop, end)]
        for low, high in pairwise(edges):
            if low < high:
                weights = np.array([each.at(low) for each in every])[region]
                yield _Slot(low, high, bounds.of(up, weights) if up.any() else Bound(np.zeros(1), np.zeros(1)))


def _filled(slot: _Slot, use: PowerSeries) -> float:
    """[g W s/kWh] of the use as it was."""
    first = int(np.searchsorted(use.times, slot.start, side="right")) - 1
    last = int(np.searchsorted(use.times, slot.end, side="left"))
    edges = np.clip(np.append(use.times[first:last], slot.end), slot.start, slot.end)
    return float(np.sum(slot.bound.at(use.cores[first:last]) * np.diff(edges)))


# --- work that can wait ---------------------------------------------------------------------------------------------


def _least_moved(
    case: Case, placements: Sequence[Placement], nodes: Mapping[str, NodeSeries], use: PowerSeries
) -> float:
    slots = _coarse(list(_slots(case, use.end_s)))
    edges = np.array([slot.end for slot in slots])
    must, can = _limits(placements, nodes, edges)
    idle = sum(float(slot.bound.watts[0]) * (slot.end - slot.start) for slot in slots)
    return (idle + _solved(slots, must, can)) / GRAM_SECONDS


def _coarse(slots: list[_Slot]) -> list[_Slot]:
    """At most ``MOST_SLOTS`` slots: neighbours become one, whose bound is nowhere above theirs."""
    together = -(-len(slots) // MOST_SLOTS)
    groups = [slots[i : i + together] for i in range(0, len(slots), together)]
    return [_joined(group) if len(group) > 1 else group[0] for group in groups]


def _joined(slots: Sequence[_Slot]) -> _Slot:
    """One slot. Its bound is the lower convex hull of theirs."""
    points = sorted((x, y) for slot in slots for x, y in zip(slot.bound.cores, slot.bound.watts, strict=True))
    corners = hull([min(group) for group in _by_cores(points)])
    cores, watts = zip(*corners, strict=True)
    return _Slot(slots[0].start, slots[-1].end, Bound(np.array(cores), np.array(watts)))


def _by_cores(points: Sequence[tuple[float, float]]) -> Iterator[list[tuple[float, float]]]:
    """The points of each number of cores."""
    group: list[tuple[float, float]] = []
    for point in points:
        if group and point[0] > group[0][0]:
            yield group
            group = []
        group.append(point)
    yield group


def _limits(placements: Sequence[Placement], nodes: Mapping[str, NodeSeries], edges: Floats) -> tuple[Floats, Floats]:
    """(K,), (K,) [core s] that must be done by each of K times, and that can be done by then. By the last one all is
    done."""
    must, can = np.zeros(len(edges) + 1), np.zeros(len(edges) + 1)
    full = {name: bool(np.any(node.demand > node.cores)) for name, node in nodes.items()}
    for placement in placements:
        job, start, life = placement.job, placement.start_s, placement.end_s - placement.start_s
        movable = job.slack_s > 0.0 and not job.node
        wanted = float(wanted_until(placement, np.array([life]))[0])
        got = delivered(placement, nodes[placement.node]) if full[placement.node] else wanted
        for begin, limit, missing in (
            (max(job.arrival_s + job.slack_s, start) if movable else start, must, wanted - got),
            (job.arrival_s if movable else start, can, 0.0),
        ):
            low, high = np.searchsorted(edges, [begin, begin + life])
            done = wanted_until(placement, edges[low:high] - begin) - missing
            limit[low:high] += np.clip(done, 0.0, got)
            limit[high:] += got
    must[-2] = can[-2]
    return must[:-1], can[:-1]


def _solved(slots: Sequence[_Slot], must: Floats, can: Floats) -> float:
    """[g W s/kWh] least cost of the work beyond what no work costs.

    The unknowns are the mean cores on each line of each slot, then the work done by the end of each slot [core h].
    """
    from scipy.optimize import linprog
    from scipy.sparse import csr_matrix, hstack

    lines = [_few(slot.bound) for slot in slots]
    slot_of = np.repeat(np.arange(len(slots)), [len(each) for each in lines])
    cores, slopes = np.concatenate(lines).T
    hours = np.array([slot.end - slot.start for slot in slots]) / HOUR
    most = np.array(cores)
    most[np.append(np.diff(slot_of) > 0, True)] = np.inf  # whatever rounding says, there is room for what was done
    count, each = len(slots), np.arange(len(slots))
    work = csr_matrix((-hours[slot_of], (slot_of, np.arange(len(slot_of)))), (count, len(slot_of)))
    rise = csr_matrix((np.ones(count), (each, each))) - csr_matrix(
        (np.ones(count - 1), (each[1:], each[:-1])), (count, count)
    )
    found = linprog(
        np.concatenate([slopes * hours[slot_of], np.zeros(count)]),
        A_eq=hstack([work, rise], format="csr"),
        b_eq=np.zeros(count),
        bounds=np.concatenate(
            [np.stack([np.zeros(len(most)), most], axis=1), np.stack([np.minimum(must, can), can], axis=1) / HOUR]
        ),
        method="highs",
    )
    return float(found.fun) * HOUR * (1.0 - ROUNDING) if found.success else 0.0


def _few(bound: Bound) -> Floats:
    """(L, 2) [cores], [g W/kWh per core] of a bound's lines; of at most ``MOST_LINES`` tangents where it has more."""
    cores, rises = np.diff(bound.cores), np.diff(bound.watts)
    kept = cores > 0.0
    starts, heights, slopes = bound.cores[:-1][kept], bound.watts[:-1][kept], rises[kept] / cores[kept]
    if not len(slopes):
        return np.zeros((1, 2))
    if len(slopes) > MOST_LINES:
        some = np.unique(np.linspace(0, len(slopes) - 1, MOST_LINES).round().astype(int))
        starts, heights, slopes = starts[some], heights[some], slopes[some]
    steeper = np.append(True, np.diff(slopes) > 1e-12 * np.abs(slopes[1:]))
    starts, heights, slopes = starts[steeper], heights[steeper], slopes[steeper]
    at_zero = heights - slopes * starts
    corners = (at_zero[:-1] - at_zero[1:]) / np.diff(slopes)
    edges = np.maximum.accumulate(np.concatenate([[0.0], corners, [bound.cores[-1]]]))
    return np.stack([np.diff(edges), slopes], axis=1)
