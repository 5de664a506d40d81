"""Where the volumes of a pod let it run.

A replay has no storage objects, so what they ask for becomes part of the pod: a volume on one node ties the pod to it,
and the node affinity of any other volume is added to the pod's own. Claims that are not bound yet ask for nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product

from peaks_scheduler.files.kubernetes_objects import Json, mapping
from peaks_scheduler.ledger.storage.from_api import READERS, key_of
from peaks_scheduler.ledger.storage.records import Claim, Volume
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.objects.selectors import NodeRequirement, NodeSelectorTerm

from .staying import LOCAL_VOLUME, UNKNOWN_VOLUME

_ON_A_NODE = ("local", "hostPath")


@dataclass(frozen=True, slots=True)
class Storage:
    """The claims and volumes of a dump."""

    claims: Mapping[str, Claim]
    """By ``namespace/name``."""
    volumes: Mapping[str, Volume]
    """By name."""
    local: frozenset[str]
    """Names of the volumes whose data is on one node."""

    def place(self, pod: Pod) -> tuple[str, NodeRequirement]:
        """Why the pod's volumes tie it to its node (empty: they do not), and where they let it run together with its
        own requirement."""
        where = pod.where
        for claimed in pod.volumes:
            if claimed.claim is None:
                continue
            claim = self.claims.get(f"{pod.namespace}/{claimed.claim}")
            if claim is None:
                return UNKNOWN_VOLUME, pod.where
            if not claim.volume_name:
                continue
            volume = self.volumes.get(claim.volume_name)
            if volume is None:
                return UNKNOWN_VOLUME, pod.where
            if volume.name in self.local:
                return LOCAL_VOLUME, pod.where
            where = both(where, volume.where)
        return "", where


NO_STORAGE = Storage({}, {}, frozenset())


def storage_of(objects: Iterable[Json]) -> Storage:
    """The claims and volumes among the objects. Raises ObjectError, QuantityError."""
    claims, volumes, local = {}, {}, set()
    for raw in objects:
        if raw["kind"] == "PersistentVolumeClaim":
            claims[key_of(raw, "PersistentVolumeClaim")] = READERS["PersistentVolumeClaim"](raw)
        elif raw["kind"] == "PersistentVolume":
            volume: Volume = READERS["PersistentVolume"](raw)
            volumes[volume.name] = volume
            if any(mapping(raw.get("spec")).get(source) is not None for source in _ON_A_NODE):
                local.add(volume.name)
    return Storage(claims, volumes, frozenset(local))


def both(one: NodeRequirement, other: NodeRequirement) -> NodeRequirement:
    """Nodes that match both requirements. Alternatives are multiplied out."""
    selector = tuple(sorted({*one.selector, *other.selector}))
    if one.terms is None or other.terms is None:
        return NodeRequirement(selector, other.terms if one.terms is None else one.terms)
    pairs = product(filter(_can_match, one.terms), filter(_can_match, other.terms))
    terms = (NodeSelectorTerm(a.expressions + b.expressions, a.fields + b.fields) for a, b in pairs)
    return NodeRequirement(selector, tuple(terms))


def _can_match(term: NodeSelectorTerm) -> bool:
    # an empty or an invalid term matches nothing, which a joined term would no longer say
    return bool(term.expressions or term.fields) and term.valid
