"""A crowded cluster: many groups of pods with spread constraints, affinity or anti-affinity.

Each group has a label of its own, as the pods of a Deployment have, and the usual constraints of its kind. Everything
follows from the seed. Objects are plain JSON as the API server stores them. Pure.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from benchmarks import workload
from benchmarks.workload import Object

GROUPS = 2_000
"""Number of groups. With ten bound pods a node, each has 25 pods."""
PODS_PER_NODE = 10
HOSTNAME = "kubernetes.io/hostname"
TASTES = ("plain", "spread", "anti-affinity", "affinity", "plain", "spread", "plain", "anti-affinity", "plain", "soft")
"""The constraints of the groups, in turn."""


def taste(group: int) -> str:
    return TASTES[group % len(TASTES)]


def bound(nodes: int, groups: int, seed: int) -> Iterator[Object]:
    """Ten bound pods a node: the groups take turns, and every pod is on a random node."""
    rng = random.Random(f"crowd {seed}")
    names = workload.node_names(nodes)
    for i in range(nodes * PODS_PER_NODE):
        yield workload.as_stored(_member(f"there-{i:06}", i % groups, "default-scheduler"), rng.choice(names))


def pending(kind: str, count: int, groups: int) -> list[Object]:
    """``count`` pending pods, each of another group with constraints of this ``kind``."""
    of_kind = [group for group in range(groups) if taste(group) == kind]
    names = [(f"{kind}-{i:05}", of_kind[i % len(of_kind)]) for i in range(count)]
    return [workload.as_stored(_member(name, group, "Peaks")) for name, group in names]


def _member(name: str, group: int, scheduler: str) -> Object:
    """A small pod of a group: the constraints are measured, not the resources."""
    labels = {"app": f"group-{group:04}", "tier": f"tier-{group % 7}", "pod-template-hash": f"{group * 7919 % 99991}"}
    spec = {
        "schedulerName": scheduler,
        "containers": [{"name": "main", "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}}}],
        **asked(group, {"matchLabels": {"app": labels["app"]}}),
    }
    return {"metadata": {"name": name, "labels": labels}, "spec": spec}


def asked(group: int, own: Object) -> Object:
    match taste(group):
        case "spread":
            return {"topologySpreadConstraints": [_spread(workload.ZONE, 5, own), _spread(HOSTNAME, 1, own)]}
        case "anti-affinity":
            return {"affinity": {"podAntiAffinity": _required(HOSTNAME, own)}}
        case "affinity":
            return {"affinity": {"podAffinity": _required(workload.ZONE, own)}}
        case "soft":
            preferred = {"weight": 100, "podAffinityTerm": {"labelSelector": own, "topologyKey": HOSTNAME}}
            return {"affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [preferred]}}}
    return {}


def _spread(key: str, skew: int, own: Object) -> Object:
    how = {"maxSkew": skew, "whenUnsatisfiable": "DoNotSchedule"}
    return {**how, "topologyKey": key, "labelSelector": own}


def _required(key: str, own: Object) -> Object:
    return {"requiredDuringSchedulingIgnoredDuringExecution": [{"labelSelector": own, "topologyKey": key}]}
