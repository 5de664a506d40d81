"""Records of storage objects, read from API objects.

Owns one function for each kind, and the names of the annotations and labels that are read. Assumes JSON already decoded
into dicts; never keeps the dict. Raises ObjectError for an object without a name, QuantityError for an invalid size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from peaks_scheduler.errors import ObjectError, QuantityError
from peaks_scheduler.objects.memo import memoized
from peaks_scheduler.objects.pod_volumes import DISKS, disk_from
from peaks_scheduler.objects.quantity import parse_quantity, units
from peaks_scheduler.objects.requests import Json
from peaks_scheduler.objects.selectors import (
    NodeRequirement,
    NodeSelectorTerm,
    Requirement,
    label_selector_from,
    node_selector_term_from,
)

from .migration import BETA_REGION, BETA_ZONE, REGION, ZONE, ZONES_APART_BY, CsiVolume, Terms, migrated
from .records import EVERYWHERE, NANO, Attachment, Capacity, Claim, ClaimRef, CsiDriver, CsiNode, StorageClass, Volume

BETA_CLASS = "volume.beta.kubernetes.io/storage-class"
BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
MIGRATED_PLUGINS = "storage.alpha.kubernetes.io/migrated-plugins"
ZONE_LABELS = (BETA_ZONE, BETA_REGION, ZONE, REGION)
"""Labels of a volume that give its zone or region."""


def key_of(raw: Json, kind: str) -> str:
    """``namespace/name``, or the name alone of a cluster-wide object. Raises ObjectError."""
    meta = raw.get("metadata")
    if not isinstance(meta, dict) or not meta.get("name"):
        raise ObjectError(f"expected a {kind} with metadata.name, got {str(raw)[:200]!r}")
    name: str = meta["name"]
    return f"{meta.get('namespace') or 'default'}/{name}" if kind in NAMESPACED else name


def _size(raw: Json | None, kind: str, name: str) -> int | None:
    if not raw or raw.get("storage") is None:
        return None
    try:
        return int(parse_quantity(raw["storage"]) * NANO)
    except QuantityError as error:
        raise QuantityError(f"{kind} {name}: {error}") from error


def _class_name(annotations: Mapping[str, str], spec: Json) -> str:
    named: str = annotations[BETA_CLASS] if BETA_CLASS in annotations else spec.get("storageClassName") or ""
    return named


def _volume(raw: Json) -> Volume:
    meta: Json = raw["metadata"]
    spec: Json = raw.get("spec") or {}
    labels, annotations = meta.get("labels") or {}, meta.get("annotations") or {}
    ref = spec.get("claimRef")
    terms = _terms(spec)
    disk = next((disk_from(source, spec[source]) for source in DISKS if spec.get(source) is not None), None)
    csi = spec.get("csi")
    migration = migrated(disk, labels, terms) if disk else None
    return Volume(
        name=meta["name"],
        uid=meta.get("uid") or meta["name"],
        version=meta.get("resourceVersion") or "",
        labels=labels,
        class_name=_class_name(annotations, spec),
        size=_size(spec.get("capacity"), "PersistentVolume", meta["name"]) or 0,
        access_modes=frozenset(spec.get("accessModes") or ()),
        mode=spec.get("volumeMode") or "Filesystem",
        attributes_class=spec.get("volumeAttributesClassName") or "",
        claim=ClaimRef(ref.get("namespace") or "", ref.get("name") or "", ref.get("uid") or "")
        if ref is not None
        else None,
        by_controller=BOUND_BY_CONTROLLER in annotations,
        available=(raw.get("status") or {}).get("phase") == "Available",
        deleting=meta.get("deletionTimestamp") is not None,
        where=_by_labels(terms),
        csi=CsiVolume(csi.get("driver") or "", csi.get("volumeHandle") or "") if csi is not None else None,
        migration=migration,
        migrated_where=_by_labels(migration.terms if migration else terms),
        zones=tuple(_zones(labels)),
    )


def _terms(spec: Json) -> Terms:
    required = (spec.get("nodeAffinity") or {}).get("required")
    if required is None:
        return None
    return tuple(node_selector_term_from(term) for term in required.get("nodeSelectorTerms") or ())


@memoized()  # one object for equal requirements: filters recognise volumes of one zone by it
def _by_labels(terms: Terms) -> NodeRequirement:
    """The terms without their fields, as CheckNodeAffinity evaluates them.

    It asks with a node that has labels but no name: valid requirements on fields are passed over, a term of nothing
    else matches everywhere, and a term with an invalid field matches nowhere.
    """
    if terms is None:
        return EVERYWHERE
    left = []
    for term in terms:
        if any(r.operator not in ("In", "NotIn") or len(r.values) != 1 for r in term.fields):
            continue
        if term.fields and not term.expressions:
            return EVERYWHERE
        left.append(NodeSelectorTerm(term.expressions))
    return NodeRequirement(terms=tuple(left))


def _zones(labels: Mapping[str, str]) -> list[tuple[str, frozenset[str]]]:
    """(label, its zones); a label with an empty zone is passed over."""
    listed = [
        (key, {zone.strip() for zone in labels[key].split(ZONES_APART_BY)}) for key in ZONE_LABELS if key in labels
    ]
    return [(key, frozenset(zones)) for key, zones in listed if "" not in zones]


def _claim(raw: Json) -> Claim:
    meta: Json = raw["metadata"]
    spec: Json = raw.get("spec") or {}
    annotations = meta.get("annotations") or {}
    namespace = meta.get("namespace") or "default"
    volume = spec.get("volumeName") or ""
    owners = (owner.get("uid") or "" for owner in meta.get("ownerReferences") or () if owner.get("controller"))
    requests = (spec.get("resources") or {}).get("requests")
    return Claim(
        namespace=namespace,
        name=meta["name"],
        uid=meta.get("uid") or f"{namespace}/{meta['name']}",
        version=meta.get("resourceVersion") or "",
        class_name=_class_name(annotations, spec),
        volume_name=volume,
        bound=bool(volume) and BIND_COMPLETED in annotations,
        lost=(raw.get("status") or {}).get("phase") == "Lost",
        deleting=meta.get("deletionTimestamp") is not None,
        selected_node=annotations.get(SELECTED_NODE),
        size=_size(requests, "PersistentVolumeClaim", f"{namespace}/{meta['name']}"),
        access_modes=frozenset(spec.get("accessModes") or ()),
        mode=spec.get("volumeMode") or "Filesystem",
        attributes_class=spec.get("volumeAttributesClassName") or "",
        selector=label_selector_from(spec.get("selector")),
        owner=next(owners, ""),
    )


def _storage_class(raw: Json) -> StorageClass:
    topologies = raw.get("allowedTopologies")
    return StorageClass(
        raw["metadata"]["name"],
        raw.get("provisioner") or "",
        raw.get("volumeBindingMode"),
        NodeRequirement(terms=tuple(map(_topology_term, topologies))) if topologies else EVERYWHERE,
    )


def _topology_term(raw: Json) -> NodeSelectorTerm:
    given = raw.get("matchLabelExpressions") or ()
    return NodeSelectorTerm(
        tuple(Requirement(each.get("key") or "", "In", tuple(each.get("values") or ())) for each in given)
    )


def _csi_node(raw: Json) -> CsiNode:
    meta: Json = raw["metadata"]
    counts = {
        driver.get("name") or "": (driver.get("allocatable") or {}).get("count")
        for driver in (raw.get("spec") or {}).get("drivers") or ()
    }
    plugins = (meta.get("annotations") or {}).get(MIGRATED_PLUGINS) or ""
    return CsiNode(
        meta["name"],
        {name: count for name, count in counts.items() if count is not None},
        frozenset(plugins.split(",")) if plugins else frozenset(),
    )


def _csi_driver(raw: Json) -> CsiDriver:
    return CsiDriver(raw["metadata"]["name"], bool((raw.get("spec") or {}).get("storageCapacity")))


def _capacity(raw: Json) -> Capacity:
    """``maximumVolumeSize`` counts before ``capacity``."""
    key = key_of(raw, "CSIStorageCapacity")
    given = raw.get("maximumVolumeSize")
    given = raw.get("capacity") if given is None else given
    try:
        limit = None if given is None else units(parse_quantity(given))
    except QuantityError as error:
        raise QuantityError(f"CSIStorageCapacity {key}: {error}") from error
    return Capacity(key, raw.get("storageClassName") or "", limit, label_selector_from(raw.get("nodeTopology")))


def _attachment(raw: Json) -> Attachment:
    spec: Json = raw.get("spec") or {}
    source = (spec.get("source") or {}).get("persistentVolumeName") or ""
    return Attachment(raw["metadata"]["name"], spec.get("nodeName") or "", spec.get("attacher") or "", source)


READERS: Mapping[str, Callable[[Json], Any]] = {
    "PersistentVolume": _volume,
    "PersistentVolumeClaim": _claim,
    "StorageClass": _storage_class,
    "CSINode": _csi_node,
    "CSIDriver": _csi_driver,
    "CSIStorageCapacity": _capacity,
    "VolumeAttachment": _attachment,
}
NAMESPACED = frozenset({"PersistentVolumeClaim", "CSIStorageCapacity"})
