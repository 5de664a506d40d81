"""Objects out of files, as the API server would have them: lists taken apart, defaults added, templates made pods.

Assumes files of any shape: what cannot be read is a ConfigurationError that names the file and the object. Never looks
at what an object means for placing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from peaks_scheduler.errors import ConfigurationError, PeaksError
from peaks_scheduler.files.documents import MOST_OF_DUMP, parse_documents
from peaks_scheduler.files.reading import MOST_DUMP, read_input_text
from peaks_scheduler.objects.requests import Json
from peaks_scheduler.text.words import few

from .made_pods import default_class, mapping, name_of, with_class
from .templates import Family, Template, templates_of

Object = tuple[str, Json]
"""Where it came from, for messages, and what it is."""


@dataclass(frozen=True, slots=True)
class Described:
    """What files describe."""

    objects: Sequence[Object]
    templates: Mapping[str, Template]
    """By the uid of the pod that stands for each among the objects."""
    notes: Sequence[str]


def read_described(paths: Iterable[str]) -> Described:
    """Everything in these files. Raises ConfigurationError that says which file, and what of it."""
    objects = [found for path in paths for found in read_objects(path)]
    templates, made = _made(objects)
    notes = _without_nodes([raw for _, raw in objects], templates)
    return Described([defaulted(*found) for found in (*objects, *made)], templates, notes)


def _made(objects: Sequence[Object]) -> tuple[dict[str, Template], list[Object]]:
    """The pod templates by uid, and what they make that is not there yet."""
    every = [raw for _, raw in objects]
    family, storage_class = Family(every), default_class(every)
    there = {identity(raw) for raw in every if raw["kind"] == "PersistentVolumeClaim"}
    templates: dict[str, Template] = {}
    made: list[Object] = []
    for origin, raw in objects:
        with shaped(origin, raw):
            for template in templates_of(raw, family):
                templates[template.uid] = template
                made += [(origin, with_class(each, storage_class)) for each in template.objects()]
    return templates, [found for found in made if identity(found[1]) not in there]


def identity(raw: Json) -> tuple[str, str, str]:
    meta = mapping(raw.get("metadata"))
    return raw["kind"], str(meta.get("namespace") or "default"), str(meta.get("name"))


def _without_nodes(objects: Sequence[Json], templates: Mapping[str, Template]) -> list[str]:
    """A note that the files have no node; a ConfigurationError where they have no pod either, but only what is to be
    placed."""
    kinds = {raw["kind"] for raw in objects}
    if "Node" in kinds:
        return []
    remedy = "read a cluster too: kubectl get nodes,pods,pv,pvc,sc -A -o json > cluster.json, then --from cluster.json"
    if templates and "Pod" not in kinds:
        names = few([template.name for template in templates.values()])
        raise ConfigurationError(f"--from: expected nodes to place pods on, got {names} and no node; {remedy}")
    return [f"no node is in these files; {remedy}"]


@contextmanager
def shaped(origin: str, raw: Json | None = None) -> Iterator[None]:
    """Objects from files may have any shape: say which one is wrong, in words."""
    try:
        yield
    except PeaksError as error:
        raise ConfigurationError(f"{origin}: {error}") from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        what = _name(raw) if raw else "one of them"
        raise ConfigurationError(
            f"{origin}: {what}: expected the form the API server gives it; a field has another: {error}"
        ) from error


def _name(raw: Json) -> str:
    meta = raw.get("metadata")
    return f"{raw.get('kind')} {meta.get('name', '') if isinstance(meta, dict) else ''}".strip()


def read_objects(path: str) -> list[Object]:
    """Every object of a file (``-``: standard input): single ones, several documents, lists. Raises
    ConfigurationError."""
    documents = parse_documents(read_input_text("--from", path, MOST_DUMP), path, MOST_OF_DUMP)
    return [found for document in documents for found in _objects(document, path, "")]


def _objects(document: Any, origin: str, of_list: str) -> Iterator[Object]:
    if isinstance(document, list):
        for item in document:
            yield from _objects(item, origin, of_list)
        return
    kind = document.get("kind", of_list) if isinstance(document, dict) else None
    if not isinstance(kind, str) or not kind:
        raise ConfigurationError(
            f"{origin}: expected Kubernetes objects, each with its kind; got {str(document)[:80]!r}"
        )
    if kind.endswith("List") and "items" in document:
        # lists of one kind leave it out of their items
        yield from _objects(document["items"] or [], origin, kind.removesuffix("List"))
    else:
        yield origin, {**document, "kind": kind}


def defaulted(origin: str, raw: Json) -> Object:
    """A pod as a person writes it, with what the API server would add that placing reads; other objects as they are."""
    spec, meta = raw.get("spec"), mapping(raw.get("metadata"))
    if raw["kind"] != "Pod" or not isinstance(spec, dict):
        return origin, raw
    if not meta.get("name") and meta.get("generateName"):
        raw = {**raw, "metadata": {**meta, "name": name_of(meta)}}
    host = bool(spec.get("hostNetwork"))
    with shaped(origin, raw):
        more = {
            kind: [_with_defaults(c, host) for c in spec[kind]]
            for kind in ("containers", "initContainers")
            if spec.get(kind)
        }
    return origin, {**raw, "spec": {**spec, **more}}


def _with_defaults(container: Json, host_network: bool) -> Json:
    """Requests are the limits where only those are given; ports are the host's where the network is."""
    resources = container.get("resources") or {}
    asked = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    ports = [
        {"hostPort": port.get("containerPort"), **port} if host_network else port
        for port in container.get("ports") or ()
    ]
    return {**container, "resources": {**resources, "requests": asked}, "ports": ports}
