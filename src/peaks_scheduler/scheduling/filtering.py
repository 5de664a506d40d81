"""Filter: on which nodes may the pod run, and if on none, why?

Owns the order in which filters are asked and what their answers mean together. ``outright`` is kube-scheduler's
PreFilter: it can reject a pod before any node is looked at. ``feasible_nodes`` asks every filter about every node.
``diagnose`` gives each node the reasons of the first filter that refused it.

Where another scheduler keeps room on a node for nominated pods, that node is judged twice, without these pods and with
them, and must pass both times (kube-scheduler's RunFilterPluginsWithNominatedPods). Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from peaks_scheduler.arrays import Mask
from peaks_scheduler.ledger.snapshot import Snapshot
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.scheduling.filters.filters import FILTERS, Filter
from peaks_scheduler.scheduling.filters.refusal import Refusal
from peaks_scheduler.scheduling.filters.unreadable import unreadable_fields

from .decision import FAILED, UNSCHEDULABLE, UNSUPPORTED, WAITING, Diagnosis
from .events import ClusterEvent


def first_refusals(
    pod: Pod, nodes: Snapshot, left: Mask, filters: Sequence[Filter] = FILTERS
) -> Iterator[tuple[Filter, list[Refusal]]]:
    """Each filter with its refusals among the nodes that no filter before it refused.

    ``left`` (N,) are the nodes to be judged. The nodes that a filter refuses are taken out of it after that filter, so
    at the end it has the nodes that passed all of them.
    """
    for each in filters:
        refusals = _among(left, each.refuse(pod, nodes))
        yield each, refusals
        for _, mask in refusals:
            left &= ~mask


def _among(left: Mask, refusals: list[Refusal]) -> list[Refusal]:
    """The refusals of the nodes ``left``. A mask that thousands of reasons share is computed once."""
    masks = {id(mask): mask & left for mask in {id(mask): mask for _, mask in refusals}.values()}
    return [(reason, masks[id(mask)]) for reason, mask in refusals]


# --- before any node ------------------------------------------------------------------------------------------------


def outright(pod: Pod, nodes: Snapshot) -> Diagnosis | None:
    """Why the pod fits nowhere, where that is known before single nodes are judged; None: the nodes decide."""
    unsupported = (*pod.unsupported, *unreadable_fields(pod, nodes.unreadable))
    if unsupported:
        return Diagnosis(len(nodes), unsupported=unsupported, condition=UNSUPPORTED)
    for each in FILTERS:
        reason = each.outright(pod, nodes) if each.outright else None
        if reason is not None:
            return Diagnosis(len(nodes), filters=frozenset({each.name}), events=each.events, rejected=reason)
    return _failure(pod, nodes) if _can_fail(pod, nodes) else None


def _can_fail(pod: Pod, nodes: Snapshot) -> bool:
    """May a filter fail on some node, over the pod's own volumes or those of a nominated pod?"""
    if any(each.fails(pod, nodes) for each in FILTERS if each.fails):
        return True
    return bool(pod.volumes) and bool(nodes.nominator.against(pod))


def _failure(pod: Pod, nodes: Snapshot) -> Diagnosis | None:
    """The failure of a filter on a node that passed all filters before it. As in kube-scheduler, the pod then goes
    nowhere."""
    left = np.ones(len(nodes), np.bool_)
    filters = _filters_with_nominated(pod, nodes)
    for i in nodes.nominator.against(pod):
        only = _only(i, nodes)
        with nodes.nominator.with_nominated(i, pod):
            failure = _failure_among(pod, nodes, only, filters)
        if failure is not None:
            return failure
        left[i] = only[i]
    return _failure_among(pod, nodes, left, FILTERS)


def _failure_among(pod: Pod, nodes: Snapshot, left: Mask, filters: Sequence[Filter]) -> Diagnosis | None:
    """``left`` (N,) as in ``first_refusals``."""
    for each, _ in first_refusals(pod, nodes, left, filters):
        for text, mask in each.fails(pod, nodes) if each.fails else ():
            if np.any(mask & left):
                names = frozenset({each.name})
                return Diagnosis(len(nodes), filters=names, events=each.events, failure=text, condition=FAILED)
    return None


# --- node by node ---------------------------------------------------------------------------------------------------


def feasible_nodes(pod: Pod, nodes: Snapshot) -> Mask:
    """(N,) nodes that no filter refuses."""
    refused = np.zeros(len(nodes), np.bool_)
    for each in FILTERS:
        for _, mask in each.refuse(pod, nodes):
            refused |= mask
    feasible = np.logical_not(refused, out=refused)
    for i in nodes.nominator.against(pod):
        feasible[i] = feasible[i] and _fits_with_nominated(pod, nodes, i)
    return feasible


def _fits_with_nominated(pod: Pod, nodes: Snapshot, i: int) -> bool:
    """Does the pod still fit on node i with nominated pods counted?"""
    filters = _filters_with_nominated(pod, nodes)
    with nodes.nominator.with_nominated(i, pod):
        return not any(mask[i] for each in filters for _, mask in each.refuse(pod, nodes))


def _filters_with_nominated(pod: Pod, nodes: Snapshot) -> list[Filter]:
    """The filters that are asked when nominated pods are counted."""
    return [each for each in FILTERS if not (each.skipped and each.skipped(pod, nodes))]


def _only(i: int, nodes: Snapshot) -> Mask:
    """(N,) node i alone."""
    mask = np.zeros(len(nodes), np.bool_)
    mask[i] = True
    return mask


# --- why no node fits -----------------------------------------------------------------------------------------------


def refusals_by_filter(pod: Pod, nodes: Snapshot) -> list[tuple[Filter, list[Refusal]]]:
    """Each filter with its refusals, every refused node under one filter alone: the first that refused it.

    A node that is refused with nominated pods counted is listed with these refusals, as in kube-scheduler: so a filter
    may appear more than once.
    """
    found = list(first_refusals(pod, nodes, np.ones(len(nodes), np.bool_)))
    for i in nodes.nominator.against(pod):
        filters = _filters_with_nominated(pod, nodes)
        only = _only(i, nodes)
        with nodes.nominator.with_nominated(i, pod):
            with_nominated = list(first_refusals(pod, nodes, only, filters))
        if not only[i]:
            found = [(each, _without(refusals, i)) for each, refusals in found] + with_nominated
    return found


def _without(refusals: list[Refusal], i: int) -> list[Refusal]:
    for _, mask in refusals:
        mask[i] = False
    return refusals


def diagnose(pod: Pod, nodes: Snapshot) -> Diagnosis:
    """Why no node fits: nodes by reason, and the events that can change that."""
    rejected = outright(pod, nodes)
    if rejected is not None:
        return rejected
    reasons: Counter[str] = Counter()
    names: set[str] = set()
    events = {ClusterEvent.NODE_ADDED}
    condition = UNSCHEDULABLE
    for each, refusals in refusals_by_filter(pod, nodes):
        for reason, mask in refusals:
            count = int(np.count_nonzero(mask))
            if count:
                reasons[reason] += count
                names.add(each.name)
                events |= each.events
                condition = condition if each.more_nodes_help else WAITING
    return Diagnosis(len(nodes), reasons, frozenset(names), frozenset(events), condition=condition)
