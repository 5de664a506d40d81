"""The spine: filter, score, select. ``schedule(pod, nodes, strategy) -> Decision`` does no I/O, reads no clock and
logs nothing.

Every door goes through it: the daemon, explain, the demo and the tests. Order of preference among feasible nodes:
modelled ones by watts, whether their load is measured or estimated; then those without a power model; last those that
the pod would push above 100 % of their CPUs. Within the last two the node that ends up least full.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator

import numpy as np

from .decision import UNSCHEDULABLE, UNSUPPORTED, WAITING, Decision, Diagnosis, NodeVerdict, Standing
from .filters import FILTERS, Filter, Refusal
from .filters.placement import NAMES_CONFLICT
from .objects import Pod
from .scoring import Strategy
from .scoring.jump import cpu_after
from .snapshot import Floats, Mask, Snapshot
from .wake import Wake

TIE_WATTS = 1e-9
"""Jumps closer than this are the same number but for the last digits of the arithmetic."""


def schedule(pod: Pod, nodes: Snapshot, strategy: Strategy, *, now: float, tolerance: float = 0.0) -> Decision:
    """Where should ``pod`` go?

    ``tolerance`` [W]: jumps closer than this count as tied. ``now`` [s since the epoch] only dates the load in the
    record.
    """
    total = len(nodes)
    outright = _outright(pod, total)
    if outright is not None:
        return Decision(pod, strategy.name, 0, total, diagnosis=outright)
    feasible = _feasible(pod, nodes)
    count = int(np.count_nonzero(feasible))
    if count == 0:
        return Decision(pod, strategy.name, 0, total, diagnosis=diagnose(pod, nodes))
    jump = strategy.cost(pod, nodes)
    after = cpu_after(pod, nodes)
    return _select(pod, nodes, strategy, feasible, jump, after, count, now=now, tolerance=max(tolerance, TIE_WATTS))


# --- filter ---------------------------------------------------------------------------------------------------------


def _outright(pod: Pod, total: int) -> Diagnosis | None:
    """Why the pod fits nowhere, where that shows before any node is looked at."""
    if pod.unsupported:
        return Diagnosis(total, unsupported=pod.unsupported, condition=UNSUPPORTED)
    if pod.where.names == frozenset():
        return Diagnosis(total, conflict=NAMES_CONFLICT, filters=frozenset({"NodeAffinity"}))
    return None


def _feasible(pod: Pod, nodes: Snapshot) -> Mask:
    refused = np.zeros(len(nodes), np.bool_)
    for each in FILTERS:
        for _, mask in each.refuse(pod, nodes):
            refused |= mask
    return np.logical_not(refused, out=refused)


def _refusals(pod: Pod, nodes: Snapshot) -> Iterator[tuple[Filter, list[Refusal]]]:
    """What each filter refuses among the nodes that no filter before it refused: the first word is the one that
    counts."""
    left = np.ones(len(nodes), np.bool_)
    for each in FILTERS:
        refusals = [(reason, mask & left) for reason, mask in each.refuse(pod, nodes)]
        yield each, refusals
        for _, mask in refusals:
            left &= ~mask


def diagnose(pod: Pod, nodes: Snapshot) -> Diagnosis:
    """Why does no node fit? Nodes by reason, and what can change that."""
    outright = _outright(pod, len(nodes))
    if outright is not None:
        return outright
    reasons: Counter[str] = Counter()
    names: set[str] = set()
    cures = {Wake.NODE_ADDED}
    condition = UNSCHEDULABLE
    for each, refusals in _refusals(pod, nodes):
        for reason, mask in refusals:
            count = int(np.count_nonzero(mask))
            if count:
                reasons[reason] += count
                names.add(each.name)
                cures |= each.cured_by
                condition = WAITING if each.ours else condition
    return Diagnosis(len(nodes), reasons, frozenset(names), frozenset(cures), condition=condition)


# --- select ---------------------------------------------------------------------------------------------------------


def _select(
    pod: Pod,
    nodes: Snapshot,
    strategy: Strategy,
    feasible: Mask,
    jump: Floats,
    after: Floats,
    count: int,
    *,
    now: float,
    tolerance: float,
) -> Decision:
    fits = after <= 1.0
    fits &= feasible
    # what is left behind the modelled ones goes by fullness, which puts the unmodelled before the over-full
    best, second = _two_best(((fits, jump, tolerance), (feasible, after, 0.0)), pod, nodes)
    end = float(nodes.load_end[best])
    return Decision(
        pod,
        strategy.name,
        count,
        len(nodes),
        node=nodes.names[best],
        jump_watts=_watts(jump, best),
        runner_up=None if second is None else nodes.names[second],
        runner_up_jump_watts=None if second is None else _watts(jump, second),
        cpu_before=float(nodes.cpu_high[best] / nodes.cpu_capacity[best]),
        cpu_after=float(after[best]),
        standing=standing(nodes, jump, after, best),
        load_age=None if np.isnan(end) else now - end,
        model=nodes.models[best],
    )


def _two_best(groups: tuple[tuple[Mask, Floats, float], ...], pod: Pod, nodes: Snapshot) -> tuple[int, int | None]:
    """The best and the second best node: by the first group's cost (NaN: not in it) while it has any, then by the
    next one's."""
    found: list[int] = []
    for group, key, tolerance in groups:
        cost = np.where(group, key, np.nan)
        cost[found] = np.nan
        while len(found) < 2 and (i := _least(cost, pod, nodes, 0.0 if found else tolerance)) is not None:
            found.append(i)
            cost[i] = np.nan
        if len(found) == 2:
            break
    return found[0], found[1] if len(found) == 2 else None


def _least(cost: Floats, pod: Pod, nodes: Snapshot, tolerance: float) -> int | None:
    """Index of the least cost, ties broken by a hash of pod and node; None where there is none (all NaN)."""
    least = np.fmin.reduce(cost)
    if np.isnan(least):
        return None
    tied = np.flatnonzero(cost <= least + tolerance)
    if len(tied) == 1:
        return int(tied[0])
    salt = np.uint64(zlib.crc32(pod.uid.encode()) * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF)
    mixed = (nodes.tie[tied] ^ salt) * np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(31)
    return int(tied[np.argmin(mixed)])


def standing(nodes: Snapshot, jump: Floats, after: Floats, i: int) -> Standing:
    """In which company does node i compete?"""
    if not after[i] <= 1.0:
        return "over-full"
    if np.isnan(jump[i]):
        return "unmodelled"
    return "measured" if nodes.measured[i] else "estimated"


def _watts(jump: Floats, i: int) -> float | None:
    return _finite(float(jump[i]))  # nothing for a node without a model, nor for watts beyond any float


# --- explain --------------------------------------------------------------------------------------------------------


def judge(pod: Pod, nodes: Snapshot, strategy: Strategy) -> dict[str, NodeVerdict]:
    """Every node's answer to ``pod``, by name: what ``schedule`` saw, node by node."""
    reasons = _reasons(pod, nodes)
    jump = strategy.cost(pod, nodes)
    after = cpu_after(pod, nodes)
    return {name: _verdict(nodes, jump, after, i, tuple(reasons[i])) for i, name in enumerate(nodes.names)}


def _reasons(pod: Pod, nodes: Snapshot) -> list[list[str]]:
    outright = _outright(pod, len(nodes))
    if outright is not None:
        return [[outright.outright] for _ in nodes.names]
    reasons: list[list[str]] = [[] for _ in nodes.names]
    for _, refusals in _refusals(pod, nodes):
        for reason, mask in refusals:
            for i in np.flatnonzero(mask):
                reasons[i].append(reason)
    return reasons


def _verdict(nodes: Snapshot, jump: Floats, after: Floats, i: int, reasons: tuple[str, ...]) -> NodeVerdict:
    before = float(nodes.cpu_high[i] / nodes.cpu_capacity[i])
    if reasons:
        return NodeVerdict(False, reasons, None, None, _finite(before), _finite(float(after[i])))
    return NodeVerdict(
        True, (), standing(nodes, jump, after, i), _watts(jump, i), _finite(before), _finite(float(after[i]))
    )


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
