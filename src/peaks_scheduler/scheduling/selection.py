"""Select: which of the feasible nodes comes first, and which second?

Owns the order among feasible nodes. Nodes compete in groups, a later group only while an earlier one has no node left:
first, by cost, the nodes below their ceilings; then all others by ``Predicted.rank``. Among nodes tied by cost the
strategy's ``tie_break`` decides, then preferences (``scoring.preferences``), then a hash of pod and node. Pure.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np

from peaks_scheduler.arrays import Floats, Ints, Mask
from peaks_scheduler.ledger.snapshot import Snapshot
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.scheduling.scoring.preferences import may_prefer, preferred
from peaks_scheduler.scheduling.scoring.strategies import Strategy

from .prediction import Predicted

SAME_COST = 1e-9
"""Costs closer than this, in whatever unit, differ only by the rounding of the arithmetic."""


@dataclass(frozen=True, slots=True)
class SelectedNode:
    """A node that was selected."""

    index: int
    preferences: tuple[str, ...] = ()
    """Names of the preferences that took it instead of the node that cost and hash alone give."""


@dataclass(frozen=True, slots=True)
class _Ties:
    """Which nodes count as tied with the least value of their group."""

    tolerance: float
    strategy: Strategy | None
    """Its hooks tell nodes apart; None: the values alone do."""

    @property
    def exact(self) -> _Ties:
        return _Ties(min(self.tolerance, SAME_COST), None)


def two_best(
    pod: Pod,
    nodes: Snapshot,
    strategy: Strategy,
    feasible: Mask,
    predicted: Predicted,
    *,
    tolerance: float,
    avoid: Collection[str],
) -> tuple[SelectedNode, SelectedNode | None]:
    """The best of the ``feasible`` (N,) nodes, at least one, and the best of the others; None: there are no others.

    ``tolerance`` [W]: costs closer than this count as tied, where the strategy's unit is watts. It concerns the best
    node alone: the second one is the cheapest of the others. Nodes to ``avoid`` rank behind all others.
    """
    ties = _Ties(max(tolerance, SAME_COST) if strategy.in_watts else SAME_COST, strategy)
    found: list[SelectedNode] = []
    for values, within in _groups(feasible, predicted, ties, _positions(avoid, nodes)):
        for each in found:
            values[each.index] = np.nan
        while len(found) < 2:
            least = _least(values, pod, nodes, within.exact if found else within)
            if least is None:
                break
            found.append(least)
            values[least.index] = np.nan
        if len(found) == 2:
            break
    return found[0], found[1] if len(found) == 2 else None


def _groups(feasible: Mask, predicted: Predicted, ties: _Ties, avoided: list[int]) -> Iterator[tuple[Floats, _Ties]]:
    """The groups in their order: (N,) what nodes are compared by, NaN outside the group, and what counts as tied."""
    if avoided:
        others = feasible.copy()
        others[avoided] = False
        yield from _groups(others, predicted, ties, [])
    yield np.where(feasible & predicted.below, predicted.cost, np.nan), ties
    yield np.where(feasible, predicted.rank, np.nan), _Ties(0.0, None)


def _positions(names: Collection[str], nodes: Snapshot) -> list[int]:
    """Indices of the nodes of these names that exist."""
    return [i for name in names if (i := nodes.index.position(name)) is not None]


# --- ties -----------------------------------------------------------------------------------------------------------


def _least(values: Floats, pod: Pod, nodes: Snapshot, ties: _Ties) -> SelectedNode | None:
    """The node of the least of ``values`` (N,), ties broken; None where all are NaN."""
    least = np.fmin.reduce(values)
    if np.isnan(least):
        return None
    tied = np.flatnonzero(values <= least + ties.tolerance)
    strategy = ties.strategy
    if strategy is not None and strategy.tie_break is not None and len(tied) > 1:
        merits = strategy.tie_break(pod, nodes, tied)
        tied = tied[merits >= merits.max() - ties.tolerance]
    plain = int(tied[_first_by_hash(pod, nodes, tied)])
    among = tied
    if strategy is not None and strategy.indistinct is not None and may_prefer(pod, nodes):
        among = np.union1d(tied, _indistinct(pod, nodes, values, tied, strategy))
    if len(among) == 1:
        return SelectedNode(plain)
    return _preferred(pod, nodes, among, values, plain, ties.tolerance)


def _indistinct(pod: Pod, nodes: Snapshot, cost: Floats, tied: Ints, strategy: Strategy) -> Ints:
    """Nodes whose cost, tie-break included, cannot be distinguished from that of the cheapest of the ``tied`` nodes."""
    assert strategy.indistinct is not None
    alike = strategy.indistinct(pod, nodes, cost, int(tied[np.argmin(cost[tied])]))
    if strategy.tie_break is None or len(alike) == 1:
        return alike
    net = np.full_like(cost, np.nan)
    net[alike] = cost[alike] - strategy.tie_break(pod, nodes, alike)
    return strategy.indistinct(pod, nodes, net, int(alike[np.argmin(net[alike])]))


def _preferred(pod: Pod, nodes: Snapshot, among: Ints, cost: Floats, plain: int, tolerance: float) -> SelectedNode:
    """The node that preferences score highest ``among`` these; ``plain`` where none scores higher than it. Of nodes of
    the same score that only their models' errors tie, the cheapest is taken: that is the best guess."""
    scored = preferred(pod, nodes, among)
    if not scored:
        return SelectedNode(plain)
    total: Ints = np.sum([scores for _, scores in scored], axis=0)
    before = int(np.searchsorted(among, plain))
    best = np.flatnonzero(total == np.max(total))
    if total[before] == total[best[0]]:
        return SelectedNode(plain)
    costs = cost[among[best]]
    best = best[costs <= np.min(costs) + tolerance]
    chosen = int(best[_first_by_hash(pod, nodes, among[best])])
    # it scores higher than the plain one, so at least one preference speaks for it
    return SelectedNode(int(among[chosen]), tuple(name for name, scores in scored if scores[chosen] > scores[before]))


def _first_by_hash(pod: Pod, nodes: Snapshot, among: Ints) -> int:
    """Pick one node by a hash of pod and node: its place ``among`` these."""
    if len(among) == 1:
        return 0
    salt = np.uint64(zlib.crc32(pod.uid.encode()) * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF)
    mixed = (nodes.tie[among] ^ salt) * np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(31)
    return int(np.argmin(mixed))
