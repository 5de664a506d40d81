"""NodePorts: a host port can be used once per node, protocol and address."""

from __future__ import annotations

from peaks_scheduler.ledger.snapshot import Snapshot
from peaks_scheduler.objects.pod import Pod

from .refusal import Refusal

NO_FREE_PORTS = "node(s) didn't have free ports for the requested pod ports"


def node_ports(pod: Pod, nodes: Snapshot) -> list[Refusal]:
    """Nodes on which one of the pod's host ports is taken."""
    if not pod.ports:
        return []
    taken = nodes.index.holding_ports(pod.ports)
    return [] if taken is None else [(NO_FREE_PORTS, taken)]
