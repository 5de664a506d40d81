"""Soft rules: which of the nodes tied by cost do the pod and the existing pods prefer?

A preference is a name, kube-scheduler's default weight, and one pure function ``(pod, nodes, tied) -> (T,) scores``:
integers from 0 to 100, higher is better, or None where it does not apply to the pod. Names and arithmetic are those of
kube-scheduler's Score plugins and their NormalizeScore. The candidates are the T tied nodes; ``tied`` has their
indices. Only what users ask for is scored: not ImageLocality, least or balanced allocation, nor a spread of pods that
have no constraint (that would take Services and ReplicaSets). A new preference is one function and one line in
``PREFERENCES``, or in ``OTHERS`` if kube-scheduler does not have it.

Source: kube-scheduler 1.36, plugins/tainttoleration, nodeaffinity, podtopologyspread/scoring.go,
interpodaffinity/scoring.go and helper/normalize_score.go; for PodSpread, waok8s, wao-scheduler/pkg/plugins/podspread.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from peaks_scheduler.arrays import Floats, Ints, Mask
from peaks_scheduler.ledger.snapshot import NodeIndex, Selection, Snapshot
from peaks_scheduler.objects.affinity import SpreadConstraint
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.objects.selectors import LabelSelector, Tolerated
from peaks_scheduler.scheduling.filters.spread import Inclusion, domain_sums, having_all

MOST = 100
"""kube-scheduler's MaxNodeScore."""
HOSTNAME = "kubernetes.io/hostname"
REGION, ZONE = "topology.kubernetes.io/region", "topology.kubernetes.io/zone"
OF_ONE_POD = frozenset(
    {
        "apps.kubernetes.io/pod-index",
        "batch.kubernetes.io/job-completion-index",
        "statefulset.kubernetes.io/pod-name",
    }
)
"""Labels in which the pods of one owner differ; all others they have from one template."""


@dataclass(frozen=True, slots=True)
class Preference:
    """See the module."""

    name: str
    weight: int
    score: Callable[[Pod, Snapshot, Ints], Ints | None]


def may_prefer(pod: Pod, nodes: Snapshot) -> bool:
    """May a preference apply to this pod, whichever nodes are tied?"""
    own = pod.preferences
    if own.nodes or own.spread or own.pods or pod.spread_rate or nodes.index.mild_taint_sets():
        return True
    return next(iter(nodes.index.liked_by(pod)), None) is not None


def preferred(pod: Pod, nodes: Snapshot, tied: Ints) -> list[tuple[str, Ints]]:
    """(name, (T,) weighted scores of the tied nodes) of each preference that applies."""
    scored = ((each, each.score(pod, nodes, tied)) for each in (*PREFERENCES, *OTHERS))
    return [(each.name, each.weight * scores) for each, scores in scored if scores is not None]


# --- by node --------------------------------------------------------------------------------------------------------


def taint_toleration(pod: Pod, nodes: Snapshot, tied: Ints) -> Ints | None:
    """TaintToleration: fewer PreferNoSchedule taints that the pod does not tolerate are better."""
    sets = nodes.index.mild_taint_sets()
    if not sets:
        return None
    counts = np.zeros(len(tied), np.int64)
    tolerated = Tolerated(pod.tolerations)
    for taints, having in sets.items():
        counts += having[tied] * sum(not tolerated.includes(taint) for taint in taints)
    return MOST - _shares(counts)


def node_affinity(pod: Pod, nodes: Snapshot, tied: Ints) -> Ints | None:
    """NodeAffinity: more weight of the preferred terms that the node meets is better."""
    if not pod.preferences.nodes:
        return None
    weights = np.zeros(len(nodes), np.int64)
    for weight, term in pod.preferences.nodes:
        met = nodes.index.meeting(term)
        if met is not False:
            np.add(weights, weight, out=weights, where=met)
    return _shares(weights[tied])


def _shares(counts: Ints) -> Ints:
    """DefaultNormalizeScore: percent of the largest count, rounded down; all 0 where that is 0."""
    most = counts.max()
    shares: Ints = MOST * counts // most if most else counts
    return shares


# --- by topology spread ---------------------------------------------------------------------------------------------


def topology_spread(pod: Pod, nodes: Snapshot, tied: Ints) -> Ints | None:
    """PodTopologySpread: fewer pods in the node's domains that the ``ScheduleAnyway`` constraints select are better; 0
    for nodes without one of the topology keys."""
    constraints = pod.preferences.spread
    if not constraints:
        return None
    scores = np.zeros(len(tied), np.int64)
    labelled = having_all(constraints, nodes)
    judged = labelled[tied]
    candidates = tied[judged]
    if len(candidates):
        counts = np.zeros(len(candidates))
        included = Inclusion(pod, nodes)
        for each in constraints:
            counts += _pods_in_domain(pod, each, nodes, labelled & included(each), candidates)
        scores[judged] = _fewest_first(_rounded(counts))
    return scores


def _pods_in_domain(
    pod: Pod, constraint: SpreadConstraint, nodes: Snapshot, eligible: Mask, candidates: Ints
) -> Floats:
    """(C,) selected pods in each candidate's domain, weighted by the number of domains, plus ``maxSkew`` - 1: keys with
    few and with many values become comparable."""
    if constraint.topology_key == HOSTNAME:
        # as in kube-scheduler: the node itself is the domain, whatever its label is, and node policies do not count
        counts, domains = _on_nodes(pod, constraint, nodes.index)[candidates], len(candidates)
    else:
        own = nodes.index.codes(constraint.topology_key)[0][candidates]
        counts, domains = domain_sums(pod, constraint, nodes, eligible)[own], len(np.unique(own))
    return counts * math.log(domains + 2) + (constraint.max_skew - 1)


def _on_nodes(pod: Pod, constraint: SpreadConstraint, index: NodeIndex) -> Floats:
    """(N,) pods on each node that the constraint selects; an empty selector selects none here."""
    if not constraint.selector:
        return np.zeros(index.having(HOSTNAME).shape)
    selection = Selection(((constraint.selector, frozenset({pod.namespace})),), leaving=False)
    return index.pods_selected(selection).astype(np.float64)


def _rounded(counts: Floats) -> Ints:
    """Round as Go's ``math.Round`` does: halves go up; numpy's go to the even number."""
    whole = np.floor(counts)
    return (whole + (counts - whole >= 0.5)).astype(np.int64)


def _fewest_first(counts: Ints) -> Ints:
    most, least = counts.max(), counts.min()
    scores: Ints = MOST * (most + least - counts) // most if most > 0 else np.full_like(counts, MOST)
    return scores


# --- by pods in the domain ------------------------------------------------------------------------------------------


def pod_affinity(pod: Pod, nodes: Snapshot, tied: Ints) -> Ints | None:
    """InterPodAffinity: more weight of preferred pod affinity is better, the pod's own and that of existing pods;
    anti-affinity counts negative."""
    pulls = list(_pulls(pod, nodes.index))
    if not pulls:
        return None
    sums = np.zeros(len(tied), np.int64)
    for weight, key, at, counts in pulls:
        codes, size = nodes.index.codes(key)
        by_domain = np.bincount(codes[at], weights=counts, minlength=size).astype(np.int64)
        by_domain[0] = 0  # nodes without the label are in no domain
        sums += weight * by_domain[codes[tied]]
    return _stretched(sums)


Pull = tuple[int, str, "Ints | slice", Ints]
"""(weight, topology key, indices of nodes, how often on each)"""


def _pulls(pod: Pod, index: NodeIndex) -> Iterator[Pull]:
    """Weighted terms that the pod meets, and where: positive for affinity, negative for anti-affinity."""
    for weight, key, counts in index.near(pod.preferences.pods):
        yield weight, key, slice(None), counts.astype(np.int64)
    yield from index.liked_by(pod)


def _stretched(sums: Ints) -> Ints:
    """Scale to 0 for the least and 100 for the largest, rounded down; all 0 where all are the same."""
    least, most = sums.min(), sums.max()
    if most == least:
        return np.zeros_like(sums)
    shares: Floats = float(MOST) * ((sums - least) / float(most - least))
    return shares.astype(np.int64)


# --- by the owner's other pods ----------------------------------------------------------------------------------------


def pod_spread(pod: Pod, nodes: Snapshot, tied: Ints) -> Ints | None:
    """PodSpread of WAO: fewer pods of the same owner in the node's area are better, the more so the higher the rate.

    An area is a region if the nodes have two or more of them, else a zone likewise, else a node; nodes without that
    label score 0. WAO refuses all areas but the emptiest until rate * replicas pods are placed. That takes the owner,
    which no decision reads: here the rate is the weight, and no node is refused.
    """
    if not pod.spread_rate or not (labels := {k: v for k, v in pod.labels.items() if k not in OF_ONE_POD}):
        return None
    alike = LabelSelector(tuple(sorted(labels.items())))
    counts = nodes.index.pods_selected(Selection(((alike, frozenset({pod.namespace})),), leaving=False))
    codes = _areas(nodes.index)
    if codes is None:
        scores = _stretched(-counts[tied].astype(np.int64))
    else:
        by_area = np.bincount(codes, weights=counts).astype(np.int64)
        scores, inside = np.zeros(len(tied), np.int64), codes[tied] > 0
        if inside.any():
            scores[inside] = _stretched(-by_area[codes[tied][inside]])
    weighted: Ints = (pod.spread_rate * scores).astype(np.int64)
    return weighted


def _areas(index: NodeIndex) -> Ints | None:
    """(N,) code of each node's area, 0 where it is in none; None: each node is an area."""
    for key in (REGION, ZONE):
        codes = index.codes(key)[0]
        if len(np.unique(codes[codes > 0])) > 1:
            return codes.astype(np.int64)
    return None


# fmt: off
PREFERENCES: tuple[Preference, ...] = (
    Preference("TaintToleration",   3, taint_toleration),
    Preference("NodeAffinity",      2, node_affinity),
    Preference("PodTopologySpread", 2, topology_spread),
    Preference("InterPodAffinity",  2, pod_affinity),
)
OTHERS: tuple[Preference, ...] = (
    Preference("PodSpread",         2, pod_spread),
)
# fmt: on
