"""Which pods cannot be moved: a controller, the kubelet or a volume ties them to their node. Pure."""

from __future__ import annotations

from peaks_scheduler.files.kubernetes_objects import Json, items_of, mapping

DAEMON_SET = "DaemonSet"
STATIC = "static"
LOCAL_VOLUME = "local volume"
UNKNOWN_VOLUME = "unknown volume"
UNSUPPORTED = "unsupported"

WORDS = {
    DAEMON_SET: "pod kept on its node: of a DaemonSet",
    STATIC: "pod kept on its node: static",
    LOCAL_VOLUME: "pod kept on its node: with a volume on it",
    UNKNOWN_VOLUME: "pod kept on its node: its volume is not known (it is after kubectl get nodes,pods,pv,pvc)",
    UNSUPPORTED: "pod kept on its node: with fields that this scheduler does not support",
}
"""Why a pod stays -> the note that counts such pods."""

_MIRROR = "kubernetes.io/config.mirror"
_SOURCE = "kubernetes.io/config.source"


def tied(raw: Json) -> str:
    """Why the pod's own object ties it to its node; empty: it does not."""
    meta = mapping(raw.get("metadata"))
    return tied_by_owner(_controller(meta)) or (STATIC if _from_kubelet(meta) else "")


def tied_by_owner(kind: str) -> str:
    """Why a pod whose controller is of this kind stays; the Node itself owns static pods."""
    return {"DaemonSet": DAEMON_SET, "Node": STATIC}.get(kind, "")


def _controller(meta: Json) -> str:
    owners = (mapping(owner) for owner in items_of(meta.get("ownerReferences")))
    return next((str(owner.get("kind")) for owner in owners if owner.get("controller")), "")


def _from_kubelet(meta: Json) -> bool:
    annotations = mapping(meta.get("annotations"))
    return _MIRROR in annotations or annotations.get(_SOURCE, "api") != "api"
