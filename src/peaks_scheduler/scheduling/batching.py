"""Batch strategies: in which order, and each by which strategy, are several pods scheduled?

A batch strategy sees up to ``most`` pods together. It plans the pods to be scheduled now, each with a strategy; the
caller schedules these one by one with ``cycle.schedule``, assumes them, and asks again for the rest. So filters,
ceilings and ties hold as always, and a plan can only order pods and prefer nodes. A pod that fits nowhere is planned
last. A new batch strategy is one function and one line in ``BATCH_STRATEGIES``. Pure.

Sources: min-min and max-min: Ibarra and Kim, "Heuristic algorithms for scheduling independent tasks on nonidentical
processors", 1977. ecsched: Hu, Lam and Lee, "ECSched: efficient container scheduling on heterogeneous clusters", 2018;
dot product of demand and what is free: Grandl et al., "Multi-resource packing for cluster schedulers", 2014.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from peaks_scheduler.arrays import Floats, Mask
from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.ledger.snapshot import Snapshot
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.scheduling.scoring.strategies import ENVELOPE, POINTS, STRATEGIES, Strategy
from peaks_scheduler.text.words import nearest

from .filtering import feasible_nodes, outright
from .prediction import predict

Plan = Callable[[Sequence[Pod], Snapshot], Sequence[tuple[int, Strategy]]]
"""(pods, nodes) -> (index of a pod, the strategy to schedule it with), in order: at least one while pods are given."""

MOST = 64
"""Pods in a batch. A plan of min-min takes time in proportion to the square."""


@dataclass(frozen=True, slots=True)
class BatchStrategy:
    """See the module."""

    name: str
    minimises: str
    plan: Plan
    most: int = MOST


def plan_for_one(strategy: Strategy | BatchStrategy, pod: Pod, nodes: Snapshot) -> Strategy:
    """The strategy by which a pod is scheduled that is alone in its batch."""
    return strategy.plan([pod], nodes)[0][1] if isinstance(strategy, BatchStrategy) else strategy


# --- the cheapest first, or the dearest -----------------------------------------------------------------------------


def min_min(pods: Sequence[Pod], nodes: Snapshot) -> Sequence[tuple[int, Strategy]]:
    """The pod whose cheapest node costs least."""
    costs = [_least_cost(pod, nodes) for pod in pods]
    return [(int(np.argmin(costs)), _MIN_MIN)]


def max_min(pods: Sequence[Pod], nodes: Snapshot) -> Sequence[tuple[int, Strategy]]:
    """The pod whose cheapest node costs most."""
    costs = [_least_cost(pod, nodes) for pod in pods]
    # a pod that has no cost anywhere must not come first
    return [(int(np.argmax([cost if np.isfinite(cost) else -np.inf for cost in costs])), _MAX_MIN)]


_MIN_MIN, _MAX_MIN = replace(ENVELOPE, name="min-min"), replace(ENVELOPE, name="max-min")


def _least_cost(pod: Pod, nodes: Snapshot) -> float:
    """[W] of the pod on the cheapest of its candidates, as ``envelope`` counts it; inf where there is none."""
    candidates, costs = _candidates(pod, nodes)
    least = np.fmin.reduce(costs[candidates], initial=np.inf)
    return float(least)


def _candidates(pod: Pod, nodes: Snapshot) -> tuple[Mask, Floats]:
    """(N,) feasible nodes, those below their ceilings alone if there are any; and (N,) costs of ``envelope`` [W]."""
    if not len(nodes) or outright(pod, nodes) is not None:
        return np.zeros(len(nodes), np.bool_), np.full(len(nodes), np.nan)
    feasible, predicted = feasible_nodes(pod, nodes), predict(pod, nodes, ENVELOPE)
    below = feasible & predicted.below
    return (below if below.any() else feasible), predicted.cost


# --- assignment -----------------------------------------------------------------------------------------------------

RESOURCES = ("cpu", "memory")


def ecsched(pods: Sequence[Pod], nodes: Snapshot) -> Sequence[tuple[int, Strategy]]:
    """The assignment of pods to nodes, at most one pod a node, whose sum of alignments is largest; of these, one with
    the most pods.

    A pod's alignment with a node is the dot product of what it requests and what is free there, each as a share of the
    largest node's. Pods that found no node in this round are planned in the next one.
    """
    feasible = np.array([_candidates(pod, nodes)[0] for pod in pods])
    pairs = _assigned(_alignments(pods, nodes), feasible) if feasible.any() else []
    if not pairs:
        return [(i, _towards("")) for i in range(len(pods))]
    return [(i, _towards(nodes.names[j])) for i, j in pairs]


def _alignments(pods: Sequence[Pod], nodes: Snapshot) -> Floats:
    """(P, N) from 0 to the number of resources."""
    rows = [nodes.rows[name] for name in RESOURCES]
    largest = np.maximum(nodes.allocatable[rows].max(axis=1), 1).astype(np.float64)
    wanted = np.array([[float(dict(pod.requests).get(name, 0)) for name in RESOURCES] for pod in pods]) / largest
    free = np.maximum(nodes.free[rows], 0) / largest[:, np.newaxis]
    alignments: Floats = wanted @ free
    return alignments


def _assigned(alignments: Floats, feasible: Mask) -> list[tuple[int, int]]:
    """(pod, node) pairs among the ``feasible`` (P, N), in order of the pods."""
    # to import scipy takes longer than to start without it, and other strategies need none of it
    from scipy.optimize import linear_sum_assignment

    # dearer than all other pairs together: such a pair is taken only where the pod would be left over
    forbidden = 1.0 + float(np.where(feasible, alignments, 0.0).max()) * (min(alignments.shape) + 1)
    rows, columns = linear_sum_assignment(np.where(feasible, -alignments, forbidden))
    pairs = zip(rows.tolist(), columns.tolist(), strict=True)
    return [(i, j) for i, j in pairs if feasible[i, j]]


def _towards(name: str) -> Strategy:
    """The strategy that prefers the node of this name to all others; none of them where it is empty."""

    def cost(pod: Pod, nodes: Snapshot) -> Floats:
        costs, place = np.ones(len(nodes)), nodes.index.position(name)
        if place is not None:
            costs[place] = 0.0
        return costs

    return Strategy("ecsched", "", cost, unit=POINTS)


# --- the table ------------------------------------------------------------------------------------------------------

# fmt: off
BATCH_STRATEGIES: Mapping[str, BatchStrategy] = {
    strategy.name: strategy
    for strategy in (
        BatchStrategy("min-min", "as envelope, over waiting pods: the one that costs least where it is cheapest comes "
                      "first", min_min),
        BatchStrategy("max-min", "as envelope, over waiting pods: the one that costs most where it is cheapest comes "
                      "first", max_min),
        BatchStrategy("ecsched", "what stays unaligned between the requests of waiting pods and what nodes have free: "
                      "an assignment", ecsched),
    )
}
# fmt: on


def any_strategy(name: str) -> Strategy | BatchStrategy:
    """The strategy of that name, of one pod or of batches. Raises ConfigurationError, which lists all names."""
    strategy = STRATEGIES.get(name) or BATCH_STRATEGIES.get(name)
    if strategy is None:
        known = (*STRATEGIES, *BATCH_STRATEGIES)
        raise ConfigurationError(f"strategy: expected one of {', '.join(known)}; got {name!r}{nearest(name, known)}")
    return strategy
