"""Cluster events: changes in the cluster that can make a pending pod schedulable (kube-scheduler's ClusterEvent).

A filter names the events that can turn its refusal, the daemon reports the events that happen, and the queue wakes the
pods that wait for them. Kubernetes' own Event objects are another thing: ``kube.events``.
"""

from __future__ import annotations

import enum


class ClusterEvent(enum.Enum):
    """The values are kube-scheduler's event labels where it knows the event."""

    NODE_ADDED = "NodeAdd"
    NODE_CHANGED = "NodeUpdate"  # allocatable, labels, taints, conditions; also the end of a node's cooldown
    NODE_REMOVED = "NodeDelete"  # fewer domains to spread over
    POD_GONE = "AssignedPodDelete"  # deleted, finished or asking for less: resources, ports, anti-affinity
    POD_PLACED = "AssignedPodAdd"  # a pod is on a node: affinity, spread
    POD_CHANGED = "AssignedPodUpdate"  # a pod on a node has other labels, or began to end
    STORAGE_CHANGED = "StorageChange"  # claims, volumes, classes, limits, capacities
    NAMESPACE_CHANGED = "NamespaceUpdate"
    LOAD_CHANGED = "LoadChange"
