"""NodeResourcesFit: the pod's requests against what is left on each node. In integers; a request of zero always
fits."""

from __future__ import annotations

from peaks_scheduler.ledger.offers import PODS
from peaks_scheduler.ledger.snapshot import Snapshot
from peaks_scheduler.objects.pod import Pod

from .refusal import Refusal

TOO_MANY_PODS = "Too many pods"


def node_resources_fit(pod: Pod, nodes: Snapshot) -> list[Refusal]:
    """Nodes with too little left, a reason for each resource. A resource that no node has is short on all nodes."""
    refusals: list[Refusal] = [(TOO_MANY_PODS, nodes.free[nodes.rows[PODS]] < 1)]
    refusals += [(f"Insufficient {resource}", short) for resource, short in nodes.offers.short(pod.requests)]
    return refusals
