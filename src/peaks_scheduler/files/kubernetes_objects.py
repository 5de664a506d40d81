"""Kubernetes objects read from files, as the API server would have them.

Lists are taken apart, and the API server's defaults are added. Assumes that a file may have any content: what cannot be
read is a ConfigurationError that names the file and the object. Never looks at what an object means for placement.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from peaks_scheduler.errors import ConfigurationError, PeaksError

from .documents import MOST_OF_DUMP, parse_documents
from .reading import MOST_DUMP, read_input_text

Json = Mapping[str, Any]
Object = tuple[str, Json]
"""The file it came from, for messages, and the object itself."""


def read_objects(path: str, option: str) -> list[Object]:
    """Every object of a file (``-``: standard input), also of several documents and of lists.

    ``option``: the option that names the file, for errors. Raises ConfigurationError.
    """
    documents = parse_documents(read_input_text(option, path, MOST_DUMP), path, MOST_OF_DUMP)
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


def identity(raw: Json) -> tuple[str, str, str]:
    """Kind, namespace and name."""
    meta = mapping(raw.get("metadata"))
    return raw["kind"], str(meta.get("namespace") or "default"), str(meta.get("name"))


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


def name_of(meta: Json) -> str:
    """An object's name, or the beginning of its generated name."""
    return str(meta.get("name") or str(meta.get("generateName") or "").rstrip("-."))


def mapping(value: Any) -> Json:
    """``value`` if it is a mapping, else an empty one."""
    return value if isinstance(value, dict) else {}


def items_of(value: Any) -> list[Any]:
    """``value`` if it is a list, else an empty one."""
    return value if isinstance(value, list) else []
