"""NodeResourcesFit: what the pod asks for against what is left. Integers throughout; a request of zero always fits."""

from __future__ import annotations

from peaks_scheduler.arrays import Mask
from peaks_scheduler.ledger.resources import PODS
from peaks_scheduler.ledger.snapshot import Snapshot
from peaks_scheduler.objects.pod import Pod

TOO_MANY_PODS = "Too many pods"


def node_resources_fit(pod: Pod, nodes: Snapshot) -> list[tuple[str, Mask]]:
    """Nodes with too little left of one resource or more, a reason each; a resource that no node has is short
    everywhere."""
    refusals = [(TOO_MANY_PODS, nodes.free[nodes.rows[PODS]] < 1)]
    refusals += [(f"Insufficient {resource}", short) for resource, short in nodes.resources.short(pod.requests)]
    return refusals
