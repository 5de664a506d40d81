"""NodePorts: a host port can be had once per node, protocol and address."""

from __future__ import annotations

from ..objects import Pod
from ..snapshot import Mask, Snapshot

NO_FREE_PORTS = "node(s) didn't have free ports for the requested pod ports"


def node_ports(pod: Pod, nodes: Snapshot) -> list[tuple[str, Mask]]:
    """Nodes on which one of the pod's host ports is taken."""
    if not pod.ports:
        return []
    taken = nodes.index.holding_ports(pod.ports)
    return [] if taken is None else [(NO_FREE_PORTS, taken)]
