"""PodTopologySpread: no topology domain may get ahead of the emptiest one by more than ``maxSkew`` pods.

Source: kube-scheduler's plugins/podtopologyspread/filtering.go.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from peaks_scheduler.arrays import Floats, Mask
from peaks_scheduler.ledger.snapshot import Selection, Snapshot
from peaks_scheduler.objects.affinity import SpreadConstraint
from peaks_scheduler.objects.pod import Pod

from .placement import untolerated

UNEVEN = "node(s) didn't match pod topology spread constraints"
UNLABELLED = "node(s) didn't match pod topology spread constraints (missing required label)"


def pod_topology_spread(pod: Pod, nodes: Snapshot) -> list[tuple[str, Mask]]:
    """Nodes are judged by one constraint after the other; the first that refuses one gives its reason."""
    if not pod.spread:
        return []
    labelled = having_all(pod.spread, nodes)
    included = Inclusion(pod, nodes)
    refusals = []
    refused = np.zeros(len(nodes), np.bool_)
    for constraint in pod.spread:
        unlabelled = ~nodes.index.having(constraint.topology_key)
        refusals.append((UNLABELLED, unlabelled & ~refused))
        refused = refused | unlabelled
        if not nodes.index.carried(constraint.topology_key):
            break  # no node is left, and there may be thousands of such constraints
        uneven = _skew(pod, constraint, nodes, labelled & included(constraint)) > constraint.max_skew
        refusals.append((UNEVEN, uneven & ~refused))
        refused = refused | uneven
    return refusals


def having_all(constraints: Iterable[SpreadConstraint], nodes: Snapshot) -> Mask:
    """(N,) nodes that have the topology keys of all constraints."""
    having = np.ones(len(nodes), np.bool_)
    for each in constraints:
        if not nodes.index.carried(each.topology_key):
            return np.zeros(len(nodes), np.bool_)
        having &= nodes.index.having(each.topology_key)
    return having


def _skew(pod: Pod, constraint: SpreadConstraint, nodes: Snapshot, eligible: Mask) -> Floats:
    """(N,) by how many pods the node's domain would be ahead of the emptiest one, with ``pod`` in it."""
    codes, size = nodes.index.codes(constraint.topology_key)
    numbers = domain_sums(pod, constraint, nodes, eligible)
    domains = np.zeros(size, np.bool_)
    domains[codes[eligible]] = True
    count = int(np.count_nonzero(domains))
    emptiest = 0.0 if count < constraint.min_domains or not count else float(numbers[domains].min())
    own = constraint.selector is not None and constraint.selector.matches(pod.labels)
    skew: Floats = numbers[codes] + (float(own) - emptiest)
    return skew


class Inclusion:
    """Nodes that count for a constraint of the pod, by the constraint's node policies; worked out once for all
    constraints of the same policies."""

    def __init__(self, pod: Pod, nodes: Snapshot) -> None:
        self._pod, self._nodes = pod, nodes
        self._known: dict[tuple[bool, bool], Mask] = {}

    def __call__(self, constraint: SpreadConstraint) -> Mask:
        """(N,)"""
        policies = (constraint.honour_affinity, constraint.honour_taints)
        if policies not in self._known:
            self._known[policies] = _inclusion(self._pod, constraint, self._nodes)
        return self._known[policies]


def _inclusion(pod: Pod, constraint: SpreadConstraint, nodes: Snapshot) -> Mask:
    included = np.ones(len(nodes), np.bool_)
    if constraint.honour_affinity and pod.where:
        included &= nodes.index.matching(pod.where)
    if constraint.honour_taints:
        for having in untolerated(pod, nodes):
            included &= ~having
    return included


def domain_sums(pod: Pod, constraint: SpreadConstraint, nodes: Snapshot, eligible: Mask) -> Floats:
    """(values + 1,) pods that the constraint selects on eligible nodes, by the value of its topology key. An empty
    selector selects none of them, though it does select ``pod`` itself."""
    codes, size = nodes.index.codes(constraint.topology_key)
    sums: Floats = np.zeros(size)
    if constraint.selector:
        selection = Selection(((constraint.selector, frozenset({pod.namespace})),), leaving=False)
        counts = np.where(eligible, nodes.index.pods_selected(selection), 0.0)
        sums = np.bincount(codes, weights=counts, minlength=size).astype(np.float64, copy=False)
    for i, other in nodes.nominator.counted:
        sums[codes[i]] += eligible[i] and _overlooked(other, pod, constraint)
    return sums


def _overlooked(other: Pod, pod: Pod, constraint: SpreadConstraint) -> bool:
    """A nominated pod that the count leaves out and kube-scheduler does not: it adds those it grants room by a rule of
    their own, in which an empty selector selects them and it does not matter whether they are being deleted."""
    if constraint.selector is None or other.namespace != pod.namespace:
        return False
    return (other.deleting or not constraint.selector) and constraint.selector.matches(other.labels)
