"""Objects held against the shapes that placing relies on, before the core reads them.

Owns the table of shapes by kind, so that the core may take them for granted: a list is a list and a text a text,
wherever in an object it stands. The API server checks all this before it stores an object; what stands between it and
us need not. A field that nobody reads may be anything; null is everywhere the same as absent, as in Kubernetes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from peaks_scheduler.errors import ObjectError
from peaks_scheduler.objects.pod_volumes import DISKS

from . import pods, storage
from .pods import ClaimVolumeSourceJson, DiskJson, Text

MOST_SHOWN = 200  # characters of what is wrong

SCHEMAS: Mapping[str, type[msgspec.Struct]] = {
    "pods": pods.PodJson,
    "nodes": pods.NodeJson,
    "namespaces": storage.NamespaceJson,
    "persistentvolumes": storage.PersistentVolumeJson,
    "persistentvolumeclaims": storage.PersistentVolumeClaimJson,
    "storageclasses": storage.StorageClassJson,
    "csinodes": storage.CsiNodeJson,
    "csidrivers": storage.CsiDriverJson,
    "csistoragecapacities": storage.CsiStorageCapacityJson,
    "volumeattachments": storage.VolumeAttachmentJson,
}
"""By the plural of the kind; a test has every kind that is watched in it."""


def check_schema(plural: str, raw: Any) -> None:
    """Has the object the types that placing reads? ``plural``: of its kind.

    Raises ObjectError that says what was expected where.
    """
    try:
        msgspec.convert(raw, SCHEMAS[plural])
        spec = raw.get("spec") or {}
        if plural == "persistentvolumes":
            _check_disks(spec)
        elif plural == "pods":
            for volume in spec.get("volumes") or ():
                msgspec.convert(volume.get("name"), Text)
                msgspec.convert(volume.get("persistentVolumeClaim"), ClaimVolumeSourceJson | None)
                _check_disks(volume)
    except (msgspec.ValidationError, RecursionError, UnicodeError) as error:
        raise ObjectError(f"{plural} {_name(raw)}: {str(error)[:MOST_SHOWN]}") from error


def _check_disks(sources: Mapping[str, Any]) -> None:
    for source, named_by in DISKS.items():
        if (disk := sources.get(source)) is not None:
            msgspec.convert(disk, DiskJson)
            msgspec.convert(disk.get(named_by), Text)


def _name(raw: Any) -> str:
    meta = raw.get("metadata") if isinstance(raw, dict) else None
    given = meta if isinstance(meta, dict) else {}
    return f"{given.get('namespace') or ''}/{given.get('name') or 'without a name'}".lstrip("/")[:MOST_SHOWN]
