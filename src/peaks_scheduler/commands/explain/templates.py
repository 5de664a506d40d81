"""Pod templates of workloads in files, each with the one pod that it would make.

Owns where templates stand (anywhere in ``spec``: Deployments, CronJobs and kinds that this version has never heard of
are read alike), whether pods of a workload are among the objects already, and what a template is called. Assumes
objects as files have them, of any shape. Never takes an object for a workload that another one there makes, as a
ReplicaSet of a Deployment: it would count twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from peaks_scheduler.objects.requests import Json

from .made_pods import mapping, name_of, pod_of

NO_WORKLOADS = frozenset(
    {"ConfigMap", "ControllerRevision", "CustomResourceDefinition", "Event", "Node", "Pod", "Secret"}
)
"""Kinds that hold no pod template, or the copy of another object's."""
DEEPEST = 24  # levels that a template is looked for in
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
    """Where in the workload it stands; empty where it is the only one."""
    replicas: int | None
    """How many pods like it the workload asks for; None: it does not say."""
    running: bool
    """Pods of the workload are among the objects: they speak for themselves."""
    holder: Json
    """What of the workload the template stands in."""
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
        """What it may be called, the shortest first: ``default/web``, ``default/deployment/web``."""
        name = f"{self.workload}:{self.place}" if self.place else self.workload
        kinds = ("", f"{self.kind.lower()}/", f"{self.kind.lower()}.{self.group}/")
        return tuple(f"{self.namespace}/{kind}{name}" for kind in kinds)

    @property
    def name(self) -> str:
        """``Deployment default/web``."""
        return f"{self.kind} {self.keys[0]}"

    def is_meant_by(self, key: str) -> bool:
        """``default/web``, ``default/deployment/web``, ``deployment/web``; the workload's name means all templates of
        it."""
        kind = f"{self.kind.lower()}/{self.workload}"
        return key in (*self.keys, f"{self.namespace}/{self.workload}", f"{self.namespace}/{kind}", kind)

    def objects(self) -> list[Json]:
        """The pod that it makes, and the claims that come with it."""
        return pod_of(self.kind, self.namespace, self.workload, self.uid, self.holder, self.content)


class Family:
    """Who made whom among the objects."""

    def __init__(self, objects: Sequence[Json]) -> None:
        makers = {_identity(raw): _maker(raw) for raw in objects}
        self._present = {identity for identity in makers if identity[1] != "Pod"}
        self._running: set[Identity] = set()
        for raw in objects:
            if raw["kind"] == "Pod":
                self._count(_maker(raw), makers)
                self._count(_deployment(raw), makers)

    def _count(self, maker: Identity | None, makers: dict[Identity, Identity | None]) -> None:
        while maker is not None and maker not in self._running:
            self._running.add(maker)
            maker = makers.get(maker)

    def made_by_another(self, raw: Json) -> bool:
        """Does a controller that is there as well make it?"""
        return _maker(raw) in self._present

    def runs(self, raw: Json) -> bool:
        """Are pods of it there?"""
        return _identity(raw) in self._running


def _identity(raw: Json) -> Identity:
    meta = mapping(raw.get("metadata"))
    return str(meta.get("namespace") or "default"), raw["kind"], str(meta.get("name"))


def _maker(raw: Json) -> Identity | None:
    meta = mapping(raw.get("metadata"))
    for owner in _list(meta.get("ownerReferences")):
        if mapping(owner).get("controller"):
            return str(meta.get("namespace") or "default"), str(owner.get("kind")), str(owner.get("name"))
    return None


def _deployment(pod: Json) -> Identity | None:
    """Of a pod whose ReplicaSet is not among the objects: its name is the Deployment's and the hash."""
    maker, labels = _maker(pod), mapping(mapping(pod.get("metadata")).get("labels"))
    if maker is None or maker[1] != "ReplicaSet" or POD_HASH not in labels:
        return None
    return maker[0], "Deployment", maker[2].removesuffix(f"-{labels[POD_HASH]}")


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


# --- where they stand -------------------------------------------------------------------------------------------------


def templates_of(raw: Json, family: Family) -> Iterator[Template]:
    """Every pod template of an object."""
    meta = mapping(raw.get("metadata"))
    if raw["kind"] in NO_WORKLOADS or not name_of(meta) or family.made_by_another(raw):
        return
    found = list(_found({key: raw.get(key) for key in ("spec", "template")}))
    for place, content, holder in found:
        yield Template(
            kind=raw["kind"],
            group=str(raw.get("apiVersion") or "").rpartition("/")[0],
            namespace=str(meta.get("namespace") or "default"),
            workload=name_of(meta),
            place=_short(place) if len(found) > 1 else "",
            replicas=_count(holder),
            running=family.runs(raw),
            holder=holder,
            content=content,
        )


def _found(value: Any, place: str = "", deep: int = 0) -> Iterator[tuple[str, Json, Json]]:
    """Place, template and the mapping that holds it, for every pod template below ``value``."""
    for where, inner in _parts(value, place) if deep < DEEPEST else ():
        if where.lower().endswith("template") and _is_pod_template(inner):
            yield where, inner, mapping(value)
        else:
            yield from _found(inner, where, deep + 1)


def _parts(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield f"{place}.{key}" if place else str(key), inner
    for i, inner in enumerate(_list(value)):
        yield f"{place}[{i}]", inner


def _is_pod_template(value: Any) -> bool:
    containers = mapping(mapping(value).get("spec")).get("containers")
    return isinstance(containers, list) and all(isinstance(each, dict) for each in containers)


def _short(place: str) -> str:
    """``replicatedJobs[0]`` of ``spec.replicatedJobs[0].template.spec.template``."""
    return place.removeprefix("spec.").removesuffix(".template").removesuffix(".template.spec")


def _count(holder: Json) -> int | None:
    counts: Sequence[Any] = [holder[key] for key in ("replicas", "parallelism") if isinstance(holder.get(key), int)]
    return int(counts[0]) if counts else None
