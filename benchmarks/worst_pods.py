"""Pods that cost a scheduler as much as any user of a namespace can make them: as large as the API server takes them.

Owns the kinds. Each is a function of how many names it shall hold; a pod waits for a scheduler or stands on a node
already, put there by its maker (``nodeName``), whom no scheduler asked. Nothing in them is invalid. Pure.
"""

from __future__ import annotations

import itertools
import string
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]
EVERYWHERE: Object = {"labelSelector": {}, "namespaceSelector": {}}


@dataclass(frozen=True, slots=True)
class Kind:
    """One way to cost much. ``make(count)`` is spec and metadata of a pod that holds so many names."""

    make: Callable[[int], Object]
    most: int
    """More names than the API server takes."""
    runs: bool = False
    """It stands on a node; else it waits."""


def names(count: int) -> list[str]:
    """Short and distinct, good as label keys and values."""
    letters = itertools.product(string.ascii_lowercase, repeat=4)
    return ["".join(each) for each in itertools.islice(letters, count)]


def spec(**fields: object) -> Object:
    container = {"name": "c", "image": "x", "resources": {"requests": {"cpu": "100m"}}}
    return {"spec": {"containers": [container], **fields}}


def pod_terms(count: int) -> Iterator[Object]:
    return ({"topologyKey": name, **EVERYWHERE} for name in names(count))


def required(terms: list[Object]) -> Object:
    return spec(
        affinity={"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}
    )


def exists(key: str) -> Object:
    return {"matchExpressions": [{"key": key, "operator": "Exists"}]}


def node_selector(count: int) -> Object:
    return spec(nodeSelector=dict.fromkeys(names(count), ""))


def affinity_values(count: int) -> Object:
    values = {"key": "topology.kubernetes.io/zone", "operator": "In", "values": names(count)}
    return required([{"matchExpressions": [values]}])


def affinity_terms(count: int) -> Object:
    return required([exists(name) for name in names(count)])


def preferred_nodes(count: int) -> Object:
    terms = [{"weight": 1, "preference": exists(name)} for name in names(count)]
    return spec(affinity={"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": terms}})


def spread(when: str) -> Callable[[int], Object]:
    def make(count: int) -> Object:
        shared = {"maxSkew": 1, "whenUnsatisfiable": when, "labelSelector": {}}
        return spec(topologySpreadConstraints=[{"topologyKey": name, **shared} for name in names(count)])

    return make


def repeller(count: int) -> Object:
    terms = list(pod_terms(count))
    return spec(affinity={"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}})


def liker(count: int) -> Object:
    terms = [{"weight": 1, "podAffinityTerm": term} for term in pod_terms(count)]
    return spec(affinity={"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": terms}})


def own_repeller(count: int) -> Object:
    terms = [
        {
            "topologyKey": "kubernetes.io/hostname",
            "labelSelector": {"matchExpressions": [{"key": name, "operator": "DoesNotExist"}]},
        }
        for name in names(count)
    ]
    return spec(affinity={"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}})


def tolerations(count: int) -> Object:
    return spec(tolerations=[{"key": name, "operator": "Exists"} for name in names(count)])


def ports(count: int) -> Object:
    taken = [{"containerPort": n, "hostPort": n} for n in range(1, count + 1)]
    return spec(containers=[{"name": "c", "image": "x", "ports": taken}])


def resources(count: int) -> Object:
    return spec(
        containers=[{"name": "c", "image": "x", "resources": {"limits": {f"a.b/{n}": "1" for n in names(count)}}}]
    )


def labels(count: int) -> Object:
    return {**spec(), "metadata": {"labels": dict.fromkeys(names(count), "")}}


def environment(count: int) -> Object:
    return spec(containers=[{"name": "c", "image": "x", "env": [{"name": "E", "value": "x" * count}]}])


def containers(count: int) -> Object:
    asked = {"requests": {"cpu": "1m", "memory": "1"}}
    return spec(containers=[{"name": name, "image": "x", "resources": asked} for name in names(count)])


def claims(count: int) -> Object:
    return spec(volumes=[{"name": n, "persistentVolumeClaim": {"claimName": n}} for n in names(count)])


KINDS: Mapping[str, Kind] = {
    "waits: node selector": Kind(node_selector, 120_000),
    "waits: node affinity, values": Kind(affinity_values, 200_000),
    "waits: node affinity, terms": Kind(affinity_terms, 60_000),
    "waits: preferred nodes": Kind(preferred_nodes, 50_000),
    "waits: spread": Kind(spread("DoNotSchedule"), 40_000),
    "waits: spread anyway": Kind(spread("ScheduleAnyway"), 40_000),
    "waits: anti-affinity": Kind(repeller, 40_000),
    "waits: affinity preferred": Kind(liker, 30_000),
    "waits: tolerations": Kind(tolerations, 60_000),
    "waits: host ports": Kind(ports, 50_000),
    "waits: resources": Kind(resources, 60_000),
    "waits: labels": Kind(labels, 120_000),
    "waits: containers": Kind(containers, 20_000),
    "waits: claims": Kind(claims, 30_000),
    "runs: anti-affinity": Kind(repeller, 40_000, runs=True),
    "runs: anti-affinity, own": Kind(own_repeller, 30_000, runs=True),
    "runs: affinity preferred": Kind(liker, 30_000, runs=True),
    "runs: resources": Kind(resources, 60_000, runs=True),
    "runs: labels": Kind(labels, 120_000, runs=True),
    "runs: environment": Kind(environment, 3_000_000, runs=True),
}
