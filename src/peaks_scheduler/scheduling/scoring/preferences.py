"""Soft rules: which of the nodes that watts leave tied would the pod, or the pods that are there, rather have?

A preference is a name, kube-scheduler's default weight, and one pure function ``(pod, nodes, tied) -> (T,) scores``:
integers from 0 to 100, higher is better, or None where it has nothing to say of this pod. Names and arithmetic are
those of kube-scheduler's Score plugins and their NormalizeScore, with the T tied nodes as its candidates; ``tied`` has
their indices. Assumes that watts have had the first word. Never scores what is no wish of a user's (ImageLocality,
least or balanced allocation), nor spreads pods that state no constraint: that takes Services and ReplicaSets. A new
preference is one function and one line in ``PREFERENCES``.

Source: kube-scheduler 1.36, plugins/tainttoleration, nodeaffinity, podtopologyspread/scoring.go,
interpodaffinity/scoring.go and helper/normalize_score.go.
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
from peaks_scheduler.objects.selectors import Tolerated
from peaks_scheduler.scheduling.filters.spread import Inclusion, domain_sums, having_all

MOST = 100
"""kube-scheduler's MaxNodeScore."""
HOSTNAME = "kubernetes.io/hostname"


@dataclass(frozen=True, slots=True)
class Preference:
    """See the module."""

    name: str
    weight: int
    score: Callable[[Pod, Snapshot, Ints], Ints | None]


def has_wishes(pod: Pod, nodes: Snapshot) -> bool:
    """Can a preference have something to say of this pod, whichever nodes are tied?"""
    own = pod.preferences
    if own.nodes or own.spread or own.pods or nodes.index.mild_taint_sets():
        return True
    return next(iter(nodes.index.liked_by(pod)), None) is not None


def preferred(pod: Pod, nodes: Snapshot, tied: Ints) -> list[tuple[str, Ints]]:
    """(name, (T,) weighted scores of the tied nodes) of each preference that has something to say."""
    scored = ((each, each.score(pod, nodes, tied)) for each in PREFERENCES)
    return [(each.name, each.weight * scores) for each, scores in scored if scores is not None]


# --- what nodes are -------------------------------------------------------------------------------------------------


def mild_taints(pod: Pod, nodes: Snapshot, tied: Ints) -> Ints | None:
    """The fewer PreferNoSchedule taints that the pod does not tolerate, the better."""
    sets = nodes.index.mild_taint_sets()
    if not sets:
        return None
    counts = np.zeros(len(tied), np.int64)
    tolerated = Tolerated(pod.tolerations)
    for taints, having in sets.items():
        counts += having[tied] * sum(not tolerated.includes(taint) for taint in taints)
    return MOST - _shares(counts)


def liked_nodes(pod: Pod, nodes: Snapshot, tied: Ints) -> Ints | None:
    """The more weight in preferred node affinity terms that the node meets, the better."""
    if not pod.preferences.nodes:
        return None
    weights = np.zeros(len(nodes), np.int64)
    for weight, term in pod.preferences.nodes:
        met = nodes.index.meeting(term)
        if met is not False:
            np.add(weights, weight, out=weights, where=met)
    return _shares(weights[tied])


def _shares(counts: Ints) -> Ints:
    """DefaultNormalizeScore: percent of the largest, rounded down; all 0 where that is 0."""
    most = counts.max()
    shares: Ints = MOST * counts // most if most else counts
    return shares


# --- how evenly pods are spread -------------------------------------------------------------------------------------


def evenness(pod: Pod, nodes: Snapshot, tied: Ints) -> Ints | None:
    """The fewer pods that the ``ScheduleAnyway`` constraints select in the node's domains, the better; 0 for nodes
    without one of the topology keys."""
    constraints = pod.preferences.spread
    if not constraints:
        return None
    scores = np.zeros(len(tied), np.int64)
    labelled = having_all(constraints, nodes)
    judged = labelled[tied]
    candidates = tied[judged]
    if len(candidates):
        crowds = np.zeros(len(candidates))
        included = Inclusion(pod, nodes)
        for each in constraints:
            crowds += _crowd(pod, each, nodes, labelled & included(each), candidates)
        scores[judged] = _emptiest_first(_rounded(crowds))
    return scores


def _crowd(pod: Pod, constraint: SpreadConstraint, nodes: Snapshot, eligible: Mask, candidates: Ints) -> Floats:
    """(C,) selected pods in each candidate's domain, in a measure that makes keys with few values and with many
    comparable; ``maxSkew`` waters differences down."""
    if constraint.topology_key == HOSTNAME:
        # as kube-scheduler does: the node itself is the domain, whatever its label says, and node policies play no part
        counts, domains = _on_nodes(pod, constraint, nodes.index)[candidates], len(candidates)
    else:
        own = nodes.index.codes(constraint.topology_key)[0][candidates]
        counts, domains = domain_sums(pod, constraint, nodes, eligible)[own], len(np.unique(own))
    return counts * math.log(domains + 2) + (constraint.max_skew - 1)


def _on_nodes(pod: Pod, constraint: SpreadConstraint, index: NodeIndex) -> Floats:
    """(N,) pods that the constraint selects; an empty selector selects nothing here."""
    if not constraint.selector:
        return np.zeros(index.having(HOSTNAME).shape)
    selection = Selection(((constraint.selector, frozenset({pod.namespace})),), leaving=False)
    return index.pods_selected(selection).astype(np.float64)


def _rounded(crowds: Floats) -> Ints:
    """Go's ``math.Round``: halves go up, where numpy's go to the even number."""
    whole = np.floor(crowds)
    return (whole + (crowds - whole >= 0.5)).astype(np.int64)


def _emptiest_first(crowds: Ints) -> Ints:
    most, least = crowds.max(), crowds.min()
    scores: Ints = MOST * (most + least - crowds) // most if most > 0 else np.full_like(crowds, MOST)
    return scores


# --- which pods are near --------------------------------------------------------------------------------------------


def liked_neighbours(pod: Pod, nodes: Snapshot, tied: Ints) -> Ints | None:
    """The more weight in preferred pod affinity the better, the pod's own and that of pods that are there;
    anti-affinity counts below zero."""
    pulls = list(_pulls(pod, nodes.index))
    if not pulls:
        return None
    sums = np.zeros(len(tied), np.int64)
    for weight, key, at, counts in pulls:
        codes, size = nodes.index.codes(key)
        by_domain = np.bincount(codes[at], weights=counts, minlength=size).astype(np.int64)
        by_domain[0] = 0  # nodes without the label share nothing
        sums += weight * by_domain[codes[tied]]
    return _stretched(sums)


Pull = tuple[int, str, "Ints | slice", Ints]
"""(weight, topology key, indices of nodes, how often on each)"""


def _pulls(pod: Pod, index: NodeIndex) -> Iterator[Pull]:
    """What draws the pod to the domains of these nodes, or away from them (below zero)."""
    for weight, key, counts in index.near(pod.preferences.pods):
        yield weight, key, slice(None), counts.astype(np.int64)
    for weight, force in index.liked_by(pod):
        there = np.array([*force.counts()], np.int64).reshape(-1, 2)
        yield weight, force.topology_key, there[:, 0], there[:, 1]


def _stretched(sums: Ints) -> Ints:
    """0 for the least, 100 for the largest, rounded down; all 0 where they are the same."""
    least, most = sums.min(), sums.max()
    if most == least:
        return np.zeros_like(sums)
    shares: Floats = float(MOST) * ((sums - least) / float(most - least))
    return shares.astype(np.int64)


# fmt: off
PREFERENCES: tuple[Preference, ...] = (
    Preference("TaintToleration",   3, mild_taints),
    Preference("NodeAffinity",      2, liked_nodes),
    Preference("PodTopologySpread", 2, evenness),
    Preference("InterPodAffinity",  2, liked_neighbours),
)
# fmt: on
