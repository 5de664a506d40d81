"""InterPodAffinity: pods that must be near, pods that must not, and what pods that are there demand.

A term holds for a topology domain: all nodes with the same value of its key. Sums are taken over domains, from the
number of selected pods per node.

Source: kube-scheduler's plugins/interpodaffinity/filtering.go.
"""

from __future__ import annotations

import numpy as np

from ..objects import Pod
from ..selectors import AffinityTerm, LabelSelector
from ..snapshot import Counts, Mask, NodeIndex, Selection, Snapshot

ABSENT = "node(s) didn't match pod affinity rules"
PRESENT = "node(s) didn't match pod anti-affinity rules"
REPELLED = "node(s) didn't satisfy existing pods anti-affinity rules"
MAY_BE_REPELLED = "node(s) had pods whose anti-affinity selects namespaces by label, which this scheduler does not read"

Matcher = tuple[LabelSelector, frozenset[str] | None]


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
    matchers = [_matcher(term, index) for term in pod.affinity]
    counts = _selected(matchers, index)
    labelled = _all([index.having(term.topology_key) for term in pod.affinity])
    if counts is None or not any(np.any(counts[index.having(term.topology_key)]) for term in pod.affinity):
        # nobody matches yet: the first pod of a group that wants itself near may go wherever the labels are
        first = all(_matches(pod, matcher) for matcher in matchers)
        return labelled if first else np.zeros_like(labelled)
    return _all([labelled, *(in_domain(term.topology_key, counts > 0, index) for term in pod.affinity)])


def _unwanted_near(pod: Pod, nodes: Snapshot) -> Mask:
    """(N,) nodes in whose domain a pod is that one of the terms matches."""
    unwanted = np.zeros(len(nodes), np.bool_)
    for term in pod.anti_affinity:
        counts = _selected([_matcher(term, nodes.index)], nodes.index)
        if counts is not None:
            unwanted |= in_domain(term.topology_key, counts > 0, nodes.index)
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


def _matcher(term: AffinityTerm, index: NodeIndex) -> Matcher | None:
    """What the term of an incoming pod selects; None: nothing."""
    return None if term.selector is None else (term.selector, index.namespaces_of(term))


def _selected(matchers: list[Matcher | None], index: NodeIndex) -> Counts | None:
    """(N,) pods that all of them select; None: no pod can be."""
    known = [matcher for matcher in matchers if matcher is not None]
    return index.pods_selected(Selection(tuple(known))) if len(known) == len(matchers) else None


def _matches(pod: Pod, matcher: Matcher | None) -> bool:
    if matcher is None:
        return False
    selector, namespaces = matcher
    return (namespaces is None or pod.namespace in namespaces) and selector.matches(pod.labels)


def _all(masks: list[Mask]) -> Mask:
    verdict: Mask = np.logical_and.reduce(masks)
    return verdict
