"""Hard constraints: on which nodes may a pod not run, and why?

A filter is a name, one pure function, what can cure its refusals, and whether an autoscaler could: the function takes
the pod and the snapshot and returns ``(reason, nodes refused)`` pairs, so that the words come with the verdict. Some
can say before any node is looked at that none will do (``outright``, kube-scheduler's PreFilter). Names, order and
reasons are kube-scheduler's (``getDefaultPlugins``), so a Kubernetes reader knows where everything is. A new filter is
one function and one line in ``FILTERS``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from peaks_scheduler.arrays import Mask
from peaks_scheduler.ledger.snapshot import Snapshot
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.scheduling.events import Wake

from .affinity import inter_pod_affinity, nothing_to_judge, unread_namespaces
from .placement import (
    declared_features,
    names_conflict,
    node_affinity,
    node_names,
    node_unschedulable,
    resting,
    taint_toleration,
)
from .ports import node_ports
from .resources import node_resources_fit
from .spread import pod_topology_spread
from .volume_binding import volume_binding, volume_binding_failures, volume_binding_outright
from .volumes import (
    node_volume_limits,
    node_volume_limits_failures,
    nothing_restricted,
    volume_restrictions,
    volume_restrictions_outright,
    volume_zone,
    volume_zone_outright,
)

Refusal = tuple[str, Mask]
"""A reason, and the (N,) nodes it refuses."""


@dataclass(frozen=True, slots=True)
class Filter:
    """See the module."""

    name: str
    refuse: Callable[[Pod, Snapshot], list[Refusal]]
    cured_by: frozenset[Wake]
    """What can make a refused node fit."""
    outright: Callable[[Pod, Snapshot], str | None] | None = None
    """Why no node at all will do; None: that takes a look at the nodes."""
    fails: Callable[[Pod, Snapshot], list[Refusal]] | None = None
    """The words, and the nodes that cannot be judged (kube-scheduler's error status)."""
    skipped: Callable[[Pod, Snapshot], bool] | None = None
    """Is it not even asked when those are added that room is kept for, as it had nothing to judge before?"""
    ours: bool = False
    """A reason of our own that a cluster autoscaler knows nothing of: buying nodes would not help."""


_NODES = frozenset({Wake.NODE_ADDED, Wake.NODE_CHANGED})
_ROOM = _NODES | {Wake.POD_GONE}
_NEIGHBOURS = _ROOM | {Wake.POD_PLACED, Wake.POD_CHANGED}
_AFFINITY = _NEIGHBOURS | {Wake.NAMESPACE_CHANGED}
_STORAGE = _ROOM | {Wake.STORAGE_CHANGED}

# fmt: off
FILTERS: tuple[Filter, ...] = (
    Filter("NodeAffinity", node_names, _NODES, names_conflict),
    Filter("NodeUnschedulable", node_unschedulable, _NODES),
    Filter("TaintToleration", taint_toleration, _NODES),
    Filter("NodeAffinity", node_affinity, _NODES),
    Filter("NodePorts", node_ports, _ROOM),
    Filter("NodeResourcesFit", node_resources_fit, _ROOM),
    Filter(
        "VolumeRestrictions", volume_restrictions, _STORAGE, volume_restrictions_outright, skipped=nothing_restricted
    ),
    Filter("NodeVolumeLimits", node_volume_limits, _STORAGE, fails=node_volume_limits_failures),
    Filter("VolumeBinding", volume_binding, _STORAGE, volume_binding_outright, volume_binding_failures),
    Filter("VolumeZone", volume_zone, _STORAGE, volume_zone_outright),
    Filter("PodTopologySpread", pod_topology_spread, _NEIGHBOURS),
    Filter("InterPodAffinity", inter_pod_affinity, _AFFINITY, skipped=nothing_to_judge),
    Filter("NodeDeclaredFeatures", declared_features, _NODES),
    Filter("PeaksUnreadNamespaces", unread_namespaces, _ROOM, ours=True),
    Filter("PeaksCoolOff", resting, _NODES, ours=True),
)
# fmt: on
