"""The spine: filter, score, select. ``schedule(pod, nodes, strategy) -> Decision`` does no I/O, reads no clock and
logs nothing.

Every door goes through it: the daemon, explain, the demo and the tests. Order of preference among feasible nodes:
modelled ones by watts, whether their load is measured or estimated; then those without a power model, the least full
first; then those that the pod would lift above a ceiling (``scoring.headroom``), the one that ends least far above it
first; last those that it would push above 100 % of their CPUs. What that leaves tied is for preferences to decide
(``scoring.preferences``), and what they leave equal for a hash.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from peaks_scheduler.arrays import Floats, Ints, Mask
from peaks_scheduler.ledger.snapshot import NO_CPUS, Snapshot
from peaks_scheduler.objects.ceilings import Ceiling
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.power.models import PowerModel
from peaks_scheduler.scheduling.filters.filters import FILTERS, Filter, Refusal
from peaks_scheduler.scheduling.filters.unreadable import unread
from peaks_scheduler.scheduling.scoring.headroom import ROUNDING, above, ceilings, memory_after, overshoot
from peaks_scheduler.scheduling.scoring.jump import cpu_after, indistinct, jump_error
from peaks_scheduler.scheduling.scoring.preferences import has_wishes, preferred
from peaks_scheduler.scheduling.scoring.strategies import Strategy

from .decision import FAILED, UNSCHEDULABLE, UNSUPPORTED, WAITING, Decision, Diagnosis, NodeVerdict, Standing
from .events import Wake

SAME_LOAD = 1e-6
"""Utilisations closer than this are the same number but for the digits that a file has."""
TIE_WATTS = 1e-9
"""Jumps closer than this are the same number but for the last digits of the arithmetic."""


def schedule(
    pod: Pod,
    nodes: Snapshot,
    strategy: Strategy,
    *,
    now: float,
    tolerance: float = 0.0,
    avoid: Collection[str] = (),
) -> Decision:
    """Where should ``pod`` go?

    ``tolerance`` [W]: jumps closer than this count as tied, unless the pod has a tolerance of its own. ``now`` [s since
    the epoch] only dates the load in the record. Nodes to ``avoid`` rank behind all others.
    """
    total = len(nodes)
    outright = _outright(pod, nodes)
    if outright is not None:
        return Decision(pod, strategy.name, 0, total, diagnosis=outright)
    feasible = _feasible(pod, nodes)
    count = int(np.count_nonzero(feasible))
    if count == 0:
        return Decision(pod, strategy.name, 0, total, diagnosis=diagnose(pod, nodes))
    seen = predicted(pod, nodes, strategy)
    tolerance = max(tolerance if pod.tolerance is None else pod.tolerance, TIE_WATTS)
    last = _last(avoid, nodes)
    return _select(pod, nodes, strategy, feasible, last, seen, count, now=now, tolerance=tolerance)


# --- filter ---------------------------------------------------------------------------------------------------------


def _outright(pod: Pod, nodes: Snapshot) -> Diagnosis | None:
    """Why the pod fits nowhere, where that shows before any node is looked at."""
    unsupported = (*pod.unsupported, *unread(pod, nodes.unreadable))
    if unsupported:
        return Diagnosis(len(nodes), unsupported=unsupported, condition=UNSUPPORTED)
    for each in FILTERS:
        rejected = each.outright(pod, nodes) if each.outright else None
        if rejected is not None:
            return Diagnosis(len(nodes), filters=frozenset({each.name}), cured_by=each.cured_by, rejected=rejected)
    # a filter can also fail over the volumes of a pod that room is kept for
    suspect = any(each.fails(pod, nodes) for each in FILTERS if each.fails) or (
        bool(pod.volumes) and bool(nodes.nominator.against(pod))
    )
    return _undecidable(pod, nodes) if suspect else None


def _undecidable(pod: Pod, nodes: Snapshot) -> Diagnosis | None:
    """As in kube-scheduler, a pod goes nowhere while a filter cannot judge one of the nodes that it gets to see."""
    left = np.ones(len(nodes), np.bool_)
    filters = _asked(pod, nodes)
    for i in nodes.nominator.against(pod):
        with nodes.nominator.with_nominated(i, pod):
            only = np.zeros(len(nodes), np.bool_)
            only[i] = True
            failure = _first_failure(pod, nodes, only, filters)
        if failure is not None:
            return failure
        left[i] = only[i]
    return _first_failure(pod, nodes, left, FILTERS)


def _first_failure(pod: Pod, nodes: Snapshot, left: Mask, filters: Sequence[Filter]) -> Diagnosis | None:
    """Filter after filter among the nodes ``left``, which comes back without those refused."""
    for each in filters:
        for text, mask in each.fails(pod, nodes) if each.fails else ():
            if np.any(mask & left):
                cures = each.cured_by
                return Diagnosis(
                    len(nodes), filters=frozenset({each.name}), cured_by=cures, failure=text, condition=FAILED
                )
        for _, mask in each.refuse(pod, nodes):
            left &= ~mask
    return None


def _feasible(pod: Pod, nodes: Snapshot) -> Mask:
    refused = np.zeros(len(nodes), np.bool_)
    for each in FILTERS:
        for _, mask in each.refuse(pod, nodes):
            refused |= mask
    feasible = np.logical_not(refused, out=refused)
    for i in nodes.nominator.against(pod):
        feasible[i] = feasible[i] and _room_for_nominated(pod, nodes, i)
    return feasible


def _room_for_nominated(pod: Pod, nodes: Snapshot, i: int) -> bool:
    """Does the pod fit on node i even when those are there that room is kept for?"""
    filters = _asked(pod, nodes)
    with nodes.nominator.with_nominated(i, pod):
        return not any(mask[i] for each in filters for _, mask in each.refuse(pod, nodes))


def _asked(pod: Pod, nodes: Snapshot) -> list[Filter]:
    """Filters that have a say when those are added that room is kept for."""
    return [each for each in FILTERS if not (each.skipped and each.skipped(pod, nodes))]


Refusals = list[tuple[Filter, list[Refusal]]]


def _refusals(pod: Pod, nodes: Snapshot) -> Refusals:
    """What each filter refuses among the nodes that no filter before it refused: the first word is the one that
    counts."""
    left = np.ones(len(nodes), np.bool_)
    found = _in_turn(pod, nodes, left, FILTERS)
    for i in nodes.nominator.against(pod):
        filters = _asked(pod, nodes)
        with nodes.nominator.with_nominated(i, pod):
            only = np.zeros(len(nodes), np.bool_)
            only[i] = True
            kept = _in_turn(pod, nodes, only, filters)
        if not only[i]:  # refused with them there: that is what kube-scheduler says first
            found = [(each, _without(refusals, i)) for each, refusals in found] + kept
    return found


def _in_turn(pod: Pod, nodes: Snapshot, left: Mask, filters: Sequence[Filter]) -> Refusals:
    """Filter after filter among the nodes ``left``, which comes back without those refused."""
    found = []
    for each in filters:
        refusals = _among(left, each.refuse(pod, nodes))
        found.append((each, refusals))
        for _, mask in refusals:
            left &= ~mask
    return found


def _among(left: Mask, refusals: list[Refusal]) -> list[Refusal]:
    """The same of the nodes ``left``. A mask that thousands of reasons share is still one."""
    masks = {id(mask): mask & left for mask in {id(mask): mask for _, mask in refusals}.values()}
    return [(reason, masks[id(mask)]) for reason, mask in refusals]


def _without(refusals: list[Refusal], i: int) -> list[Refusal]:
    for _, mask in refusals:
        mask[i] = False
    return refusals


def diagnose(pod: Pod, nodes: Snapshot) -> Diagnosis:
    """Why does no node fit? Nodes by reason, and what can change that."""
    outright = _outright(pod, nodes)
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
    last: Mask | None,
    seen: Predicted,
    count: int,
    *,
    now: float,
    tolerance: float,
) -> Decision:
    jump, after = seen.jump, seen.cpu
    fits = seen.below & feasible
    masks = [(fits, feasible)] if last is None else [(fits & ~last, feasible & ~last), (fits, feasible)]
    chosen, second = _two_best(_groups(masks, seen, strategy, tolerance), pod, nodes)
    best = chosen.index
    end = float(nodes.load_end[best])
    return Decision(
        pod,
        strategy.name,
        count,
        len(nodes),
        node=nodes.names[best],
        jump_watts=_watts(jump, best),
        runner_up=None if second is None else nodes.names[second.index],
        runner_up_jump_watts=None if second is None else _watts(jump, second.index),
        cpu_before=_cpu_share(nodes, nodes.cpu_high[best] / nodes.cpu_capacity[best], best),
        cpu_after=_cpu_share(nodes, after[best], best),
        standing=standing(nodes, seen, best),
        load_age=None if np.isnan(end) else now - end,
        model=_name(nodes.models[best]),
        model_from=_from(nodes.models[best]),
        rise_watts=_rise(pod, nodes, best),
        jump_error_watts=jump_error(pod, nodes, best, envelope=strategy.envelope),
        extrapolated=extrapolated(nodes, after, best),
        preferences=chosen.preferences,
        preference_watts=_extra_watts(fits, jump, best) if chosen.preferences else None,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Predicted:
    """What the pod would make of each node. Index i is the same node in every array."""

    jump: Floats  # (N,) [W] the strategy's cost; NaN without a model
    cpu: Floats  # (N,) share of the CPUs in use; above 1 where it would be over-full
    memory: Floats  # (N,) share of the memory in use
    overshoot: Floats  # (N,) how far above its ceiling it ends; not above 0 below

    @property
    def below(self) -> Mask:
        """(N,) neither above a ceiling nor over-full."""
        below: Mask = ~above(self.overshoot)
        below &= self.cpu <= 1.0
        return below


def predicted(pod: Pod, nodes: Snapshot, strategy: Strategy) -> Predicted:
    """Each node with the pod on it."""
    cpu, memory = cpu_after(pod, nodes), memory_after(pod, nodes)
    return Predicted(strategy.cost(pod, nodes), cpu, memory, overshoot(ceilings(pod, nodes), cpu, memory))


def _behind(seen: Predicted) -> Floats:
    """(N,) the order of what does not compete in watts: below a ceiling by fullness, 0..1; above it by how far; then
    over-full."""
    rank = np.where(above(seen.overshoot), 1.0 + np.minimum(seen.overshoot, _FAR), seen.cpu)
    rank[seen.cpu > 1.0] = 1.0 + _FAR + seen.cpu[seen.cpu > 1.0]
    return rank


_FAR = 1000.0  # no node is overfilled as many times


def _last(avoid: Collection[str], nodes: Snapshot) -> Mask | None:
    """(N,) the nodes to avoid; None: there are none."""
    found = [i for name in avoid if (i := nodes.index.position(name)) is not None]
    if not found:
        return None
    last = np.zeros(len(nodes), np.bool_)
    last[found] = True
    return last


@dataclass(frozen=True, slots=True)
class Choice:
    """A node, and why it is not the one that the hash would have given."""

    index: int
    preferences: tuple[str, ...] = ()


Group = tuple[Mask, Floats, float, float, Strategy | None]
"""Nodes, their cost (NaN: not in it), what counts as tied with the least: for the best node, for the second; and the
strategy where the costs are its watts, known as well as the models are."""


def _groups(
    masks: Sequence[tuple[Mask, Mask]], seen: Predicted, strategy: Strategy, tolerance: float
) -> Iterator[Group]:
    """Of each pair of masks the nodes that compete in watts, then all. The later ones are seldom asked for."""
    for fits, feasible in masks:
        yield fits, seen.jump, tolerance, TIE_WATTS, strategy
        yield feasible, _behind(seen), 0.0, 0.0, None


def _two_best(groups: Iterable[Group], pod: Pod, nodes: Snapshot) -> tuple[Choice, Choice | None]:
    """The best and the second best node: by the first group's cost while it has any, then by the next one's. The second
    is the cheapest of the others, whatever the tolerance."""
    found: list[Choice] = []
    for group, key, *tolerances, strategy in groups:
        cost = np.where(group, key, np.nan)
        cost[[each.index for each in found]] = np.nan
        while len(found) < 2:
            each = _least(cost, pod, nodes, tolerances[len(found)], None if found else strategy)
            if each is None:
                break
            found.append(each)
            cost[each.index] = np.nan
        if len(found) == 2:
            break
    return found[0], found[1] if len(found) == 2 else None


def _least(cost: Floats, pod: Pod, nodes: Snapshot, tolerance: float, strategy: Strategy | None) -> Choice | None:
    """The node of the least cost, ties broken by preferences, then by a hash of pod and node; None where there is none
    (all NaN). Among nodes that only the error of their fits ties, preferences decide, and where they say nothing the
    lower cost does: it is the best guess that there is."""
    least = np.fmin.reduce(cost)
    if np.isnan(least):
        return None
    tied = np.flatnonzero(cost <= least + tolerance)
    if strategy is not None and strategy.discount is not None and len(tied) > 1:
        saved = strategy.discount(pod, nodes, tied)
        tied = tied[saved >= saved.max() - tolerance]
    plain = int(tied[_first_by_hash(pod, nodes, tied)])
    among = tied
    if strategy is not None and has_wishes(pod, nodes):
        among = np.union1d(tied, _doubtful(pod, nodes, cost, tied, strategy))
    if len(among) == 1:
        return Choice(plain)
    return _preferred(pod, nodes, among, cost, plain, tolerance)


def _doubtful(pod: Pod, nodes: Snapshot, cost: Floats, tied: Ints, strategy: Strategy) -> Ints:
    """Nodes that the errors of the fits do not tell apart from the cheapest of the ``tied`` ones."""
    cheapest = int(tied[np.argmin(cost[tied])])
    doubtful = indistinct(pod, nodes, cost, cheapest, envelope=strategy.envelope)
    if strategy.discount is None or len(doubtful) == 1:
        return doubtful
    cost = np.where(np.isin(np.arange(len(cost)), doubtful), cost, np.nan)
    cost[doubtful] -= strategy.discount(pod, nodes, doubtful)
    return indistinct(pod, nodes, cost, int(doubtful[np.argmin(cost[doubtful])]), envelope=strategy.envelope)


def _first_by_hash(pod: Pod, nodes: Snapshot, among: Ints) -> int:
    """Which of these nodes comes first in an order that is another one for every pod."""
    if len(among) == 1:
        return 0
    salt = np.uint64(zlib.crc32(pod.uid.encode()) * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF)
    mixed = (nodes.tie[among] ^ salt) * np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(31)
    return int(np.argmin(mixed))


def _preferred(pod: Pod, nodes: Snapshot, among: Ints, cost: Floats, plain: int, tolerance: float) -> Choice:
    """The node that is liked best ``among`` these; ``plain`` where none is liked better than it."""
    scored = preferred(pod, nodes, among)
    if not scored:
        return Choice(plain)
    total: Ints = np.sum([scores for _, scores in scored], axis=0)
    before = int(np.searchsorted(among, plain))
    best = np.flatnonzero(total == np.max(total))
    if total[before] == total[best[0]]:
        return Choice(plain)
    costs = cost[among[best]]
    best = best[costs <= np.min(costs) + tolerance]
    chosen = int(best[_first_by_hash(pod, nodes, among[best])])
    # it is liked better than the plain one: at least one preference speaks for it
    return Choice(int(among[chosen]), tuple(name for name, scores in scored if scores[chosen] > scores[before]))


def _name(model: PowerModel | None) -> str:
    return model.name if model else ""


def _from(model: PowerModel | None) -> str | None:
    return None if model is None else model.origin


def _rise(pod: Pod, nodes: Snapshot, i: int) -> float | None:
    """By how much node i's power is predicted to rise, on its own curve and at its highest plausible use."""
    model = nodes.models[i]
    if model is None:
        return None
    capacity, high = float(nodes.cpu_capacity[i]), float(nodes.cpu_high[i])
    try:
        return model.curve.watts((high + pod.cpu / 1000.0) / capacity) - model.curve.watts(high / capacity)
    except OverflowError:
        return None


def extrapolated(nodes: Snapshot, after: Floats, i: int) -> bool | None:
    """Does the pod take node i beyond the loads that its curve was fitted on, or is it there already? None: not
    known."""
    quality = model.quality if (model := nodes.models[i]) else None
    if quality is None or (quality.cpu_min is None and quality.cpu_max is None):
        return None
    low = -np.inf if quality.cpu_min is None else quality.cpu_min
    high = np.inf if quality.cpu_max is None else quality.cpu_max
    before = nodes.cpu_high[i] / nodes.cpu_capacity[i]
    return bool(before < low - SAME_LOAD or after[i] > high + SAME_LOAD)


def _extra_watts(fits: Mask, jump: Floats, i: int) -> float | None:
    """By how much node i's jump is above the least one. None where watts had no part in choosing it."""
    return _finite(float(jump[i]) - float(np.fmin.reduce(jump[fits]))) if fits[i] else None


def standing(nodes: Snapshot, seen: Predicted, i: int) -> Standing:
    """Rank class of node i."""
    if not seen.cpu[i] <= 1.0:
        return "over-full"
    if seen.overshoot[i] > ROUNDING:
        return "above-ceiling"
    if np.isnan(seen.jump[i]):
        return "unmodelled"
    return "measured" if nodes.measured[i] else "estimated"


def _cpu_share(nodes: Snapshot, share: float, i: int) -> float | None:
    """Share of node i's CPUs, for people; None where it has no CPU."""
    return _finite(float(share)) if nodes.cpu_capacity[i] > NO_CPUS else None


def _watts(jump: Floats, i: int) -> float | None:
    return _finite(float(jump[i]))  # nothing for a node without a model, nor for watts beyond any float


# --- explain --------------------------------------------------------------------------------------------------------


def judge(pod: Pod, nodes: Snapshot, strategy: Strategy) -> dict[str, NodeVerdict]:
    """Every node's answer to ``pod``, by name: what ``schedule`` saw, node by node."""
    reasons = _reasons(pod, nodes)
    seen = predicted(pod, nodes, strategy)
    cpu, memory = (limits.tolist() for limits in ceilings(pod, nodes))
    return {
        name: _verdict(nodes, seen, i, tuple(reasons[i]), Ceiling(cpu[i], memory[i]))
        for i, name in enumerate(nodes.names)
    }


def _reasons(pod: Pod, nodes: Snapshot) -> list[list[str]]:
    outright = _outright(pod, nodes)
    if outright is not None:
        return [[outright.outright] for _ in nodes.names]
    reasons: list[list[str]] = [[] for _ in nodes.names]
    for _, refusals in _refusals(pod, nodes):
        for reason, mask in refusals:
            for i in np.flatnonzero(mask):
                reasons[i].append(reason)
    return reasons


def _verdict(nodes: Snapshot, seen: Predicted, i: int, reasons: tuple[str, ...], ceiling: Ceiling) -> NodeVerdict:
    use = (
        _cpu_share(nodes, nodes.cpu_high[i] / nodes.cpu_capacity[i], i),
        _cpu_share(nodes, seen.cpu[i], i),
        _finite(float(seen.memory[i])) if np.isfinite(nodes.memory_capacity[i]) else None,
        ceiling,
    )
    if reasons:
        return NodeVerdict(False, reasons, None, None, *use)
    return NodeVerdict(True, (), standing(nodes, seen, i), _watts(seen.jump, i), *use)


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
