"""PodTopologySpread: no topology domain may have more than ``maxSkew`` pods more than the emptiest one.

Source: kube-scheduler's plugins/podtopologyspread/filtering.go.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from peaks_scheduler.arrays import Floats, Mask
from peaks_scheduler.ledger.snapshot import Selection, Snapshot
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.objects.selectors import SpreadConstraint

from .placement import untolerated
from .refusal import Refusal

UNEVEN = "node(s) didn't match pod topology spread constraints"
UNLABELLED = "node(s) didn't match pod topology spread constraints (missing required label)"


def pod_topology_spread(pod: Pod, nodes: Snapshot) -> list[Refusal]:
    """Nodes that violate a constraint; of each node the first such constraint gives the reason."""
    if not pod.spread:
        return []
    labelled = having_all(pod.spread, nodes)
    included = Inclusion(pod, nodes)
    refusals: list[Refusal] = []
    refused = np.zeros(len(nodes), np.bool_)
    for constraint in pod.spread:
        unlabelled = ~nodes.index.having(constraint.topology_key)
        refusals.append((UNLABELLED, unlabelled & ~refused))
        refused = refused | unlabelled
        if not nodes.index.carried(constraint.topology_key):
            break  # every node is refused, and there may be thousands of such constraints
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
    """(N,) pods in the node's domain, ``pod`` included, less those in the emptiest domain."""
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
    """Nodes that count for a constraint of the pod, by the constraint's node policies. Constraints with the same
    policies share the result."""

    def __init__(self, pod: Pod, nodes: Snapshot) -> None:
        self._pod, self._nodes = pod, nodes
        self._known: dict[tuple[bool, bool], Mask] = {}

    def __call__(self, constraint: SpreadConstraint) -> Mask:
        """(N,) nodes that count for this constraint."""
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
    """(values + 1,) pods that the constraint selects on ``eligible`` (N,) nodes, by the value of its topology key. An
    empty selector selects no existing pod, but it does select ``pod`` itself."""
    codes, size = nodes.index.codes(constraint.topology_key)
    sums: Floats = np.zeros(size)
    if constraint.selector:
        selection = Selection(((constraint.selector, frozenset({pod.namespace})),), leaving=False)
        counts = np.where(eligible, nodes.index.pods_selected(selection), 0.0)
        sums = np.bincount(codes, weights=counts, minlength=size).astype(np.float64, copy=False)
    for i, other in nodes.nominations.present:
        sums[codes[i]] += eligible[i] and _overlooked(other, pod, constraint)
    return sums


def _overlooked(other: Pod, pod: Pod, constraint: SpreadConstraint) -> bool:
    """Must this nominated pod be added, as the sums leave it out? kube-scheduler counts nominated pods by a rule of
    their own: an empty selector selects them, and pods that are being deleted count too."""
    if constraint.selector is None or other.namespace != pod.namespace:
        return False
    return (other.deleting or not constraint.selector) and constraint.selector.matches(other.labels)
