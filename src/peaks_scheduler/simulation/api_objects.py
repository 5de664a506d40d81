"""Nodes and pods of a simulation as the core's own objects: what the scheduler is shown.

Owns the plain node and the plain pod of those that were given without an API object. Pure.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache

from peaks_scheduler.objects.node import Node, node_from_api
from peaks_scheduler.objects.pod import Pod, pod_from_api
from peaks_scheduler.objects.requests import Requests

from .cluster import SimulatedNode
from .workload import Job

EPOCH = 1_577_836_800.0
"""[s] Unix time of the simulation's start, 2020-01-01: dates only serve to be compared."""
MIB = 2**20
REGION = "topology.kubernetes.io/region"
_ANY_NUMBER = "1000000"
_ROUNDING = 1e-6  # [mCPU, bytes] less than this above a whole number is the rounding of a decimal


def node_object(node: SimulatedNode) -> Node:
    """The node as the API server has it."""
    if node.node is not None:
        return node.node
    room = {
        "cpu": f"{math.floor(node.cpu_cores * 1000 + _ROUNDING)}m",
        "memory": str(math.floor(node.memory_mib * MIB + _ROUNDING)),
        "pods": _ANY_NUMBER,
    }
    labels = {"kubernetes.io/hostname": node.name} | ({REGION: node.region} if node.region else {})
    meta = {"name": node.name, "uid": f"uid-{node.name}", "labels": labels}
    return node_from_api({"metadata": meta, "spec": {}, "status": {"allocatable": room, "capacity": room}})


def pod_object(job: Job, attempt: int, default_cpu: int) -> Pod:
    """The pending pod of a job. ``attempt`` counts from 0: a pod that is made anew has another uid."""
    uid = f"uid-{job.name}-{attempt}"
    if job.pod is not None:
        return replace(job.pod, uid=uid, node_name="", phase="Pending", started=None, finished=None, nominated="")
    cpu = _up(job.cpu_cores * 1000)
    return replace(
        _plain_pod(),
        uid=uid,
        name=job.name,
        created=EPOCH + job.arrival_s,
        requests=_requests(cpu, _up(job.memory_mib * MIB)),
        cpu=cpu or default_cpu,
        stated_cpu=cpu or default_cpu,
        cpu_from="request" if cpu else "default",
        stated_from="request" if cpu else "default",
        expected_life=job.duration_s,
    )


def _requests(cpu: int, memory: int) -> Requests:
    return tuple(pair for pair in (("cpu", cpu), ("memory", memory)) if pair[1] > 0)


@cache
def _plain_pod() -> Pod:
    meta = {"name": "pod", "namespace": "default", "uid": "uid"}
    return pod_from_api(
        {"metadata": meta, "spec": {"containers": [{"name": "main"}]}, "status": {"phase": "Pending"}}, 0
    )


def _up(amount: float) -> int:
    return math.ceil(amount - _ROUNDING)
