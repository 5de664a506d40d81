"""Hard constraints: on which nodes may a pod not run, and why?

A filter is a name, one pure function, what can cure its refusals, and whether an autoscaler could: the function takes
the pod and the snapshot and returns ``(reason, nodes refused)`` pairs, so that the words come with the verdict.
Names, order and reasons are kube-scheduler's (``getDefaultPlugins``), so a Kubernetes reader knows where everything
is. A new filter is one function and one line in ``FILTERS``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..objects import Pod
from ..snapshot import Mask, Snapshot
from ..wake import Wake
from .affinity import existing_anti_affinity, unread_namespaces
from .placement import node_affinity, node_names, node_unschedulable, resting, taint_toleration
from .ports import node_ports
from .resources import node_resources_fit

Refusal = tuple[str, Mask]
"""A reason, and the (N,) nodes it refuses."""


@dataclass(frozen=True, slots=True)
class Filter:
    """See the module."""

    name: str
    refuse: Callable[[Pod, Snapshot], list[Refusal]]
    cured_by: frozenset[Wake]
    """What can make a refused node fit."""
    ours: bool = False
    """A reason of our own that a cluster autoscaler knows nothing of: buying nodes would not help."""


_NODES = frozenset({Wake.NODE_ADDED, Wake.NODE_CHANGED})
_NODES_AND_PODS = _NODES | {Wake.POD_GONE}

FILTERS: tuple[Filter, ...] = (
    Filter("NodeAffinity", node_names, _NODES),
    Filter("NodeUnschedulable", node_unschedulable, _NODES),
    Filter("TaintToleration", taint_toleration, _NODES),
    Filter("NodeAffinity", node_affinity, _NODES),
    Filter("NodePorts", node_ports, _NODES_AND_PODS),
    Filter("NodeResourcesFit", node_resources_fit, _NODES_AND_PODS),
    Filter("InterPodAffinity", existing_anti_affinity, _NODES_AND_PODS),
    Filter("PeaksUnreadNamespaces", unread_namespaces, _NODES_AND_PODS, ours=True),
    Filter("PeaksCoolOff", resting, _NODES, ours=True),
)
