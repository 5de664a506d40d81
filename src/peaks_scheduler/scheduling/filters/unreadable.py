"""Fields of a pod that depend on kinds of objects that the API server does not have, or does not let us read."""

from __future__ import annotations

from collections.abc import Iterator

from peaks_scheduler.objects.pod import Pod

NAMESPACES = "namespaces"
CLAIMS = frozenset({"persistentvolumeclaims", "persistentvolumes", "storageclasses"})
"""Without these no claim can be judged. Without the other kinds of storage (CSINode and so on) only limits are
unknown."""


def unreadable_fields(pod: Pod, unreadable: frozenset[str]) -> Iterator[str]:
    """The fields of the pod that depend on ``unreadable`` kinds (plural names), with the reason."""
    if not unreadable:
        return
    missing = sorted(CLAIMS & unreadable)
    if missing and any(volume.claim for volume in pod.volumes):
        yield f"spec.volumes (this scheduler cannot read {', '.join(missing)})"
    if NAMESPACES in unreadable and any(term.namespace_selector for term in (*pod.affinity, *pod.anti_affinity)):
        yield "spec.affinity: namespaceSelector (this scheduler cannot read namespaces)"
