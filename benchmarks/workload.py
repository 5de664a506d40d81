"""The cluster and the pods of every run: nodes of three kinds, pods of mixed sizes, and the load of the nodes.

Owns every made-up number. The watts are illustrative, not measured. Two of the curves bend down and one bends up, so
both branches of the arithmetic are used. Everything follows from the seed: both schedulers, and two runs, get the same
nodes and pods. Objects are plain JSON as a user would create them. Pure.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

Object = dict[str, Any]

KIND = "node.kubernetes.io/instance-type"
ZONE = "topology.kubernetes.io/zone"
NAMESPACE = "default"

# name -> cores, memory [GiB], k0 [W], k1 [W], k2 per unit of use
KINDS: Mapping[str, tuple[int, int, float, float, float]] = {
    "older-16": (16, 64, 330.0, -220.0, -2.0),
    "standard-32": (32, 128, 485.0, -380.0, -1.0),
    "efficient-64": (64, 256, 30.0, 120.0, 1.2),
}
CPUS = (100, 200, 250, 500, 1000)  # [mCPU]
MEMORIES = (128, 256, 512, 1024)  # [MiB]


def node_names(count: int) -> list[str]:
    return [f"node-{i:05}" for i in range(count)]


def nodes(count: int, seed: int) -> list[Object]:
    """``count`` nodes of random kinds, in three zones."""
    rng = random.Random(f"nodes {seed}")
    return [_node(name, rng.choice(list(KINDS)), f"zone-{i % 3}") for i, name in enumerate(node_names(count))]


def _node(name: str, kind: str, zone: str) -> Object:
    cores, memory, *_ = KINDS[kind]
    capacity = {"cpu": str(cores), "memory": f"{memory}Gi", "pods": "110", "ephemeral-storage": "100Gi"}
    labels = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        KIND: kind,
        ZONE: zone,
        "node-role.kubernetes.io/worker": "",
    }
    status = {
        "capacity": capacity,
        "allocatable": {**capacity, "cpu": f"{cores * 1000 - 200}m", "memory": f"{memory - 2}Gi"},
        "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
        "addresses": [{"type": "Hostname", "address": name}],
    }
    return {"metadata": {"name": name, "labels": labels}, "status": status}


def pods(prefix: str, count: int, seed: int, scheduler: str) -> list[Object]:
    """``count`` pending pods of ``scheduler``; their sizes depend only on prefix and seed."""
    rng = random.Random(f"{prefix} {seed}")
    return [pod(f"{prefix}-{i:05}", rng.choice(CPUS), rng.choice(MEMORIES), scheduler) for i in range(count)]


def pod(name: str, millicores: int, mebibytes: int, scheduler: str) -> Object:
    requests = {"cpu": f"{millicores}m", "memory": f"{mebibytes}Mi"}
    container = {
        "name": "main",
        "image": "registry.example/app:1.0",
        "env": [{"name": "MODE", "value": "production"}, {"name": "WORKERS", "value": "2"}],
        "ports": [{"containerPort": 8080}],
        "resources": {"requests": requests, "limits": {"memory": requests["memory"]}},
    }
    labels = {"app": f"app-{len(name) + millicores % 7}", "pod-template-hash": "5d8f7c9b4", "tier": "backend"}
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {"schedulerName": scheduler, "containers": [container]},
    }


def bound_pods(count: int, seed: int, cluster: int) -> list[Object]:
    """``count`` running pods as a watch shows them, on random nodes of a cluster of ``cluster`` nodes."""
    rng = random.Random(f"bound {seed}")
    names = node_names(cluster)
    return [as_stored(each, rng.choice(names)) for each in pods("bound", count, seed, "Peaks")]


def as_stored(each: Object, node: str = "") -> Object:
    """A pod with the fields that the API server adds."""
    name = each["metadata"]["name"]
    times = {"creationTimestamp": "2026-01-01T00:00:00Z", "uid": f"00000000-0000-4000-8000-{name:>012}"}
    placed = {"nodeName": node} if node else {}
    status = {"phase": "Pending", "qosClass": "Burstable"}
    return {
        "metadata": {**each["metadata"], "namespace": NAMESPACE, **times},
        "spec": {**each["spec"], **placed},
        "status": status,
    }


def loads(count: int, seed: int) -> dict[str, float]:
    """How busy each node is without our pods, a fraction 0.05..0.60 of its CPUs."""
    rng = random.Random(f"loads {seed}")
    return {name: rng.uniform(0.05, 0.60) for name in node_names(count)}


def power_models() -> Object:
    """The power model file for these nodes: one entry a kind, chosen by its label."""
    entries = [
        {
            "nodeSelector": {KIND: kind},
            "cpu": "ratio",
            "curve": {"kind": "exponential", "k0": k0, "k1": k1, "k2": k2},
        }
        for kind, (_, _, k0, k1, k2) in KINDS.items()
    ]
    return {"models": entries}
