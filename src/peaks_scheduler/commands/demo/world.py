"""The demo's cluster and workload: nodes of three kinds, what runs on them already, and the pods that will arrive.

Owns every made-up number. The watts are illustrative, in the range that servers of such sizes draw, and measured on
nothing. Everything follows from (nodes, pods, seed): two runs place the same pods on the same cluster. Pure.
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
_SHARE_OF_FREE = 0.45  # most of the free CPU that the workload may ask for: every pod must find a place
_LARGEST_SHARE = 0.25  # of the smallest node that one pod may ask for
_SIZES = (500, 1000, 2000, 4000, 6000)  # [millicores]
_SHORT_LIVED = 0.15  # share of the pods that finish while the demo runs


@dataclass(frozen=True, slots=True)
class NodeKind:
    """One kind of machine."""

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
class Machine:
    """One node and what runs on it before the demo begins."""

    name: str
    kind: NodeKind
    own_cores: float  # used by the node itself, asked for by nobody
    resident_millicores: int  # asked for, and used, by a pod that was there before
    resident_memory: int  # [bytes]


@dataclass(frozen=True, slots=True)
class Arrival:
    """A pod of the workload."""

    name: str
    at: float  # [s] after the start
    millicores: int
    memory: int  # [bytes]
    runs_for: float | None  # [s]; None: to the end


def machines(nodes: int, seed: int) -> tuple[Machine, ...]:
    """``nodes`` machines, two of five older, two standard, one efficient, 5-45 % of the CPU taken; ConfigurationError
    below 1.
    """
    if nodes < 1:
        raise ConfigurationError(f"expected at least 1 node for the demo, got {nodes}")
    rng = random.Random(f"nodes {seed}")
    counts = Counter(_MIX[i % len(_MIX)] for i in range(nodes))
    return tuple(_machine(kind, i + 1, rng) for kind in KINDS for i in range(counts[kind.name]))


def _machine(kind: NodeKind, number: int, rng: random.Random) -> Machine:
    taken, memory = rng.uniform(0.05, 0.45), rng.uniform(0.05, 0.45)
    return Machine(
        name=f"{kind.name}-{number:02}",
        kind=kind,
        own_cores=round(kind.cores * rng.uniform(0.01, 0.03), 3),
        resident_millicores=round(kind.cores * taken * 1000),
        resident_memory=round(kind.memory_gib * memory * GIB),
    )


def arrivals(pods: int, cluster: tuple[Machine, ...], seed: int, seconds: float) -> tuple[Arrival, ...]:
    """``pods`` pods that arrive within ``seconds``, all of which fit; ConfigurationError if they cannot."""
    if not 1 <= pods <= len(cluster) * (_PODS_PER_NODE - 50):
        most = len(cluster) * (_PODS_PER_NODE - 50)
        raise ConfigurationError(f"expected 1 to {most} pods for {len(cluster)} nodes, got {pods}: ask for more nodes")
    rng = random.Random(f"pods {seed}")
    sizes = [rng.choice(_SIZES) for _ in range(pods)]
    times = sorted(rng.uniform(0.0, seconds) for _ in range(pods))
    scale = min(1.0, _free_millicores(cluster) * _SHARE_OF_FREE / sum(sizes))
    largest = min(m.kind.cores for m in cluster) * 1000 * _LARGEST_SHARE
    return tuple(
        _arrival(i, at, min(size * scale, largest), rng) for i, (size, at) in enumerate(zip(sizes, times, strict=True))
    )


def _arrival(number: int, at: float, millicores: float, rng: random.Random) -> Arrival:
    asked = max(10, int(millicores / 10) * 10)
    memory = int(asked / 1000 * rng.uniform(1.0, 4.0) * GIB)
    runs_for = rng.uniform(2.0, 5.0) if rng.random() < _SHORT_LIVED else None
    return Arrival(f"pod-{number + 1:03}", at, asked, memory, runs_for)


def _free_millicores(cluster: tuple[Machine, ...]) -> int:
    return sum(machine.kind.cores * 1000 - machine.resident_millicores for machine in cluster)


def node_object(machine: Machine) -> dict[str, Any]:
    """The machine as a Node, Ready."""
    resources = {"cpu": str(machine.kind.cores), "memory": f"{machine.kind.memory_gib}Gi", "pods": str(_PODS_PER_NODE)}
    labels = {"kubernetes.io/hostname": machine.name, "kubernetes.io/os": "linux", KIND_LABEL: machine.kind.name}
    return {
        "metadata": {"name": machine.name, "labels": labels},
        "status": {
            "capacity": resources,
            "allocatable": resources,
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
        },
    }


def resident_object(machine: Machine, started: str) -> dict[str, Any]:
    """What runs on the machine already: one bound pod of another scheduler, Running since ``started``."""
    pod = requesting(
        f"resident-{machine.name}", machine.resident_millicores, machine.resident_memory, "default-scheduler"
    )
    pod["metadata"]["namespace"] = "kube-system"
    pod["spec"]["nodeName"] = machine.name
    state = {"name": "main", "ready": True, "state": {"running": {"startedAt": started}}}
    pod["status"] = {"phase": "Running", "startTime": started, "containerStatuses": [state]}
    return pod


def pod_object(arrival: Arrival) -> dict[str, Any]:
    """The arrival as a pending Pod of our scheduler."""
    return requesting(arrival.name, arrival.millicores, arrival.memory, SCHEDULER)


def requesting(name: str, millicores: int, memory: int, scheduler: str = SCHEDULER) -> dict[str, Any]:
    requests = {"cpu": f"{millicores}m", "memory": str(memory)}
    container = {"name": "main", "image": "registry.example/demo", "resources": {"requests": requests}}
    return {"metadata": {"name": name}, "spec": {"schedulerName": scheduler, "containers": [container]}}


def power_models() -> dict[str, Any]:
    """The power model file for these nodes: one entry a kind, chosen by its label."""
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
