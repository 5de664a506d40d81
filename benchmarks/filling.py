"""Fills a cluster with bound pods, straight in etcd: 150,000 through the API server would take minutes.

Owns how an object gets there. One pod is created through the API server, which adds its defaults and managed fields;
the others are copies of it with names, labels, sizes and nodes of their own. The API server reads JSON from etcd as
well as what it writes itself, and its clients see no difference. Assumes that no scheduler runs meanwhile.
"""

from __future__ import annotations

import base64
import copy
import json
import random
import uuid
from collections.abc import Iterator
from itertools import islice

from benchmarks import workload
from benchmarks.plane import BenchPlane
from benchmarks.workload import Object
from tests.e2e.support.processes import wait_until

A_WRITE = 100  # pods: etcd takes 128 operations and 1.5 MB at once
CPUS = (100, 200, 250)  # [mCPU] thirty of them fit on the smallest node
MEMORIES = (128, 256, 512)  # [MiB]
APPS = 500  # different labels "app"
PODS = f"/api/v1/namespaces/{workload.NAMESPACE}/pods"
SETTLED = 300.0  # [s] for the API server to take them all in


def fill(plane: BenchPlane, count: int, nodes: int, seed: int) -> None:
    """``count`` bound pods, in turn on ``nodes`` nodes; return when the API server knows them all."""
    if not count:
        return
    made = bound_pods(_template(plane), count, nodes, seed)
    while pods := list(islice(made, A_WRITE)):
        puts = [{"requestPut": {"key": _key(pod), "value": _text(json.dumps(pod))}} for pod in pods]
        plane.etcd("/v3/kv/txn", {"success": puts})
    wait_until(lambda: _present(plane) >= count, f"{count} pods known to the API server", SETTLED, every=1.0)


def bound_pods(template: Object, count: int, nodes: int, seed: int) -> Iterator[Object]:
    """Copies of a stored pod, each with a name, size, label and node of its own."""
    rng = random.Random(f"filling {seed}")
    names = workload.node_names(nodes)
    for i in range(count):
        pod = copy.deepcopy(template)
        name = f"bound-{i:06}"
        pod["metadata"] |= {"name": name, "uid": str(uuid.UUID(int=rng.getrandbits(128), version=4))}
        pod["metadata"]["labels"] = {**template["metadata"]["labels"], "app": f"app-{rng.randrange(APPS)}"}
        asked = pod["spec"]["containers"][0]["resources"]
        asked["requests"] = {"cpu": f"{rng.choice(CPUS)}m", "memory": f"{rng.choice(MEMORIES)}Mi"}
        asked["limits"] = {"memory": asked["requests"]["memory"]}
        pod["spec"]["nodeName"] = names[i % nodes]
        yield pod


def _template(plane: BenchPlane) -> Object:
    """A pod as the API server stores it, which is gone again."""
    (created,) = plane.create_pods([workload.pod("template", 100, 128, "nobody")])
    plane.api.delete(f"{PODS}/template?gracePeriodSeconds=0")
    del created["metadata"]["resourceVersion"]
    return dict(created)


def _present(plane: BenchPlane) -> int:
    """Pods in the namespace, by a list of one."""
    listed = plane.api.get(f"{PODS}?limit=1&resourceVersion=")
    return len(listed["items"]) + int(listed["metadata"].get("remainingItemCount", 0))


def _key(pod: Object) -> str:
    return _text(f"/registry/pods/{workload.NAMESPACE}/{pod['metadata']['name']}")


def _text(plain: str) -> str:
    return base64.b64encode(plain.encode()).decode()
