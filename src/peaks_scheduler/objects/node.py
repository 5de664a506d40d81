"""Nodes, as much of them as a decision needs, and namespaces, from API objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from peaks_scheduler.errors import QuantityError

from .ceilings import Ceiling, annotated
from .meta import identity
from .quantity import parse_quantity, units
from .requests import Json, Requests, rounded_plain
from .selectors import (
    Taint,
    taint_from,
)


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A node as the core sees it."""

    name: str
    uid: str
    labels: Mapping[str, str]
    taints: tuple[Taint, ...]
    """NoSchedule and NoExecute."""
    mild_taints: tuple[Taint, ...]
    """PreferNoSchedule."""
    features: frozenset[str]
    """``status.declaredFeatures``"""
    unschedulable: bool
    allocatable: Requests
    cpu_capacity: float
    """[cores] ``status.capacity``; utilisation is a fraction of it."""
    addresses: tuple[tuple[str, str], ...]
    """(type, address) pairs."""
    provider_id: str
    memory_capacity: int = 0
    """[bytes] ``status.capacity``; 0: not given."""
    ceiling: Ceiling | None = None
    """Its own ceiling; None: the configured one."""
    oddities: tuple[str, ...] = ()
    """Annotations that could not be read, in words."""


def node_from_api(raw: Json) -> Node:
    """A node from its API object. Raises ObjectError if it has no name, QuantityError for an invalid quantity."""
    meta = identity(raw, "node")
    spec: Json = raw.get("spec") or {}
    status: Json = raw.get("status") or {}
    allocatable = status.get("allocatable") or status.get("capacity") or {}
    capacity = status.get("capacity") or allocatable
    ceiling, oddities = annotated(meta.get("annotations"))
    try:
        return Node(
            name=meta["name"],
            uid=meta.get("uid") or meta["name"],
            labels=meta.get("labels") or {},
            taints=_taints(spec, "NoSchedule", "NoExecute"),
            mild_taints=_taints(spec, "PreferNoSchedule"),
            features=frozenset(status.get("declaredFeatures") or ()) or NO_FEATURES,
            unschedulable=bool(spec.get("unschedulable")),
            allocatable=rounded_plain(tuple((name, str(value)) for name, value in allocatable.items())),
            cpu_capacity=float(parse_quantity(capacity.get("cpu", "0"))),
            addresses=tuple((a.get("type", ""), a.get("address", "")) for a in status.get("addresses") or ()),
            provider_id=spec.get("providerID") or "",
            memory_capacity=units(parse_quantity(capacity.get("memory", "0"))),
            ceiling=ceiling,
            oddities=oddities,
        )
    except QuantityError as error:
        raise QuantityError(f"node {meta['name']}: {error}") from error


def namespace_from_api(raw: Json) -> tuple[str, Mapping[str, str]]:
    """Name and labels of a namespace. Raises ObjectError if it has no name."""
    meta = identity(raw, "namespace")
    return meta["name"], meta.get("labels") or {}


def _taints(spec: Json, *effects: str) -> tuple[Taint, ...]:
    return tuple(taint_from(t) for t in spec.get("taints") or () if t.get("effect") in effects)


NO_FEATURES: frozenset[str] = frozenset()
