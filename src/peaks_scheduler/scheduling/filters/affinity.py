"""InterPodAffinity: the pod's own affinity and anti-affinity, and the anti-affinity of existing pods.

A term holds for a topology domain: all nodes with the same value of its key. Selected pods are counted per node, and
summed up over domains.

Source: kube-scheduler's plugins/interpodaffinity/filtering.go.
"""

from __future__ import annotations

import numpy as np

from peaks_scheduler.arrays import Mask
from peaks_scheduler.ledger.snapshot import NodeIndex, Snapshot
from peaks_scheduler.objects.pod import Pod

from .refusal import Refusal

AFFINITY_NOT_MATCHED = "node(s) didn't match pod affinity rules"
ANTI_AFFINITY_NOT_MATCHED = "node(s) didn't match pod anti-affinity rules"
EXISTING_ANTI_AFFINITY_NOT_MATCHED = "node(s) didn't satisfy existing pods anti-affinity rules"
UNREADABLE_ANTI_AFFINITY = (
    "node(s) had pods whose anti-affinity selects namespaces by label, which this scheduler does not read"
)


def inter_pod_affinity(pod: Pod, nodes: Snapshot) -> list[Refusal]:
    """Nodes refused by affinity, anti-affinity or existing pods; the first of these gives the reason, as in
    kube-scheduler."""
    refusals: list[Refusal] = []
    refused: Mask | None = None
    for reason, mask in _rules(pod, nodes):
        refusals.append((reason, mask if refused is None else mask & ~refused))
        refused = mask if refused is None else refused | mask
    return refusals


def _rules(pod: Pod, nodes: Snapshot) -> list[Refusal]:
    rules: list[Refusal] = []
    if pod.affinity:
        rules.append((AFFINITY_NOT_MATCHED, ~_wanted_near(pod, nodes.index)))
    if pod.anti_affinity:
        rules.append((ANTI_AFFINITY_NOT_MATCHED, _unwanted_near(pod, nodes)))
    repelled = nodes.index.repelled_by(pod)
    if repelled is not None:
        rules.append((EXISTING_ANTI_AFFINITY_NOT_MATCHED, repelled))
    return rules


def no_term_applies(pod: Pod, nodes: Snapshot) -> bool:
    """Does no term apply, neither one of the pod nor one of an existing pod? kube-scheduler asks this before it adds
    nominated pods, and then skips the filter: the anti-affinity of nominated pods alone refuses no node."""
    if pod.affinity or pod.anti_affinity:
        return False
    repelled = nodes.index.repelled_by(pod)
    return repelled is None or not np.any(repelled)


def _wanted_near(pod: Pod, index: NodeIndex) -> Mask:
    """(N,) nodes where, for every term, a pod that matches all of them is in the domain."""
    keys = dict.fromkeys(term.topology_key for term in pod.affinity)
    missing = next((key for key in keys if not index.carried(key)), None)
    if missing is not None:
        return index.having(missing)  # no node at all
    labelled = _all([index.having(key) for key in keys])
    counts = index.meant_by_all(pod.affinity)
    if not any(np.any(counts[index.having(key)]) for key in keys):
        # no pod matches yet: the first pod of a group with affinity to itself may go wherever the labels are
        return labelled if index.all_mean(pod.affinity, pod) else np.zeros_like(labelled)
    return _all([labelled, *(in_domain(key, counts > 0, index) for key in keys)])


def _unwanted_near(pod: Pod, nodes: Snapshot) -> Mask:
    """(N,) nodes in whose domain one of the terms matches a pod."""
    unwanted = np.zeros(len(nodes), np.bool_)
    for _, key, counts in nodes.index.near(tuple((1, term) for term in pod.anti_affinity)):
        unwanted |= in_domain(key, counts > 0, nodes.index)
    return unwanted


def unreadable_namespaces(pod: Pod, nodes: Snapshot) -> list[Refusal]:
    """Nodes whose pods may have anti-affinity to this one: a term selects namespaces by label, and namespaces are
    unreadable. Such a node is refused, as it might be wrong."""
    possible = nodes.index.perhaps_repelled_by(pod)
    return [] if possible is None else [(UNREADABLE_ANTI_AFFINITY, possible)]


def in_domain(key: str, at: Mask, index: NodeIndex) -> Mask:
    """(N,) nodes that share a value of label ``key`` with a node of ``at``."""
    codes, size = index.codes(key)
    shared = np.zeros(size, np.bool_)
    shared[codes[at]] = True
    shared[0] = False
    verdict: Mask = shared[codes]
    return verdict


def _all(masks: list[Mask]) -> Mask:
    verdict: Mask = np.logical_and.reduce(masks)
    return verdict
