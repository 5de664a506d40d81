"""The pod that a controller would make from a pod template, as far as the scheduler reads it.

Owns what controllers and admission add: a StatefulSet's claims, the claims of ephemeral volumes, a DaemonSet's
tolerations, the default storage class. Assumes a template with a list of containers; all else may have any form.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from peaks_scheduler.files.kubernetes_objects import items_of, mapping, name_of
from peaks_scheduler.objects.requests import Json

DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
DAEMON_TOLERATIONS = [
    # kubernetes 1.36, pkg/controller/daemon/util/daemonset_util.go
    {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": effect}
    for key, effect in (
        ("not-ready", "NoExecute"),
        ("unreachable", "NoExecute"),
        ("disk-pressure", "NoSchedule"),
        ("memory-pressure", "NoSchedule"),
        ("pid-pressure", "NoSchedule"),
        ("unschedulable", "NoSchedule"),
    )
]


def pod_of(kind: str, namespace: str, workload: str, uid: str, holder: Json, template: Json) -> list[Json]:
    """The pod and its claims. ``holder`` is the mapping that contains the template.

    Of a StatefulSet's pods, or of any pods with claims of their own, it is the first.
    """
    claims = items_of(holder.get("volumeClaimTemplates"))
    first = mapping(holder.get("ordinals")).get("start") or 0
    name = f"{workload}-{first}" if claims or kind == "StatefulSet" else workload
    meta = {**mapping(template.get("metadata")), "name": name, "namespace": namespace, "uid": uid}
    pod: Json = {"kind": "Pod", "apiVersion": "v1", "metadata": meta, "spec": dict(template["spec"])}
    if kind == "DaemonSet":
        pod["spec"]["tolerations"] = [*items_of(pod["spec"].get("tolerations")), *DAEMON_TOLERATIONS]
    return [pod, *_own_claims(pod, claims), *_ephemeral_claims(pod)]


def _own_claims(pod: Json, claims: list[Any]) -> list[Json]:
    """The claims of ``volumeClaimTemplates`` for this pod; adds them to the pod's volumes."""
    made = []
    for claim in map(mapping, claims):
        volume = name_of(mapping(claim.get("metadata")))
        name = f"{volume}-{pod['metadata']['name']}"
        others = [each for each in items_of(pod["spec"].get("volumes")) if mapping(each).get("name") != volume]
        pod["spec"]["volumes"] = [*others, {"name": volume, "persistentVolumeClaim": {"claimName": name}}]
        made.append(_claim(pod, {"name": name}, mapping(claim.get("spec"))))
    return made


def _ephemeral_claims(pod: Json) -> Iterator[Json]:
    """The claims of the pod's ephemeral volumes."""
    # the owner reference is checked: without it, the claim would not count as this volume's
    owner = {"kind": "Pod", "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"], "controller": True}
    for volume in items_of(pod["spec"].get("volumes")):
        template = mapping(mapping(mapping(volume).get("ephemeral")).get("volumeClaimTemplate"))
        if template:
            name = f"{pod['metadata']['name']}-{volume.get('name')}"
            yield _claim(pod, {"name": name, "ownerReferences": [owner]}, mapping(template.get("spec")))


def _claim(pod: Json, meta: Json, spec: Json) -> Json:
    meta = {**meta, "namespace": pod["metadata"]["namespace"]}
    return {"kind": "PersistentVolumeClaim", "apiVersion": "v1", "metadata": meta, "spec": spec}


def with_class(claim: Json, name: str) -> Json:
    """The claim as admission leaves it, if ``name`` is the default storage class; empty: there is none."""
    if not name or claim["kind"] != "PersistentVolumeClaim" or claim["spec"].get("storageClassName") is not None:
        return claim
    return {**claim, "spec": {**claim["spec"], "storageClassName": name}}


def default_class(objects: Iterable[Json]) -> str:
    """Name of the default StorageClass among the objects; empty where there is none."""
    for raw in objects:
        meta = mapping(raw.get("metadata"))
        if raw["kind"] == "StorageClass" and mapping(meta.get("annotations")).get(DEFAULT_CLASS) == "true":
            return str(meta.get("name") or "")
    return ""
