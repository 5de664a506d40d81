"""Pod templates of workloads in files, and the pod that each would make.

Owns where templates are found (anywhere in ``spec``, so that Deployments, CronJobs and unknown kinds are read alike),
whether pods of a workload are among the objects, and the names of a template. Assumes objects of any form. An object
that another one there makes, such as a Deployment's ReplicaSet, is no workload of its own: it would count twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from peaks_scheduler.files.kubernetes_objects import items_of, mapping, name_of
from peaks_scheduler.objects.requests import Json

from .made_pods import pod_of

NO_WORKLOADS = frozenset(
    {"ConfigMap", "ControllerRevision", "CustomResourceDefinition", "Event", "Node", "Pod", "Secret"}
)
"""Kinds without a pod template, or with a copy of another object's."""
DEEPEST = 24  # levels of nesting that are searched for a template
POD_HASH = "pod-template-hash"

Identity = tuple[str, str, str]
"""Namespace, kind and name."""


@dataclass(frozen=True, slots=True)
class Template:
    """A workload's pod template."""

    kind: str
    group: str
    namespace: str
    workload: str
    place: str
    """Where it is in the workload; empty if it is the only template."""
    replicas: int | None
    """How many such pods the workload asks for; None: it does not say."""
    running: bool
    """Are pods of the workload among the objects? Then they are explained, not the template."""
    holder: Json
    """The mapping that contains the template."""
    content: Json

    @property
    def uid(self) -> str:
        return f"template:{self.kind}.{self.group}/{self.namespace}/{self.workload}:{self.place}"

    @property
    def waits(self) -> bool:
        """Would its pods be pending if the workload were created now?"""
        return not self.running and self.replicas != 0

    @property
    def keys(self) -> tuple[str, ...]:
        """Its names, the shortest first: ``default/web``, ``default/deployment/web``."""
        name = f"{self.workload}:{self.place}" if self.place else self.workload
        kinds = ("", f"{self.kind.lower()}/", f"{self.kind.lower()}.{self.group}/")
        return tuple(f"{self.namespace}/{kind}{name}" for kind in kinds)

    @property
    def name(self) -> str:
        """``Deployment default/web``."""
        return f"{self.kind} {self.keys[0]}"

    def is_meant_by(self, key: str) -> bool:
        """Is ``key`` a name of it: ``default/web``, ``default/deployment/web``, ``deployment/web``? The name of the
        workload means all its templates."""
        kind = f"{self.kind.lower()}/{self.workload}"
        return key in (*self.keys, f"{self.namespace}/{self.workload}", f"{self.namespace}/{kind}", kind)

    def objects(self) -> list[Json]:
        """The pod that it makes, and the pod's claims."""
        return pod_of(self.kind, self.namespace, self.workload, self.uid, self.holder, self.content)


class Controllers:
    """Which object is the controller of which, among the objects."""

    def __init__(self, objects: Sequence[Json]) -> None:
        controllers = {_identity(raw): _controller(raw) for raw in objects}
        self._present = {identity for identity in controllers if identity[1] != "Pod"}
        self._running: set[Identity] = set()
        for raw in objects:
            if raw["kind"] == "Pod":
                self._mark_running(_controller(raw), controllers)
                self._mark_running(_deployment(raw), controllers)

    def _mark_running(self, controller: Identity | None, controllers: dict[Identity, Identity | None]) -> None:
        while controller is not None and controller not in self._running:
            self._running.add(controller)
            controller = controllers.get(controller)

    def controlled(self, raw: Json) -> bool:
        """Is the controller of this object among the objects?"""
        return _controller(raw) in self._present

    def running(self, raw: Json) -> bool:
        """Are pods of this workload among the objects?"""
        return _identity(raw) in self._running


def _identity(raw: Json) -> Identity:
    meta = mapping(raw.get("metadata"))
    return str(meta.get("namespace") or "default"), raw["kind"], str(meta.get("name"))


def _controller(raw: Json) -> Identity | None:
    meta = mapping(raw.get("metadata"))
    for owner in items_of(meta.get("ownerReferences")):
        if mapping(owner).get("controller"):
            return str(meta.get("namespace") or "default"), str(owner.get("kind")), str(owner.get("name"))
    return None


def _deployment(pod: Json) -> Identity | None:
    """The Deployment of a pod whose ReplicaSet is not among the objects: a ReplicaSet is named DEPLOYMENT-HASH."""
    controller, labels = _controller(pod), mapping(mapping(pod.get("metadata")).get("labels"))
    if controller is None or controller[1] != "ReplicaSet" or POD_HASH not in labels:
        return None
    return controller[0], "Deployment", controller[2].removesuffix(f"-{labels[POD_HASH]}")


# --- templates of one object ------------------------------------------------------------------------------------------


def templates_of(raw: Json, controllers: Controllers) -> Iterator[Template]:
    """Every pod template of an object."""
    meta = mapping(raw.get("metadata"))
    if raw["kind"] in NO_WORKLOADS or not name_of(meta) or controllers.controlled(raw):
        return
    found = list(_found({key: raw.get(key) for key in ("spec", "template")}))
    for place, content, holder in found:
        yield Template(
            kind=raw["kind"],
            group=str(raw.get("apiVersion") or "").rpartition("/")[0],
            namespace=str(meta.get("namespace") or "default"),
            workload=name_of(meta),
            place=_short(place) if len(found) > 1 else "",
            replicas=_replicas(holder),
            running=controllers.running(raw),
            holder=holder,
            content=content,
        )


def _found(value: Any, place: str = "", deep: int = 0) -> Iterator[tuple[str, Json, Json]]:
    """Place, template and the mapping that contains it, for every pod template below ``value``."""
    for where, inner in _parts(value, place) if deep < DEEPEST else ():
        if where.lower().endswith("template") and _is_pod_template(inner):
            yield where, inner, mapping(value)
        else:
            yield from _found(inner, where, deep + 1)


def _parts(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield f"{place}.{key}" if place else str(key), inner
    for i, inner in enumerate(items_of(value)):
        yield f"{place}[{i}]", inner


def _is_pod_template(value: Any) -> bool:
    containers = mapping(mapping(value).get("spec")).get("containers")
    return isinstance(containers, list) and all(isinstance(each, dict) for each in containers)


def _short(place: str) -> str:
    """``replicatedJobs[0]`` of ``spec.replicatedJobs[0].template.spec.template``."""
    return place.removeprefix("spec.").removesuffix(".template").removesuffix(".template.spec")


def _replicas(holder: Json) -> int | None:
    counts: Sequence[Any] = [holder[key] for key in ("replicas", "parallelism") if isinstance(holder.get(key), int)]
    return int(counts[0]) if counts else None
