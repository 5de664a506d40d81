"""What a pod needs that nobody reads: objects of a kind that the API server does not have, or does not show us."""

from __future__ import annotations

from collections.abc import Iterator

from peaks_scheduler.objects.pod import Pod

NAMESPACES = "namespaces"
CLAIMS = frozenset({"persistentvolumeclaims", "persistentvolumes", "storageclasses"})
"""Without these nothing can be said of a claim; without the others (CSINode and so on) only limits are not kept."""


def unread(pod: Pod, unreadable: frozenset[str]) -> Iterator[str]:
    """What of the pod cannot be honoured for that reason, in words."""
    if not unreadable:
        return
    missing = sorted(CLAIMS & unreadable)
    if missing and any(volume.claim for volume in pod.volumes):
        yield f"spec.volumes (this scheduler cannot read {', '.join(missing)})"
    if NAMESPACES in unreadable and any(term.namespace_selector for term in (*pod.affinity, *pod.anti_affinity)):
        yield "spec.affinity: namespaceSelector (this scheduler cannot read namespaces)"
