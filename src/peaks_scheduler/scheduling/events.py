"""Events that can cure a pod's failure to be placed: the words that filters, the ledger's feeders and the queue
share."""

from __future__ import annotations

import enum


class Wake(enum.Enum):
    """The values are kube-scheduler's event labels where it knows the event."""

    NODE_ADDED = "NodeAdd"
    NODE_CHANGED = "NodeUpdate"  # allocatable, labels, taints, conditions; also the end of a cool-off
    POD_GONE = "AssignedPodDelete"  # deleted, finished or asking for less: resources, ports, anti-affinity
    POD_PLACED = "AssignedPodAdd"  # a pod is on a node: affinity, spread
    POD_CHANGED = "AssignedPodUpdate"  # a pod on a node has other labels, or began to end
    STORAGE_CHANGED = "StorageChange"  # claims, volumes, classes, limits, capacities
    NAMESPACE_CHANGED = "NamespaceUpdate"
    LOAD_CHANGED = "LoadChange"
