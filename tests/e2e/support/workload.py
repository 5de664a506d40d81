"""Pods and nodes that a real API server takes, and what became of them.

Owns the small differences between the builders of all tests and a server that validates (an image, no uid of our own),
and the questions that many tests ask of a cluster. Assumes kwok, which lets bound pods run. Never imports the
scheduler's own reading of objects: what it counts here is worked out anew.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from tests.e2e.support.api import Object
from tests.e2e.support.cluster import Cluster
from tests.e2e.support.daemon import Daemon
from tests.e2e.support.processes import PATIENCE, wait_until
from tests.support import builders

DECISION = "peaks-scheduler/decision"
SMALL = "50m"


def pod(name: str = "web-0", **more: Any) -> Object:
    """As ``builders.pod``, such that the API server accepts it."""
    whole = builders.pod(name, **more)
    del whole["metadata"]["uid"], whole["status"]
    for container in [*whole["spec"]["containers"], *whole["spec"].get("initContainers", ())]:
        container.setdefault("image", "none")
    return whole


def pods(count: int, prefix: str = "web", **more: Any) -> list[Object]:
    return [pod(f"{prefix}-{number}", **{"cpu": SMALL, **more}) for number in range(count)]


def node(name: str = "worker-1", **more: Any) -> Object:
    whole = builders.node(name, **more)
    del whole["metadata"]["uid"]
    return whole


def nodes(count: int, **more: Any) -> list[Object]:
    return [node(f"worker-{number}", **more) for number in range(count)]


def model(curve: tuple[float, float, float], **whose: Any) -> Object:
    """One entry of a power model file, for ``nodes=[...]`` or ``nodeSelector={...}``."""
    k0, k1, k2 = curve
    return {"cpu": "ratio", "curve": {"kind": "exponential", "k0": k0, "k1": k1, "k2": k2}, **whose}


# --- what became of them --------------------------------------------------------------------------------------------


def ours(cluster: Cluster) -> list[Object]:
    """Pods of this scheduler."""
    return cluster.list_pods(fieldSelector="spec.schedulerName=Peaks")


def placed(cluster: Cluster) -> dict[str, str]:
    """Node by pod, for all of ours that are bound."""
    return {each["metadata"]["name"]: each["spec"]["nodeName"] for each in ours(cluster) if "nodeName" in each["spec"]}


def waiting(cluster: Cluster) -> list[str]:
    """Pods of ours that are on no node."""
    # asked of the server: a list of a thousand bound pods costs both sides as much as placing some of them
    found = cluster.list_pods(fieldSelector="spec.schedulerName=Peaks,spec.nodeName=")
    return [each["metadata"]["name"] for each in found]


def bound_lines(daemon: Daemon) -> int:
    """How many pods this process has bound, by its log: told sooner than a page is computed anew."""
    return daemon.output().count('"message": "bound"')


def wait_some_bound(daemon: Daemon, count: int) -> int:
    """Until so many pods are bound; how many are."""
    return wait_until(lambda: (n := bound_lines(daemon)) >= count and n, f"{count} pods bound", every=0.01)


def wait_placed(cluster: Cluster, name: str, timeout: float = PATIENCE) -> str:
    """The node of a pod, once it has one."""
    path = f"/api/v1/namespaces/default/pods/{name}"
    return wait_until(lambda: cluster.api.get(path)["spec"].get("nodeName"), f"{name} bound", timeout)


def decision(pod: Object) -> Mapping[str, Any]:
    """The record on a pod."""
    record: Mapping[str, Any] = json.loads(pod["metadata"]["annotations"][DECISION])
    return record


def condition(pod: Object, kind: str = "PodScheduled") -> Object:
    """A condition of a pod; empty where it has none of that kind."""
    return next((each for each in pod["status"].get("conditions", ()) if each["type"] == kind), {})


def events_of(cluster: Cluster, name: str, reason: str) -> list[Object]:
    """Events about a pod, for one reason."""
    found = cluster.list_events(fieldSelector=f"reason={reason}")
    return [event for event in found if event["regarding"].get("name") == name]


def overcommitted(cluster: Cluster) -> dict[str, list[str]]:
    """Nodes that hold more than their allocatable, with the resources; worked out from the API alone."""
    held: dict[str, Counter[str]] = {}
    for each in cluster.list_pods():
        if "nodeName" in each["spec"] and each["status"]["phase"] not in ("Succeeded", "Failed"):
            sums = held.setdefault(each["spec"]["nodeName"], Counter())
            sums["pods"] += 1
            for container in each["spec"]["containers"]:
                for resource, amount in container["resources"].get("requests", {}).items():
                    sums[resource] += _number(amount)
    limits = {
        each["metadata"]["name"]: each["status"]["allocatable"] for each in cluster.api.get("/api/v1/nodes")["items"]
    }
    beyond = {
        name: [what for what, amount in sums.items() if amount > _limit(limits[name], what)]
        for name, sums in held.items()
        if name in limits
    }
    return {name: resources for name, resources in beyond.items() if resources}


def _limit(allocatable: Mapping[str, str], resource: str) -> Decimal:
    return _number(allocatable.get(resource, "0"))


_SUFFIXES = {
    **{suffix: Decimal(10) ** power for suffix, power in zip("num", (-9, -6, -3), strict=True)},
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate(("", "k", "M", "G", "T", "P", "E"))},
    **{f"{suffix}i": Decimal(1024) ** power for power, suffix in enumerate("KMGTPE", 1)},
}


def _number(quantity: str) -> Decimal:
    """A quantity as Kubernetes writes it: ``250m``, ``1Gi``, ``2e3``."""
    number = quantity.rstrip("numkKMGTPEi")
    return Decimal(number) * _SUFFIXES[quantity.removeprefix(number)]


def assert_sound(cluster: Cluster, daemon: Daemon, *, pid: int | None = None, timeout: float = PATIENCE) -> None:
    """What holds after every fault: each pod bound and told once, where the record says; no node over its allocatable;
    the process alive, with ``pid`` the same as before, and nothing in its log that nobody expected.
    """
    wait_until(lambda: not waiting(cluster), "every pod bound", timeout, every=0.2)
    found = ours(cluster)
    uids = {each["metadata"]["uid"] for each in found}
    wait_until(lambda: uids <= told(cluster).keys(), "a Scheduled event for every pod", timeout, every=0.2)
    counts = told(cluster)
    assert {uid: counts[uid] for uid in uids if counts[uid] != 1} == {}
    assert [each["metadata"]["name"] for each in found if decision(each)["node"] != each["spec"]["nodeName"]] == []
    assert overcommitted(cluster) == {}
    assert daemon.alive
    assert pid in (None, daemon.pid)
    assert len(daemon.lines("serving")) == 1
    assert [line for line in daemon.lines() if "exception" in line or line["level"] == "CRITICAL"] == []


def told(cluster: Cluster) -> Counter[str]:
    """How many Scheduled events there are about each pod, by uid."""
    return Counter(event["regarding"]["uid"] for event in cluster.list_events(fieldSelector="reason=Scheduled"))
