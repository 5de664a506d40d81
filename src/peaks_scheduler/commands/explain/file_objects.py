"""Kubernetes objects read from files, as the API server would have them.

Lists are taken apart, the API server's defaults are added, and pod templates become pods. Assumes that a file may have
any content: what cannot be read is a ConfigurationError that names the file and the object. Never looks at what an
object means for placement.
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
from .templates import Controllers, Template, templates_of

Object = tuple[str, Json]
"""The file it came from, for messages, and the object itself."""


@dataclass(frozen=True, slots=True)
class Described:
    """The content of files."""

    objects: Sequence[Object]
    """The pods that templates would make are among them."""
    templates: Mapping[str, Template]
    """Uid of a pod among the objects -> the template that it was made from."""
    notes: Sequence[str]


def read_described(paths: Iterable[str]) -> Described:
    """Everything in these files. Raises ConfigurationError that names the file and what is wrong in it."""
    objects = [found for path in paths for found in read_objects(path)]
    templates, made = _made(objects)
    notes = _without_nodes([raw for _, raw in objects], templates)
    return Described([defaulted(*found) for found in (*objects, *made)], templates, notes)


def _made(objects: Sequence[Object]) -> tuple[dict[str, Template], list[Object]]:
    """The pod templates by uid, and the objects that they make; claims that are in the files already are left out."""
    every = [raw for _, raw in objects]
    controllers, storage_class = Controllers(every), default_class(every)
    there = {identity(raw) for raw in every if raw["kind"] == "PersistentVolumeClaim"}
    templates: dict[str, Template] = {}
    made: list[Object] = []
    for origin, raw in objects:
        with shaped(origin, raw):
            for template in templates_of(raw, controllers):
                templates[template.uid] = template
                made += [(origin, with_class(each, storage_class)) for each in template.objects()]
    return templates, [found for found in made if identity(found[1]) not in there]


def identity(raw: Json) -> tuple[str, str, str]:
    """Kind, namespace and name."""
    meta = mapping(raw.get("metadata"))
    return raw["kind"], str(meta.get("namespace") or "default"), str(meta.get("name"))


def _without_nodes(objects: Sequence[Json], templates: Mapping[str, Template]) -> list[str]:
    """A note that the files have no node. Raises ConfigurationError if they have pod templates and nothing else."""
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
    """Turn an error on an object of a wrong form into a ConfigurationError that names the object."""
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
    """Every object of a file (``-``: standard input), also of several documents and of lists. Raises
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
        # the items of a NodeList, say, do not name their kind
        yield from _objects(document["items"] or [], origin, kind.removesuffix("List"))
    else:
        yield origin, {**document, "kind": kind}


def defaulted(origin: str, raw: Json) -> Object:
    """A pod with the defaults that the API server would add and the scheduler reads; other objects unchanged."""
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
    """A limit is the request where there is no request; with the host's network, a container's port is the host's."""
    resources = container.get("resources") or {}
    asked = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    ports = [
        {"hostPort": port.get("containerPort"), **port} if host_network else port
        for port in container.get("ports") or ()
    ]
    return {**container, "resources": {**resources, "requests": asked}, "ports": ports}
