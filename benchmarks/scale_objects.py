"""Nodes and pods of a cluster beyond the largest supported size, as the API server sends them.

Owns their JSON: pods of Deployments on nodes, with what admission and the kubelet add, in groups of 25 with the
constraints of ``crowd``. Nodes are those of ``workload``. Texts are made one at a time: all of them would take more
memory than what is measured. Everything follows from the seed. Pure.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator

from benchmarks import crowd, workload
from benchmarks.workload import Object

PER_GROUP = 25
OURS, OTHERS = "Peaks", "default-scheduler"
BEGUN = "2026-01-01T00:00:00Z"
TOLERATIONS = [
    {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
    for key in ("not-ready", "unreachable")
]


def node_texts(count: int, seed: int) -> Iterator[bytes]:
    for node in workload.nodes(count, seed):
        node["metadata"]["uid"] = f"node-{node['metadata']['name']}"
        yield json.dumps(node).encode()


def placed_texts(nodes: int, per_node: int, seed: int) -> Iterator[bytes]:
    """``per_node`` running pods for each node, in the order of a list; the groups are spread over all nodes."""
    rng = random.Random(f"scale {seed}")
    names = workload.node_names(nodes)
    total = nodes * per_node
    groups = max(1, total // PER_GROUP)
    for i in range(total):
        node = names[i % nodes]
        yield json.dumps(running(member(i, i % groups, rng, OTHERS), node)).encode()


def waiting(kind: str, count: int, groups: int, seed: int) -> list[Object]:
    """``count`` pods of ours that wait, of random groups of this ``kind`` (``crowd.TASTES``)."""
    rng = random.Random(f"scale {kind} {seed}")
    of_kind = [group for group in range(groups) if crowd.taste(group) == kind]
    return [member(f"{kind}-{i:05}", rng.choice(of_kind), rng, OURS) for i in range(count)]


def member(number: int | str, group: int, rng: random.Random, scheduler: str) -> Object:
    """A waiting pod of a group."""
    pod_hash = f"{group * 7919 % 9999991:08x}"
    owner = f"app-{group:05}-{pod_hash}"
    labels = {
        "app.kubernetes.io/name": f"app-{group:05}",
        "app.kubernetes.io/part-of": f"suite-{group % 97}",
        "tier": f"tier-{group % 7}",
        "pod-template-hash": pod_hash,
    }
    requests = {"cpu": f"{workload.CPUS[group % 5]}m", "memory": f"{workload.MEMORIES[group % 4]}Mi"}
    container = {
        "name": "main",
        "image": f"registry.example/app-{group:05}:1.0",
        "env": [{"name": "MODE", "value": "production"}, {"name": "WORKERS", "value": "2"}],
        "ports": [{"containerPort": 8080}],
        "resources": {"requests": requests, "limits": {"memory": requests["memory"]}},
    }
    replica_set = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner, "uid": owner, "controller": True}
    meta = {
        "name": f"{owner}-{number}",
        "namespace": f"team-{group % 400:03}",
        "uid": f"{rng.getrandbits(32):08x}-{rng.getrandbits(16):04x}-4000-8000-{str(number)[-12:]:>012}",
        "resourceVersion": "1000",
        "creationTimestamp": BEGUN,
        "labels": labels,
        "ownerReferences": [replica_set],
    }
    spec = {
        "schedulerName": scheduler,
        "priority": 0,
        "containers": [container],
        "tolerations": TOLERATIONS,
        **crowd.asked(group, {"matchLabels": {"app.kubernetes.io/name": f"app-{group:05}"}}),
    }
    return {"metadata": meta, "spec": spec, "status": {"phase": "Pending", "qosClass": "Burstable"}}


def bound(pod: Object, node: str) -> Object:
    """The pod as a watch shows it right after its Binding."""
    scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": BEGUN}
    return {
        **pod,
        "spec": {**pod["spec"], "nodeName": node},
        "status": {**pod["status"], "conditions": [scheduled]},
    }


def running(pod: Object, node: str) -> Object:
    """The pod as a watch shows it once the kubelet has started it."""
    there = bound(pod, node)
    state = {"name": "main", "ready": True, "state": {"running": {"startedAt": BEGUN}}}
    return {
        **there,
        "status": {**there["status"], "phase": "Running", "startTime": BEGUN, "containerStatuses": [state]},
    }
