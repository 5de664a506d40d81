"""The pods of the largest cluster that Kubernetes supports, as a watch shows them: 5,000 nodes, 150,000 pods.

Owns their shape. Every pod has 40 labels, the tolerations that admission adds, an owner, limits, times of its
containers, and the constraints of its kind. Of six pods, three to four belong to Deployments (ReplicaSets of 25; spread
and anti-affinity), one is of a DaemonSet (affinity to its node, all tolerations of daemons), one is of a StatefulSet
(ten replicas; a label and a claim of its own; required anti-affinity), and every tenth pod is of a Job (labels of its
own Job, which has one pod). Pods of one owner differ in name, uid, node and times, and in nothing else where the real
ones differ in nothing else. What scheduling does not read (environment, volumes of tokens, ``managedFields``) is there
too. Everything follows from the number of the pod. Pure.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

from benchmarks.workload import CPUS, MEMORIES, ZONE, node_names
from peaks_scheduler.commands.explain.made_pods import DAEMON_TOLERATIONS

Object = dict[str, Any]

LABELS = 40
SIZES = {"Deployment": 25, "DaemonSet": 0, "StatefulSet": 10, "Job": 1}  # pods of an owner; 0: one a node
TURN = ("Deployment",) * 6 + ("DaemonSet",) * 2 + ("StatefulSet",) + ("Job",)
_BEGUN = "2026-01-01T00:{:02}:{:02}Z"
_REQUIRED, _PREFERRED = (f"{each}DuringSchedulingIgnoredDuringExecution" for each in ("required", "preferred"))
_NOT_READY = [
    {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
    for key in ("not-ready", "unreachable")
]


def placed_pods(count: int, nodes: int, scheduler: str = "Peaks") -> Iterator[bytes]:
    """The JSON of ``count`` running pods on a cluster of ``nodes`` nodes."""
    names, rng = node_names(nodes), random.Random("placed")
    order = rng.sample(range(nodes), nodes)
    numbers = dict.fromkeys(SIZES, 0)
    for i in range(count):
        kind = TURN[i % len(TURN)]
        number = numbers[kind]
        numbers[kind] += 1
        yield json.dumps(_pod(i, kind, number, names, names[order[i % nodes]], scheduler)).encode()


def _pod(i: int, kind: str, number: int, nodes: list[str], node: str, scheduler: str) -> Object:
    owner, replica = divmod(number, SIZES[kind] or len(nodes))
    node = nodes[replica] if kind == "DaemonSet" else node
    team = f"team-{owner % 97:02}"
    app = f"{kind.lower()}-{owner:05}"
    labels = {**_own_labels(kind, app, replica), **_common_labels(app, team)}
    spec = _spec(kind, app, replica, node, owner)
    name = f"{app}-{replica}" if kind == "StatefulSet" else f"{app}-5d8f7c9b4-{i:05x}"
    started = _BEGUN.format(i // 60 % 60, i % 60)
    meta = {
        "name": name,
        "namespace": team,
        "uid": f"00000000-0000-4000-8000-{i:012}",
        "resourceVersion": str(1_000_000 + i),
        "creationTimestamp": started,
        "labels": dict(sorted(labels.items())),
        "annotations": {"prometheus.io/scrape": "true", "checksum/config": f"{owner:064x}"},
        "ownerReferences": [_owner(kind, app)],
        "managedFields": [{"manager": "kubelet", "operation": "Update", "fieldsV1": {"f:status": {"f:phase": {}}}}],
    }
    return {"metadata": meta, "spec": {**spec, "schedulerName": scheduler}, "status": _status(started)}


def _own_labels(kind: str, app: str, replica: int) -> dict[str, str]:
    if kind == "StatefulSet":
        return {
            "statefulset.kubernetes.io/pod-name": f"{app}-{replica}",
            "apps.kubernetes.io/pod-index": str(replica),
            "controller-revision-hash": f"{app}-7c9b45d8f",
        }
    if kind == "Job":
        return {"batch.kubernetes.io/job-name": app, "batch.kubernetes.io/controller-uid": f"uid-{app}"}
    return {"pod-template-hash" if kind == "Deployment" else "controller-revision-hash": "5d8f7c9b4"}


def _common_labels(app: str, team: str) -> dict[str, str]:
    labels = {"app.kubernetes.io/name": app, "app.kubernetes.io/instance": f"{app}-{team}", "team": team}
    own = 3 if app.startswith("stateful") else 2 if app.startswith("job") else 1
    more = LABELS - len(labels) - own
    return {**labels, **{f"example.com/property-{i:02}": f"{i:02}-value-of-{team}" for i in range(more)}}


def _owner(kind: str, app: str) -> Object:
    group = "batch/v1" if kind == "Job" else "apps/v1"
    shown, name = ("ReplicaSet", f"{app}-5d8f7c9b4") if kind == "Deployment" else (kind, app)
    return {"apiVersion": group, "kind": shown, "name": name, "uid": f"uid-{app}", "controller": True}


def _spec(kind: str, app: str, replica: int, node: str, owner: int) -> Object:
    spec: Object = {
        "nodeName": node,
        "containers": [_container("main", owner), _container("proxy", owner + 1)],
        "tolerations": DAEMON_TOLERATIONS if kind == "DaemonSet" else _NOT_READY,
        "priority": 2_000_001_000 if kind == "DaemonSet" else 0,
        "volumes": [{"name": "kube-api-access", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}],
    }
    alike = {"matchLabels": {"app.kubernetes.io/name": app}}
    apart = {"topologyKey": "kubernetes.io/hostname", "labelSelector": alike}
    if kind == "DaemonSet":
        own = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
        spec["affinity"] = {"nodeAffinity": {_REQUIRED: {"nodeSelectorTerms": [own]}}}
    elif kind == "StatefulSet":
        claim = {"name": "data", "persistentVolumeClaim": {"claimName": f"data-{app}-{replica}"}}
        spec["volumes"].append(claim)
        spec["affinity"] = {"podAntiAffinity": {_REQUIRED: [apart]}}
    elif kind == "Deployment":
        preferred = {"podAntiAffinity": {_PREFERRED: [{"weight": 100, "podAffinityTerm": apart}]}}
        linux = {"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]}
        needed = {"nodeAffinity": {_REQUIRED: {"nodeSelectorTerms": [{"matchExpressions": [linux]}]}}}
        spread = {"topologyKey": ZONE, "maxSkew": 2, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": alike}
        spec |= {"affinity": {**preferred, **needed}, "topologySpreadConstraints": [spread]}
    return spec


def _container(name: str, owner: int) -> Object:
    memory = f"{MEMORIES[owner % len(MEMORIES)]}Mi"
    requests = {"cpu": f"{CPUS[owner % len(CPUS)] // 10}m", "memory": memory, "ephemeral-storage": "1Mi"}
    return {
        "name": name,
        "image": f"registry.example/team/{name}:{owner % 50}.0",
        "env": [{"name": f"SETTING_{i}", "value": f"value-{i}"} for i in range(10)],
        "ports": [{"containerPort": 8080, "protocol": "TCP"}],
        "resources": {"requests": requests, "limits": {"memory": memory}},
        "volumeMounts": [{"name": "kube-api-access", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}],
    }


def _status(started: str) -> Object:
    kinds = ("Initialized", "Ready", "ContainersReady", "PodScheduled")
    running = {"ready": True, "state": {"running": {"startedAt": started}}, "imageID": "registry.example/x@sha256:0"}
    return {
        "phase": "Running",
        "startTime": started,
        "conditions": [{"type": kind, "status": "True", "lastTransitionTime": started} for kind in kinds],
        "containerStatuses": [{"name": name, **running} for name in ("main", "proxy")],
    }
