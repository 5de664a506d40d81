"""What a step creates: nodes with names of their own, pods for one scheduler, volumes with their claims.

Owns the names. scheduler_perf draws them at random; here they follow from the seed: both schedulers get the same
ones, and the load of each node is known before it exists. Labels and room of nodes are put in when they are made, where
scheduler_perf patches them a moment later. Pure, apart from reading template files.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.scheduler_perf import templates
from benchmarks.scheduler_perf.steps import CreateNodes, CreatePods, Step

Object = dict[str, Any]

LETTERS = "bcdfghjklmnpqrstvwxz2456789"  # of generated names, as Kubernetes has it
HOSTNAME = "kubernetes.io/hostname"
MIGRATED = "storage.alpha.kubernetes.io/migrated-plugins"
_ROOM = {"pods": "110", "cpu": "4", "memory": "32Gi"}
_READY = [{"type": "Ready", "status": "True"}]
_REQUESTS = {"cpu": "100m", "memory": "500Mi"}


def nodes(step: CreateNodes, number: int, seed: int) -> list[Object]:
    """The nodes of a step, which has this ``number`` in its case."""
    rng = random.Random(f"nodes {number} {seed}")
    return [_node(step, number, i, rng) for i in range(step.count)]


def _node(step: CreateNodes, number: int, i: int, rng: random.Random) -> Object:
    node = templates.make(step.template, i, step.count) if step.template else _base_node(number)
    metadata = node["metadata"]
    suffix = "".join(rng.choices(LETTERS, k=5))
    name = metadata.get("name") or metadata["generateName"] + suffix + f"{i:05}"
    metadata["name"] = name
    metadata["labels"] = {**metadata.get("labels", {}), HOSTNAME: name}
    if step.label_key:
        metadata["labels"][step.label_key] = step.label_values[i % len(step.label_values)]
    if step.allocatable:
        status = node["status"]
        status["allocatable"] = {**status.get("allocatable", status["capacity"]), **step.allocatable}
    return node


def _base_node(number: int) -> Object:
    status = {"capacity": _ROOM, "allocatable": dict(_ROOM), "phase": "Running", "conditions": _READY}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"generateName": f"node-{number}-"}, "status": status}


def csi_nodes(step: CreateNodes, made: Sequence[Object]) -> list[Object]:
    """A CSINode for each node, if the step names drivers."""
    if not step.csi_drivers:
        return []
    return [_csi_node(step, node["metadata"]["name"]) for node in made]


def _csi_node(step: CreateNodes, name: str) -> Object:
    drivers = [{"name": driver, "nodeID": name, "allocatable": dict(room)} for driver, room in step.csi_drivers.items()]
    metadata = {"name": name, "annotations": {MIGRATED: ",".join(step.migrated)}}
    return {"apiVersion": "storage.k8s.io/v1", "kind": "CSINode", "metadata": metadata, "spec": {"drivers": drivers}}


def node_names(steps: Sequence[Step], seed: int) -> list[str]:
    """The names of all nodes of a case."""
    made = [nodes(step, i, seed) for i, step in enumerate(steps) if isinstance(step, CreateNodes)]
    return [node["metadata"]["name"] for each in made for node in each]


# --- pods -------------------------------------------------------------------------------------------------------------


def pods(step: CreatePods, scheduler: str) -> Iterator[Object]:
    """The pods of a step, for ``scheduler``."""
    for i in range(step.count):
        pod = templates.make(step.template, i, step.count) if step.template else _base_pod()
        if step.claim:
            pod["spec"]["volumes"] = [{"name": "vol", "persistentVolumeClaim": {"claimName": claim_name(i)}}]
        yield for_scheduler(pod, scheduler)


def same_pods(step: CreatePods) -> bool:
    """Do the pods differ in nothing, so that one body serves for all?"""
    return step.claim is None and (step.template is None or templates.is_static(step.template))


def for_scheduler(made: Object, scheduler: str) -> Object:
    """A pod that waits for ``scheduler``; any other object as it is."""
    if made.get("kind") == "Pod":
        made["spec"]["schedulerName"] = scheduler
    return made


def _base_pod() -> Object:
    container = {
        "name": "pause",
        "image": "registry.k8s.io/pause:3.10.2",
        "ports": [{"containerPort": 80}],
        "resources": {"requests": _REQUESTS, "limits": _REQUESTS},
    }
    spec = {"containers": [container]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "pod-"}, "spec": spec}


# --- volumes ----------------------------------------------------------------------------------------------------------


def claim_name(i: int) -> str:
    return f"pvc-{i}"


def volume_and_claim(volume: Object, claim: Object, namespace: str, i: int) -> tuple[Object, Object]:
    """Volume and claim ``i`` of a namespace, bound to each other, with their status."""
    volume, claim = copy.deepcopy(volume), copy.deepcopy(claim)
    name = f"{namespace}-vol-{i}"
    volume["metadata"] = {**volume.get("metadata", {}), "name": name}
    claim["metadata"] = {**claim.get("metadata", {}), "name": claim_name(i)}
    spec = volume["spec"]
    if "csi" in spec:
        spec["csi"]["volumeHandle"] = name
    elif "awsElasticBlockStore" in spec:
        spec["awsElasticBlockStore"]["volumeID"] = f"vol-{i}"
    reference = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": namespace, "name": claim_name(i)}
    spec["claimRef"] = reference
    claim["spec"]["volumeName"] = name
    return {**volume, "status": {"phase": "Bound"}}, {**claim, "status": {"phase": "Bound"}}
