"""Filters on the node itself: cordon, taints, names, labels, features, cooldown. Each looks at distinct values, never
at node after node."""

from __future__ import annotations

import numpy as np

from peaks_scheduler.arrays import Mask
from peaks_scheduler.ledger.snapshot import Snapshot
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.objects.selectors import Taint, Tolerated

from .refusal import Refusal

UNSCHEDULABLE = "node(s) were unschedulable"
UNTOLERATED = "node(s) had untolerated taint(s)"
NOT_SELECTED = "node(s) didn't match Pod's node affinity/selector"
NOT_NAMED = "node(s) didn't satisfy plugin(s) [NodeAffinity]"
NAMES_CONFLICT = "pod affinity terms conflict"
"""Given before any node is looked at."""
NOT_DECLARED = "node(s) didn't match Pod's required features"
COOLDOWN = "node(s) were resting after a rejected pod or an overbooking"

_CORDON = Taint("node.kubernetes.io/unschedulable", "", "NoSchedule")


def node_unschedulable(pod: Pod, nodes: Snapshot) -> list[Refusal]:
    """Cordoned nodes, unless the pod tolerates the taint that a cordon adds."""
    if any(t.tolerates(_CORDON) for t in pod.tolerations):
        return []
    return [(UNSCHEDULABLE, nodes.unschedulable)]


def taint_toleration(pod: Pod, nodes: Snapshot) -> list[Refusal]:
    """Nodes with a NoSchedule or NoExecute taint that the pod does not tolerate."""
    return [(UNTOLERATED, having) for having in untolerated(pod, nodes)]


def untolerated(pod: Pod, nodes: Snapshot) -> list[Mask]:
    """(N,) masks of the nodes whose taints the pod does not tolerate, one for each set of taints."""
    sets = nodes.index.taint_sets()
    if not sets:
        return []
    tolerated = Tolerated(pod.tolerations)
    return [having for taints, having in sets.items() if not all(map(tolerated.includes, taints))]


def node_names(pod: Pod, nodes: Snapshot) -> list[Refusal]:
    """Nodes that the pod's ``matchFields`` do not name; kube-scheduler removes them before any other filter."""
    names = pod.where.names
    if names is None:
        return []
    refused = np.ones(len(nodes), np.bool_)
    refused[[i for name in names if (i := nodes.index.position(name)) is not None]] = False
    return [(NOT_NAMED, refused)]


def names_conflict(pod: Pod, nodes: Snapshot) -> str | None:
    """The reason where the pod's ``matchFields`` leave no name at all."""
    return NAMES_CONFLICT if pod.where.names == frozenset() else None


def node_affinity(pod: Pod, nodes: Snapshot) -> list[Refusal]:
    """Nodes outside ``nodeSelector`` and required node affinity."""
    return [(NOT_SELECTED, ~nodes.index.matching(pod.where))] if pod.where else []


def declared_features(pod: Pod, nodes: Snapshot) -> list[Refusal]:
    """Nodes that do not declare a feature that the pod needs."""
    return [(NOT_DECLARED, ~nodes.index.declaring(pod.features))] if pod.features else []


def cooldown(pod: Pod, nodes: Snapshot) -> list[Refusal]:
    """Nodes in cooldown: another scheduler's pod and one of ours collided there a moment ago."""
    return [(COOLDOWN, nodes.cooling)]
