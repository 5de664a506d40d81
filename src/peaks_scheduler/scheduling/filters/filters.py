"""Hard constraints: on which nodes may a pod not run, and why?

A filter is a name, one pure function ``(pod, nodes) -> [(reason, nodes refused)]``, and the cluster events that can
make a refused node fit. Some filters can reject the pod before any node is looked at (``outright``, kube-scheduler's
PreFilter). Names, order and reasons are kube-scheduler's (``getDefaultPlugins``). A new filter is one function and one
line in ``FILTERS``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from peaks_scheduler.ledger.snapshot import Snapshot
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.scheduling.events import ClusterEvent

from .affinity import inter_pod_affinity, no_term_applies, unreadable_namespaces
from .placement import (
    cooldown,
    declared_features,
    names_conflict,
    node_affinity,
    node_names,
    node_unschedulable,
    taint_toleration,
)
from .ports import node_ports
from .refusal import Refusal
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


@dataclass(frozen=True, slots=True)
class Filter:
    """See the module."""

    name: str
    refuse: Callable[[Pod, Snapshot], list[Refusal]]
    events: frozenset[ClusterEvent]
    """The cluster events that can make a refused node fit (kube-scheduler's EventsToRegister)."""
    outright: Callable[[Pod, Snapshot], str | None] | None = None
    """Why the pod fits on no node at all; None: single nodes must be judged."""
    fails: Callable[[Pod, Snapshot], list[Refusal]] | None = None
    """The nodes that cannot be judged, with the error (kube-scheduler's error status)."""
    skipped: Callable[[Pod, Snapshot], bool] | None = None
    """Is the filter skipped when nominated pods are added? So it is where it had nothing to judge without them."""
    ours: bool = False
    """A rule that kube-scheduler does not have."""
    more_nodes_help: bool = True
    """Could nodes that a cluster autoscaler adds take the refused pod?"""


_NODES = frozenset({ClusterEvent.NODE_ADDED, ClusterEvent.NODE_CHANGED})
_ROOM = _NODES | {ClusterEvent.POD_GONE}
_NEIGHBOURS = _ROOM | {ClusterEvent.POD_PLACED, ClusterEvent.POD_CHANGED}
_SPREAD = _NEIGHBOURS | {ClusterEvent.NODE_REMOVED}
_AFFINITY = _NEIGHBOURS | {ClusterEvent.NAMESPACE_CHANGED}
_STORAGE = _ROOM | {ClusterEvent.STORAGE_CHANGED}

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
    Filter("PodTopologySpread", pod_topology_spread, _SPREAD),
    Filter("InterPodAffinity", inter_pod_affinity, _AFFINITY, skipped=no_term_applies),
    Filter("NodeDeclaredFeatures", declared_features, _NODES),
    Filter("PeaksUnreadNamespaces", unreadable_namespaces, _ROOM, ours=True, more_nodes_help=False),
    Filter("PeaksCoolOff", cooldown, _NODES, ours=True, more_nodes_help=False),
)
# fmt: on
