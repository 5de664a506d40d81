"""InterPodAffinity: pods that must be near, pods that must not, and what pods that are there demand.

A term holds for a topology domain: all nodes with the same value of its key. Sums are taken over domains, from the
number of selected pods per node.

Source: kube-scheduler's plugins/interpodaffinity/filtering.go.
"""

from __future__ import annotations

import numpy as np

from peaks_scheduler.arrays import Mask
from peaks_scheduler.ledger.snapshot import NodeIndex, Snapshot
from peaks_scheduler.objects.pod import Pod

ABSENT = "node(s) didn't match pod affinity rules"
PRESENT = "node(s) didn't match pod anti-affinity rules"
REPELLED = "node(s) didn't satisfy existing pods anti-affinity rules"
MAY_BE_REPELLED = "node(s) had pods whose anti-affinity selects namespaces by label, which this scheduler does not read"


def inter_pod_affinity(pod: Pod, nodes: Snapshot) -> list[tuple[str, Mask]]:
    """The reason is that of the first rule that refuses a node, as kube-scheduler's is."""
    refusals = []
    refused = None
    for reason, mask in _rules(pod, nodes):
        refusals.append((reason, mask if refused is None else mask & ~refused))
        refused = mask if refused is None else refused | mask
    return refusals


def _rules(pod: Pod, nodes: Snapshot) -> list[tuple[str, Mask]]:
    rules = []
    if pod.affinity:
        rules.append((ABSENT, ~_wanted_near(pod, nodes.index)))
    if pod.anti_affinity:
        rules.append((PRESENT, _unwanted_near(pod, nodes)))
    repelled = nodes.index.repelled_by(pod)
    if repelled is not None:
        rules.append((REPELLED, repelled))
    return rules


def nothing_to_judge(pod: Pod, nodes: Snapshot) -> bool:
    """Has neither the pod a term nor any pod that is there one that means it? kube-scheduler asks before those are
    added that room is kept for, and passes the filter over: their anti-affinity alone keeps nobody away."""
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
    counts = index.matched_by_all(pod.affinity)
    if not any(np.any(counts[index.having(key)]) for key in keys):
        # nobody matches yet: the first pod of a group that wants itself near may go wherever the labels are
        return labelled if index.all_match(pod.affinity, pod) else np.zeros_like(labelled)
    return _all([labelled, *(in_domain(key, counts > 0, index) for key in keys)])


def _unwanted_near(pod: Pod, nodes: Snapshot) -> Mask:
    """(N,) nodes in whose domain a pod is that one of the terms matches."""
    unwanted = np.zeros(len(nodes), np.bool_)
    for _, key, counts in nodes.index.near(tuple((1, term) for term in pod.anti_affinity)):
        unwanted |= in_domain(key, counts > 0, nodes.index)
    return unwanted


def unread_namespaces(pod: Pod, nodes: Snapshot) -> list[tuple[str, Mask]]:
    """Nodes whose pods may repel this one: a term selects namespaces by label, and those cannot be read. Not used,
    rather than used wrongly."""
    possible = nodes.index.perhaps_repelled_by(pod)
    return [] if possible is None else [(MAY_BE_REPELLED, possible)]


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
