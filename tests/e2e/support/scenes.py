"""A generated cluster (``tests/parity/generate``) on a real API server, as far as that takes it.

Owns what lies between an object in a file and one that was created: uids are the server's, priorities come from
classes, a status is patched in, what is ending was deleted with something that holds it. What the server refuses is
left out and noted. Assumes that nobody but kwok acts on what is created, and that the cluster is empty before. Pods of
ours that wait are created with a gate, so that all else can be in place before the first is looked at (``lift_gates``).
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from tests.e2e.support.api import MERGE_PATCH, ApiError, Object
from tests.e2e.support.cluster import COLLECTIONS, Cluster
from tests.e2e.support.judging import OURS
from tests.support.builders import REQUIRED

STAGED = "test.example.com/staged"
"""Gate of a pod, and finalizer of one that is ending."""
NAMESPACES = ("default", "team-a", "team-b", "empty")
PRIORITY_CLASSES = {5: "five", -10: "minus-ten", 2_000_000_000: "system-cluster-critical"}
_NAMESPACES, _CLASSES = "/api/v1/namespaces", "/apis/scheduling.k8s.io/v1/priorityclasses"
_COLLECTIONS = {**COLLECTIONS, "VolumeAttachment": "/apis/storage.k8s.io/v1/volumeattachments"}
_ORDER = (
    "Pod",  # before the claims that they own
    "PersistentVolumeClaim",  # before the volumes that name them
    "PersistentVolume",
    "StorageClass",
    "CSIDriver",
    "CSIStorageCapacity",
    "VolumeAttachment",
    "CSINode",
    "Node",  # last: until it is there, no pod on it can be one too many
)
REFUSALS = (400, 403, 422)
GRACE = 3600  # [s] that a deleted pod stays on its node: longer than any test


@dataclass(slots=True)
class Scene:
    """What became of the objects."""

    waiting: list[Object] = field(default_factory=list)
    """Pods to be placed, as created: with the gate."""
    created: int = 0
    refused: list[str] = field(default_factory=list)
    """What the API server did not take, in its words."""


def prepare(cluster: Cluster) -> None:
    """The namespaces and priority classes that generated clusters use."""
    for name in set(NAMESPACES) - cluster.names(_NAMESPACES):
        cluster.api.post(_NAMESPACES, {"metadata": {"name": name}})
    for value, name in PRIORITY_CLASSES.items():
        if name not in cluster.names(_CLASSES):
            cluster.api.post(_CLASSES, {"metadata": {"name": name}, "value": value})


def stage(cluster: Cluster, objects: Sequence[Object]) -> Scene:
    """Creates what the API server takes of these objects."""
    _label_namespaces(cluster, objects)
    scene, uids = Scene(created=sum(raw["kind"] == "Namespace" for raw in objects)), {}
    for kind in _ORDER:
        for raw in (each for each in objects if each["kind"] == kind):
            try:
                made = _create(cluster, _acceptable(raw, uids))
                uids[raw["metadata"].get("uid", "")] = made["metadata"]["uid"]
                _finish(cluster, raw, made)
            except ApiError as refusal:
                if refusal.code not in REFUSALS:
                    raise
                scene.refused.append(f"{kind} {raw['metadata']['name']}: {refusal.status.get('message')}")
                continue
            scene.created += 1
            if is_to_be_placed(raw):
                scene.waiting.append(made)
    return scene


def lift_gates(cluster: Cluster, scene: Scene) -> None:
    """From now on the scheduler may look at the pods that wait; those with a gate of their own keep it."""
    for pod in scene.waiting:
        gates = [gate for gate in pod["spec"]["schedulingGates"] if gate["name"] != STAGED]
        cluster.api.patch(_own_path(pod), {"spec": {"schedulingGates": gates or None}})


def strike(cluster: Cluster) -> None:
    """Nothing is left of the scene."""
    cluster.delete_all(_COLLECTIONS["VolumeAttachment"])
    cluster.reset_workloads()
    _label_namespaces(cluster, ())


def _label_namespaces(cluster: Cluster, objects: Iterable[Object]) -> None:
    """Namespaces outlive a scene: each gets the labels that it has in this one, and loses all others."""
    wanted = {
        raw["metadata"]["name"]: raw["metadata"].get("labels", {}) for raw in objects if raw["kind"] == "Namespace"
    }
    for name in NAMESPACES:
        before = cluster.api.get(f"{_NAMESPACES}/{name}")["metadata"]["labels"]
        fixed = {"kubernetes.io/metadata.name": name}
        labels = dict.fromkeys(before) | wanted.get(name, {}) | fixed
        cluster.api.patch(f"{_NAMESPACES}/{name}", {"metadata": {"labels": labels}})


# --- from a file to the server ----------------------------------------------------------------------------------------


def _acceptable(raw: Object, uids: dict[str, str]) -> Object:
    """The object in a form that can be created: without what only the server may say."""
    made = copy.deepcopy(raw)
    metadata = made["metadata"]
    for key in ("uid", "deletionTimestamp"):
        metadata.pop(key, None)
    for reference in (*metadata.get("ownerReferences", ()), made.get("spec", {}).get("claimRef") or {}):
        if "uid" in reference:
            reference["uid"] = uids.get(reference["uid"], reference["uid"])
    if raw["kind"] == "Pod":
        _acceptable_pod(raw, made)
    return made


def _acceptable_pod(raw: Object, made: Object) -> None:
    spec = made["spec"]
    priority = spec.pop("priority", 0)
    if priority:
        spec["priorityClassName"] = PRIORITY_CLASSES[priority]
    for container in (*spec["containers"], *spec.get("initContainers", ())):
        container["image"] = "none"
    for disk in (volume["iscsi"] for volume in spec.get("volumes", ()) if "iscsi" in volume):
        disk["iqn"] = f"iqn.2026-11.com.example:{disk['iqn']}"
    for term in _terms(spec):
        _unmerge(term)
    if is_to_be_placed(raw):
        spec["schedulingGates"] = [*spec.get("schedulingGates", ()), {"name": STAGED}]
    elif "nodeName" not in spec and _is_ending(raw):
        made["metadata"]["finalizers"] = [STAGED]  # nothing else keeps a pod that no kubelet has


def _terms(spec: Object) -> Iterator[Object]:
    """Spread constraints, and required terms of pod affinity and anti-affinity."""
    yield from spec.get("topologySpreadConstraints", ())
    for kind in ("podAffinity", "podAntiAffinity"):
        yield from (spec.get("affinity") or {}).get(kind, {}).get(REQUIRED, ())


def _unmerge(term: Object) -> None:
    """The selector without what the server puts into it for these keys, for it refuses to do that twice."""
    keys = (*term.get("matchLabelKeys", ()), *term.get("mismatchLabelKeys", ()))
    selector = term.get("labelSelector") or {}
    if keys and "matchExpressions" in selector:
        selector["matchExpressions"] = [each for each in selector["matchExpressions"] if each["key"] not in keys]


def _create(cluster: Cluster, made: Object) -> Object:
    created: Object = cluster.api.post(_collection_path(made), made)
    return {"kind": made["kind"], **created}


def _finish(cluster: Cluster, raw: Object, made: Object) -> None:
    """What comes after the creation: the end, then the status, for a pod that has finished goes at once."""
    path = _own_path(made)
    if _is_ending(raw):
        cluster.api.delete(path, {"gracePeriodSeconds": GRACE} if raw["kind"] == "Pod" else None)
    if raw["kind"] in ("Pod", "PersistentVolume", "PersistentVolumeClaim") and raw.get("status"):
        cluster.api.request("PATCH", f"{path}/status", {"status": _status(raw)}, MERGE_PATCH)


def _status(raw: Object) -> Object:
    """Containers that have a status have started: were the pod Pending still, kwok would try to write its own."""
    started = (
        {"phase": "Running"} if "containerStatuses" in raw["status"] and raw["status"]["phase"] == "Pending" else {}
    )
    return {**raw["status"], **started}


def _is_ending(raw: Object) -> bool:
    return "deletionTimestamp" in raw["metadata"]


def is_to_be_placed(raw: Object) -> bool:
    """Is it a pod that our scheduler is to look at?"""
    if raw["kind"] != "Pod" or raw["spec"]["schedulerName"] != OURS or "nodeName" in raw["spec"]:
        return False
    return not _is_ending(raw) and raw.get("status", {}).get("phase") not in ("Succeeded", "Failed")


def _collection_path(raw: Object) -> str:
    base, plural = _COLLECTIONS[raw["kind"]].rsplit("/", 1)
    where = f"{base}/namespaces/{raw['metadata']['namespace']}" if "namespace" in raw["metadata"] else base
    return f"{where}/{plural}"


def _own_path(raw: Object) -> str:
    return f"{_collection_path(raw)}/{raw['metadata']['name']}"
