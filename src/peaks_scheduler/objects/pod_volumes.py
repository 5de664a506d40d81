"""Volumes of a pod that filters read: claims, generic ephemeral volumes, and disks named in the pod.

Owns the records, their reading from a pod's spec, and the rule by which two pods conflict over a disk. The claims and
volumes themselves are in ``ledger.storage``. Sources that no filter reads are left out, so the usual pod has ``()``.

Supported sources: ``persistentVolumeClaim``, ``ephemeral`` and those of ``DISKS``. ``azureFile`` and ``vsphereVolume``
need nothing: kube-scheduler can translate them to CSI but never does, since it does not assume their migration.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .memo import memoized
from .requests import Json

DISKS: Mapping[str, str] = {  # source -> the field that names the disk
    "gcePersistentDisk": "pdName",
    "awsElasticBlockStore": "volumeID",
    "iscsi": "iqn",
    "rbd": "image",
    "azureDisk": "diskURI",
    "cinder": "volumeID",
    "portworxVolume": "volumeID",
}
"""Disks in the pod itself: the first four can conflict between pods, all but iSCSI and RBD count against limits."""

_SHARED_READ_ONLY = frozenset({"gcePersistentDisk", "iscsi", "rbd"})
EXCLUSIVE = _SHARED_READ_ONLY | {"awsElasticBlockStore"}
"""Sources of disks that two pods on one node may not both have."""


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk that a pod names itself, or the in-tree source of a PersistentVolume."""

    source: str
    """Field of the volume that holds it, one of ``DISKS``."""
    name: str
    read_only: bool = False
    kind: str | None = None
    """azureDisk: ``Managed``, ``Shared`` or ``Dedicated``; None where it does not say."""
    pool: str = ""
    """rbd"""
    monitors: frozenset[str] = frozenset()
    """rbd: two images are the same only where they share one."""

    @property
    def identity(self) -> tuple[str, str, str]:
        """Disks with different identities never conflict."""
        return self.source, self.name, self.pool

    @property
    def exclusive(self) -> bool:
        """Is it of a source that two pods on one node may not both have?"""
        return self.source in EXCLUSIVE

    def conflicts(self, other: Disk) -> bool:
        """Do the two disks conflict on one node? EBS always; GCE, iSCSI and RBD unless both are read-only."""
        if self.identity != other.identity:
            return False
        if self.source not in _SHARED_READ_ONLY:
            return self.source in EXCLUSIVE
        if self.read_only and other.read_only:
            return False
        return self.source != "rbd" or not self.monitors.isdisjoint(other.monitors)


@dataclass(frozen=True, slots=True)
class PodVolume:
    """One volume of a pod: either a claim or a disk."""

    name: str
    claim: str | None = None
    """Name of the claim in the pod's namespace; for an ephemeral volume the claim that its controller creates."""
    ephemeral: bool = False
    disk: Disk | None = None


def disk_from(source: str, raw: Json) -> Disk:
    """The disk in a volume's ``source`` field, of a pod or of a PersistentVolume."""
    return Disk(
        source,
        raw.get(DISKS[source]) or "",
        bool(raw.get("readOnly")),
        raw.get("kind") if source == "azureDisk" else None,
        (raw.get("pool") or "") if source == "rbd" else "",
        frozenset(raw.get("monitors") or ()) if source == "rbd" else frozenset(),
    )


def pod_volumes(spec: Json, pod_name: str) -> tuple[PodVolume, ...]:
    """The volumes of a pod that constrain where it can run, in the order of its spec."""
    raw = spec.get("volumes")
    if not raw:
        return ()
    found = tuple(_read(raw, pod_name))
    return _shared(found) if found else ()


def _read(volumes: list[Json], pod_name: str) -> Iterator[PodVolume]:
    for volume in volumes:
        name = volume.get("name") or ""
        claim = volume.get("persistentVolumeClaim")
        if claim is not None:
            yield PodVolume(name, claim.get("claimName") or "")
        elif volume.get("ephemeral") is not None:
            yield PodVolume(name, f"{pod_name}-{name}", ephemeral=True)
        else:
            disks = (disk_from(source, volume[source]) for source in DISKS if volume.get(source) is not None)
            yield from (PodVolume(name, disk=disk) for disk in disks)


@memoized()
def _shared(volumes: tuple[PodVolume, ...]) -> tuple[PodVolume, ...]:
    return volumes
