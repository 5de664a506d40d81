"""Small claims, volumes, classes and what CSI drivers say of nodes, as the API server writes them.

What a test does not mention is plain: 10Gi, ReadWriteOnce, class ``standard``, reachable from everywhere. A claim's
uid is ``uid-NAME``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tests.support.builders import HOSTNAME, Json, expression

ZONE = "topology.kubernetes.io/zone"
DRIVER = "disk.example.com"


def claim(
    name: str = "data",
    *,
    volume: str = "",
    bound: bool | None = None,
    class_name: str | None = "standard",
    size: str | None = "10Gi",
    modes: Sequence[str] = ("ReadWriteOnce",),
    version: str = "1",
    namespace: str = "default",
    annotations: Mapping[str, str] | None = None,
    selected_node: str | None = None,
    owner: str | None = None,
    deleting: bool = False,
    phase: str = "Pending",
    **spec: Any,
) -> Json:
    """A claim; ``volume`` binds it fully unless ``bound`` says otherwise, ``owner`` is the uid of its controller."""
    marks = dict(annotations or {})
    if bound if bound is not None else bool(volume):
        marks["pv.kubernetes.io/bind-completed"] = "yes"
    if selected_node is not None:
        marks["volume.kubernetes.io/selected-node"] = selected_node
    meta: Json = {"name": name, "namespace": namespace, "uid": f"uid-{name}", "resourceVersion": version}
    meta |= {"annotations": marks} if marks else {}
    meta |= {"deletionTimestamp": "2026-11-20T10:00:00Z"} if deleting else {}
    if owner is not None:
        meta["ownerReferences"] = [{"kind": "Pod", "name": "it", "uid": owner, "controller": True}]
    whole: Json = {"accessModes": list(modes), "resources": {"requests": {"storage": size} if size else {}}}
    whole |= {"storageClassName": class_name} if class_name is not None else {}
    whole |= {"volumeName": volume} if volume else {}
    return {"kind": "PersistentVolumeClaim", "metadata": meta, "spec": whole | spec, "status": {"phase": phase}}


def volume(
    name: str = "vol",
    *,
    size: str = "10Gi",
    class_name: str = "standard",
    modes: Sequence[str] = ("ReadWriteOnce",),
    claim: str | None = None,
    claim_uid: str | None = None,
    terms: Sequence[Json] | None = None,
    on: str | None = None,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    handle: str | None = None,
    version: str = "1",
    phase: str = "Available",
    deleting: bool = False,
    **spec: Any,
) -> Json:
    """A volume: on one node (``on``) or where its ``terms`` say, of the CSI driver if it has a ``handle``, kept for a
    ``claim`` of namespace default."""
    meta: Json = {"name": name, "uid": f"uid-{name}", "resourceVersion": version, "labels": dict(labels or {})}
    meta |= {"annotations": dict(annotations)} if annotations else {}
    meta |= {"deletionTimestamp": "2026-11-20T10:00:00Z"} if deleting else {}
    whole: Json = {"capacity": {"storage": size}, "accessModes": list(modes), "storageClassName": class_name}
    if on is not None:
        terms = [{"matchExpressions": [expression(HOSTNAME, "In", on)]}]
    if terms is not None:
        whole["nodeAffinity"] = {"required": {"nodeSelectorTerms": list(terms)}}
    if handle is not None:
        whole["csi"] = {"driver": DRIVER, "volumeHandle": handle}
    if claim is not None:
        whole["claimRef"] = {"namespace": "default", "name": claim, "uid": claim_uid or f"uid-{claim}"}
    return {"kind": "PersistentVolume", "metadata": meta, "spec": whole | spec, "status": {"phase": phase}}


def storage_class(
    name: str = "standard",
    *,
    provisioner: str = DRIVER,
    mode: str | None = "WaitForFirstConsumer",
    topologies: Sequence[Mapping[str, Sequence[str]]] = (),
) -> Json:
    """A class; each of ``topologies`` maps labels to values, one of which a node must have."""
    raw: Json = {"kind": "StorageClass", "metadata": {"name": name}, "provisioner": provisioner}
    raw |= {"volumeBindingMode": mode} if mode else {}
    if topologies:
        raw["allowedTopologies"] = [
            {"matchLabelExpressions": [{"key": key, "values": list(values)} for key, values in term.items()]}
            for term in topologies
        ]
    return raw


def csi_node(name: str, limits: Mapping[str, int | None] | None = None, *, migrated: Sequence[str] = ()) -> Json:
    """What the CSI drivers of a node say; a limit of None: that driver has none."""
    drivers = [
        {"name": driver, "nodeID": name} | ({} if limit is None else {"allocatable": {"count": limit}})
        for driver, limit in (limits or {}).items()
    ]
    meta: Json = {"name": name}
    if migrated:
        meta["annotations"] = {"storage.alpha.kubernetes.io/migrated-plugins": ",".join(migrated)}
    return {"kind": "CSINode", "metadata": meta, "spec": {"drivers": drivers}}


def csi_driver(name: str = DRIVER, *, tracks_capacity: bool = True) -> Json:
    return {"kind": "CSIDriver", "metadata": {"name": name}, "spec": {"storageCapacity": tracks_capacity}}


def capacity(name: str, topology: Json | None, *, class_name: str = "standard", **sizes: str) -> Json:
    """``sizes``: ``capacity``, ``maximumVolumeSize``."""
    meta = {"name": name, "namespace": "kube-system"}
    raw: Json = {"kind": "CSIStorageCapacity", "metadata": meta, "storageClassName": class_name, **sizes}
    return raw | ({} if topology is None else {"nodeTopology": topology})


def attachment(volume: str | None, node: str, *, driver: str = DRIVER, name: str | None = None) -> Json:
    source = {} if volume is None else {"persistentVolumeName": volume}
    spec = {"attacher": driver, "nodeName": node, "source": source}
    return {"kind": "VolumeAttachment", "metadata": {"name": name or f"va-{volume}-{node}"}, "spec": spec}


def using(*claims: str, **sources: Json) -> list[Json]:
    """``spec.volumes`` of a pod: claims, then other sources, each in a volume of the source's name."""
    named = [{"name": f"of-{name}", "persistentVolumeClaim": {"claimName": name}} for name in claims]
    return named + [{"name": source.lower(), source: given} for source, given in sources.items()]
