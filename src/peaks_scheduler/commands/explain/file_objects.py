"""The objects of the files that ``--from`` names, and the pods that their pod templates would make.

Assumes that a file may have any content: what cannot be read is a ConfigurationError that names the file and the
object. Never looks at what an object means for placement.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.files.kubernetes_objects import Object, defaulted, identity, read_objects, shaped
from peaks_scheduler.objects.requests import Json
from peaks_scheduler.text.words import few

from .made_pods import default_class, with_class
from .templates import Controllers, Template, templates_of


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
    objects = [found for path in paths for found in read_objects(path, "--from")]
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
