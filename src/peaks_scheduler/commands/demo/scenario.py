"""The demo's cluster and workload: nodes of three kinds, the pods that run on them already, and the pods that arrive.

Owns every made-up number. The watts are illustrative: in the usual range of such servers, but not measured. Everything
follows from (nodes, pods, seed): two runs place the same pods on the same cluster. Pure.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from typing import Any

from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.power.curves import Exponential

SCHEDULER = "Peaks"
GIB = 2**30
KIND_LABEL = "node.kubernetes.io/instance-type"
_PODS_PER_NODE = 250  # allocatable
_SHARE_OF_FREE = 0.45  # largest share of the free CPU that the workload requests: every pod must fit somewhere
_LARGEST_SHARE = 0.25  # largest share of the smallest node that one pod requests
_SIZES = (500, 1000, 2000, 4000, 6000)  # [millicores]
_SHORT_LIVED = 0.15  # share of the pods that finish while the demo runs


@dataclass(frozen=True, slots=True)
class NodeKind:
    """One kind of node, with its power curve."""

    name: str
    cores: int
    memory_gib: int
    curve: Exponential


KINDS = (
    # idle 130 W, full 389 W: the first cores cost most, 25 W each, the last 3.4 W
    NodeKind("older-24", 24, 96, Exponential(430.0, -300.0, -2.0)),
    # idle 105 W, full 345 W: 11.9 W a core when idle, 4.4 W when full
    NodeKind("standard-32", 32, 192, Exponential(485.0, -380.0, -1.0)),
    # idle 150 W, full 428 W: 2.3 W a core when idle, 7.5 W when full
    NodeKind("efficient-64", 64, 384, Exponential(30.0, 120.0, 1.2)),
)
_MIX = ("efficient-64", "standard-32", "older-24", "standard-32", "older-24")


@dataclass(frozen=True, slots=True)
class DemoNode:
    """One node, and what runs on it before the demo begins."""

    name: str
    kind: NodeKind
    own_cores: float  # used by the node itself, requested by no pod
    resident_millicores: int  # requested and used by the resident pod, which was there before
    resident_memory: int  # [bytes] requested by the resident pod


@dataclass(frozen=True, slots=True)
class Arrival:
    """A pod of the workload."""

    name: str
    at: float  # [s] after the start
    millicores: int
    memory: int  # [bytes]
    runs_for: float | None  # [s]; None: until the demo ends


def demo_nodes(nodes: int, seed: int) -> tuple[DemoNode, ...]:
    """``nodes`` nodes with 5-45 % of their CPU in use. Of five nodes, two are older, two standard and one efficient.

    Raises ConfigurationError for fewer than one node.
    """
    if nodes < 1:
        raise ConfigurationError(f"expected at least 1 node for the demo, got {nodes}")
    rng = random.Random(f"nodes {seed}")
    counts = Counter(_MIX[i % len(_MIX)] for i in range(nodes))
    return tuple(_node(kind, i + 1, rng) for kind in KINDS for i in range(counts[kind.name]))


def _node(kind: NodeKind, number: int, rng: random.Random) -> DemoNode:
    taken, memory = rng.uniform(0.05, 0.45), rng.uniform(0.05, 0.45)
    return DemoNode(
        name=f"{kind.name}-{number:02}",
        kind=kind,
        own_cores=round(kind.cores * rng.uniform(0.01, 0.03), 3),
        resident_millicores=round(kind.cores * taken * 1000),
        resident_memory=round(kind.memory_gib * memory * GIB),
    )


def arrivals(pods: int, cluster: tuple[DemoNode, ...], seed: int, seconds: float) -> tuple[Arrival, ...]:
    """``pods`` pods that arrive within ``seconds``. All of them fit into the cluster.

    Raises ConfigurationError for more pods than the nodes can take, or none.
    """
    if not 1 <= pods <= len(cluster) * (_PODS_PER_NODE - 50):
        most = len(cluster) * (_PODS_PER_NODE - 50)
        raise ConfigurationError(f"expected 1 to {most} pods for {len(cluster)} nodes, got {pods}: ask for more nodes")
    rng = random.Random(f"pods {seed}")
    sizes = [rng.choice(_SIZES) for _ in range(pods)]
    times = sorted(rng.uniform(0.0, seconds) for _ in range(pods))
    scale = min(1.0, _free_millicores(cluster) * _SHARE_OF_FREE / sum(sizes))
    largest = min(node.kind.cores for node in cluster) * 1000 * _LARGEST_SHARE
    return tuple(
        _arrival(i, at, min(size * scale, largest), rng) for i, (size, at) in enumerate(zip(sizes, times, strict=True))
    )


def _arrival(number: int, at: float, millicores: float, rng: random.Random) -> Arrival:
    asked = max(10, int(millicores / 10) * 10)
    memory = int(asked / 1000 * rng.uniform(1.0, 4.0) * GIB)
    runs_for = rng.uniform(2.0, 5.0) if rng.random() < _SHORT_LIVED else None
    return Arrival(f"pod-{number + 1:03}", at, asked, memory, runs_for)


def _free_millicores(cluster: tuple[DemoNode, ...]) -> int:
    return sum(node.kind.cores * 1000 - node.resident_millicores for node in cluster)


def node_object(node: DemoNode) -> dict[str, Any]:
    """The Node object of a node, Ready."""
    resources = {"cpu": str(node.kind.cores), "memory": f"{node.kind.memory_gib}Gi", "pods": str(_PODS_PER_NODE)}
    labels = {"kubernetes.io/hostname": node.name, "kubernetes.io/os": "linux", KIND_LABEL: node.kind.name}
    return {
        "metadata": {"name": node.name, "labels": labels},
        "status": {
            "capacity": resources,
            "allocatable": resources,
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
        },
    }


def resident_object(node: DemoNode, started: str) -> dict[str, Any]:
    """The resident Pod of a node: bound by another scheduler, Running since ``started`` (a timestamp)."""
    pod = requesting(f"resident-{node.name}", node.resident_millicores, node.resident_memory, "default-scheduler")
    pod["metadata"]["namespace"] = "kube-system"
    pod["spec"]["nodeName"] = node.name
    state = {"name": "main", "ready": True, "state": {"running": {"startedAt": started}}}
    pod["status"] = {"phase": "Running", "startTime": started, "containerStatuses": [state]}
    return pod


def pod_object(arrival: Arrival) -> dict[str, Any]:
    """The pending Pod object of an arrival, for our scheduler."""
    return requesting(arrival.name, arrival.millicores, arrival.memory, SCHEDULER)


def requesting(name: str, millicores: int, memory: int, scheduler: str = SCHEDULER) -> dict[str, Any]:
    """A Pod object that requests CPU [millicores] and memory [bytes]."""
    requests = {"cpu": f"{millicores}m", "memory": str(memory)}
    container = {"name": "main", "image": "registry.example/demo", "resources": {"requests": requests}}
    return {"metadata": {"name": name}, "spec": {"schedulerName": scheduler, "containers": [container]}}


def power_models() -> dict[str, Any]:
    """The power model file for these nodes: one entry for each kind, selected by label."""
    return {
        "models": [
            {
                "nodeSelector": {KIND_LABEL: kind.name},
                "cpu": "ratio",
                "curve": {"kind": "exponential", "k0": kind.curve.k0, "k1": kind.curve.k1, "k2": kind.curve.k2},
            }
            for kind in KINDS
        ]
    }
