"""NodeResourcesFit: what the pod asks for against what is left. Integers throughout; a request of zero always fits."""

from __future__ import annotations

import numpy as np

from ..objects import Pod
from ..snapshot import PODS, Mask, Snapshot

TOO_MANY_PODS = "Too many pods"


def node_resources_fit(pod: Pod, nodes: Snapshot) -> list[tuple[str, Mask]]:
    """Nodes with too little left of one resource or more, a reason each; a resource that no node has is short
    everywhere."""
    refusals = [(TOO_MANY_PODS, nodes.free[nodes.rows[PODS]] < 1)]
    for resource, amount in pod.requests:
        row = nodes.rows.get(resource)
        short = np.ones(len(nodes), np.bool_) if row is None else nodes.free[row] < amount
        refusals.append((f"Insufficient {resource}", short))
    return refusals
