"""Creates what a step asks for: nodes, pods with or without claims, and objects of any other kind.

Owns the paths of the kinds that the cases create, and what is created side by side. Pods that are all the same are
written as JSON once.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

from benchmarks import BenchmarkError
from benchmarks.scheduler_perf import objects, templates
from benchmarks.scheduler_perf.client import Client, side_by_side
from benchmarks.scheduler_perf.steps import CreateNodes, CreatePods

Object = dict[str, Any]
Creation = Callable[[], Awaitable[object]]

# kind -> (group's path, plural, does it live in a namespace?)
RESOURCES: Mapping[str, tuple[str, str, bool]] = {
    "Namespace": ("/api/v1", "namespaces", False),
    "Node": ("/api/v1", "nodes", False),
    "Pod": ("/api/v1", "pods", True),
    "Service": ("/api/v1", "services", True),
    "PersistentVolume": ("/api/v1", "persistentvolumes", False),
    "PersistentVolumeClaim": ("/api/v1", "persistentvolumeclaims", True),
    "CSINode": ("/apis/storage.k8s.io/v1", "csinodes", False),
    "StorageClass": ("/apis/storage.k8s.io/v1", "storageclasses", False),
    "PriorityClass": ("/apis/scheduling.k8s.io/v1", "priorityclasses", False),
}


def path_of(made: Object, namespace: str = "") -> str:
    """Path of the collection that an object is created in. Raises BenchmarkError for an unknown kind."""
    kind = made.get("kind", "")
    if kind not in RESOURCES:
        raise BenchmarkError(f"expected an object of {', '.join(RESOURCES)}, got {kind!r}")
    base, plural, inside = RESOURCES[kind]
    return f"{base}/namespaces/{namespace}/{plural}" if inside else f"{base}/{plural}"


async def create_nodes(client: Client, step: CreateNodes, number: int, seed: int) -> None:
    """All nodes of step ``number``, then their CSINodes."""
    made = objects.nodes(step, number, seed)
    for each in (made, objects.csi_nodes(step, made)):
        await side_by_side(functools.partial(client.create, path_of(one), one) for one in each)


async def create_pods(client: Client, step: CreatePods, namespace: str, scheduler: str) -> None:
    """All pods of a step, each after its volume and its claim."""
    if step.claim:
        pods = enumerate(objects.pods(step, scheduler))
        await side_by_side(_pod_with_claim(client, step, namespace, i, pod) for i, pod in pods)
        return
    path = f"/api/v1/namespaces/{namespace}/pods"
    await side_by_side(functools.partial(client.create, path, body) for body in _bodies(step, scheduler))


def _bodies(step: CreatePods, scheduler: str) -> Iterator[bytes]:
    made = objects.pods(step, scheduler)
    if not objects.same_pods(step) or not step.count:
        return (json.dumps(pod).encode() for pod in made)
    one = json.dumps(next(made)).encode()
    return (one for _ in range(step.count))


def _pod_with_claim(client: Client, step: CreatePods, namespace: str, i: int, pod: Object) -> Creation:
    """Claim, volume and pod, one after the other: a pod whose claim is missing would be tried in vain."""
    if step.volume is None or step.claim is None:
        raise BenchmarkError("createPods: expected templates of a volume and of a claim, got one of them")
    parts = objects.volume_and_claim(templates.make(step.volume), templates.make(step.claim), namespace, i)

    async def create() -> None:
        for made in reversed(parts):
            await _create_with_status(client, made, namespace)
        await client.create(path_of(pod, namespace), pod)

    return create


async def _create_with_status(client: Client, made: Object, namespace: str) -> None:
    """Create an object, then its status: the server begins every object with an empty one."""
    path = path_of(made, namespace)
    stored = json.loads(await client.create(path, made))
    await client.call("PUT", f"{path}/{stored['metadata']['name']}/status", {**stored, "status": made["status"]})


async def create_one(client: Client, made: Object, namespace: str, scheduler: str) -> Object:
    """Create one object of any kind, a pod for ``scheduler``; it comes back as stored."""
    whole = objects.for_scheduler(made, scheduler)
    return dict(json.loads(await client.create(path_of(whole, namespace), whole)))
