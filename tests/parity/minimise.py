"""A cluster on which two answers differ, made as small as it goes while they still differ in that way.

Drops objects, then fields, one at a time, until nothing more can go. Assumes that the question is pure and quick: it is
asked some hundred times. Never touches what makes an object an object, nor the halves of a pair that belong together.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any

Json = dict[str, Any]
Question = Callable[[Sequence[Json]], bool]
"""Does this cluster still show it?"""

_KEPT = frozenset(
    {
        "apiVersion",
        "kind",
        "metadata",
        "name",
        "namespace",
        "uid",
        "spec",
        "status",
        "nodeName",
        "schedulerName",
        "phase",
    }
    | {"containers", "topologyKey", "maxSkew", "whenUnsatisfiable", "key", "operator", "effect", "nodeSelectorTerms"}
    | {
        "requiredDuringSchedulingIgnoredDuringExecution",
        "required",
        "claimName",
        "protocol",
        "containerPort",
        "requests",
    }
    | {"allocatable", "pods", "provisioner", "volumeBindingMode", "attacher", "source", "driver", "volumeHandle"}
    | {"pdName", "volumeID", "diskURI", "volumePath", "iqn", "monitors", "image", "accessModes", "capacity", "storage"}
)
"""Keys that an API server wants where their parent is there. Their values are looked into all the same."""

Path = tuple[str | int, ...]


def minimise(objects: Sequence[Json], still: Question) -> list[Json]:
    """A smallest cluster that ``still`` shows it: no object and no field can be left out of it."""
    small = _fewer_objects(list(objects), still)
    while (smaller := _fewer_fields(small, still)) is not None:
        small = _fewer_objects(smaller, still)
    return small


def _fewer_objects(objects: list[Json], still: Question) -> list[Json]:
    """Halves first, then less and less: most of a cluster has nothing to do with it."""
    size = max(1, len(objects) // 2)
    while True:
        i, dropped = 0, False
        while i < len(objects):
            rest = objects[:i] + objects[i + size :]
            if still(rest):
                objects, dropped = rest, True
            else:
                i += size
        if size == 1 and not dropped:
            return objects
        size = max(1, size // 2)


def _fewer_fields(objects: list[Json], still: Question) -> list[Json] | None:
    """The cluster without every field that can go; None where none can."""
    changed = False
    for n in range(len(objects)):
        for path in sorted(_paths(objects[n]), key=len):
            rest = _without(objects, n, path)
            if rest is not None and still(rest):
                objects, changed = rest, True
    return objects if changed else None


def _paths(value: Any, at: Path = ()) -> Iterator[Path]:
    """Everything in the object that could be left out; of lists the last first, so that places stay."""
    if isinstance(value, dict):
        for key, each in value.items():
            if key not in _KEPT:
                yield (*at, key)
            yield from _paths(each, (*at, key))
    elif isinstance(value, list):
        for i in reversed(range(len(value))):
            if len(value) > 1:
                yield (*at, i)
            yield from _paths(value[i], (*at, i))


def _without(objects: list[Json], n: int, path: Path) -> list[Json] | None:
    """A copy without that field; None where a larger part that held it is gone already."""
    changed = copy.deepcopy(objects[n])
    parent: Any = changed
    try:
        for step in path[:-1]:
            parent = parent[step]
        del parent[path[-1]]
    except (KeyError, IndexError, TypeError):
        return None
    return [*objects[:n], changed, *objects[n + 1 :]]
