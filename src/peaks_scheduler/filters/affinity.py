"""InterPodAffinity, as far as it is honoured: pods already there may keep others away by required anti-affinity.

Affinity and anti-affinity that the incoming pod itself requires are refused before any filter runs (``objects``).
"""

from __future__ import annotations

from ..objects import Pod
from ..snapshot import Mask, Snapshot

REPELLED = "node(s) didn't satisfy existing pods anti-affinity rules"
MAY_BE_REPELLED = "node(s) had pods whose anti-affinity selects namespaces by label, which this scheduler does not read"


def existing_anti_affinity(pod: Pod, nodes: Snapshot) -> list[tuple[str, Mask]]:
    """Nodes in whose topology domain a pod's required anti-affinity matches this one."""
    certain, _ = nodes.index.repelled_by(pod)
    return [] if certain is None else [(REPELLED, certain)]


def unread_namespaces(pod: Pod, nodes: Snapshot) -> list[tuple[str, Mask]]:
    """Nodes where it may match: the term selects namespaces by label. Not used, rather than used wrongly."""
    _, possible = nodes.index.repelled_by(pod)
    return [] if possible is None else [(MAY_BE_REPELLED, possible)]
