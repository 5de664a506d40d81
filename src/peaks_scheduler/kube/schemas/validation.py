"""Checks the types of an object's fields before the core reads it, so that the core need not check them.

Owns the table of schemas by kind. The API server checks types before it stores an object, but a proxy in front of it
may send anything. Fields that we do not read are not checked. null is the same as absent, as in Kubernetes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from peaks_scheduler.errors import ObjectError
from peaks_scheduler.objects.pod_volumes import DISKS

from . import pods, storage
from .pods import ClaimVolumeSourceJson, DiskJson, Text

MOST_SHOWN = 200  # [characters] of what is wrong

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
"""Plural of the kind -> schema; a test checks that it has every kind that is watched."""


def check_schema(plural: str, raw: Any) -> None:
    """Check the types of all fields of ``raw`` that scheduling reads.

    Args:
        plural: the kind, as in ``SCHEMAS``.

    Raises:
        ObjectError: a type is wrong; says which field and what was expected.
    """
    try:
        msgspec.convert(raw, SCHEMAS[plural])
        spec = raw.get("spec") or {}
        if plural == "persistentvolumes":
            _check_disks(spec)
        elif plural == "pods":
            _check_volumes(spec)
    except (msgspec.ValidationError, RecursionError, UnicodeError) as error:
        raise ObjectError(f"{plural} {_name(raw)}: {str(error)[:MOST_SHOWN]}") from error


def check_volumes(plural: str, raw: Any) -> None:
    """Check the volumes alone, of an object whose other fields were checked. Raises as ``check_schema``."""
    try:
        _check_volumes(raw.get("spec") or {})
    except (msgspec.ValidationError, RecursionError, UnicodeError) as error:
        raise ObjectError(f"{plural} {_name(raw)}: {str(error)[:MOST_SHOWN]}") from error


def _check_volumes(spec: Mapping[str, Any]) -> None:
    for volume in spec.get("volumes") or ():
        msgspec.convert(volume.get("name"), Text)
        msgspec.convert(volume.get("persistentVolumeClaim"), ClaimVolumeSourceJson | None)
        _check_disks(volume)


def _check_disks(sources: Mapping[str, Any]) -> None:
    for source, named_by in DISKS.items():
        if (disk := sources.get(source)) is not None:
            msgspec.convert(disk, DiskJson)
            msgspec.convert(disk.get(named_by), Text)


def _name(raw: Any) -> str:
    meta = raw.get("metadata") if isinstance(raw, dict) else None
    given = meta if isinstance(meta, dict) else {}
    return f"{given.get('namespace') or ''}/{given.get('name') or 'without a name'}".lstrip("/")[:MOST_SHOWN]
