"""Records of claims, volumes, classes and CSI objects: as much of them as a decision reads.

Two records are equal if decisions read the same from them: versions do not count. Sizes are whole nano-bytes, which
hold any quantity exactly. A record has the names of other objects, never the objects. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from peaks_scheduler.objects.selectors import LabelSelector, NodeRequirement

from .migration import CsiVolume, Migration

WAIT = "WaitForFirstConsumer"
NO_PROVISIONER = "kubernetes.io/no-provisioner"
NANO = 10**9
EVERYWHERE = NodeRequirement()


@dataclass(frozen=True, slots=True)
class ClaimRef:
    """The claim that a volume is bound to or reserved for."""

    namespace: str
    name: str
    uid: str
    """Empty: any claim of that name."""


@dataclass(frozen=True, slots=True)
class Volume:
    """A PersistentVolume."""

    name: str
    uid: str
    version: str = field(compare=False)
    """``metadata.resourceVersion``"""
    labels: Mapping[str, str]
    class_name: str
    size: int
    """[nB] ``spec.capacity.storage``"""
    access_modes: frozenset[str]
    mode: str
    """``Filesystem`` or ``Block``"""
    attributes_class: str
    claim: ClaimRef | None
    by_controller: bool
    """Does its annotation say that the volume controller, not a user, bound it?"""
    available: bool
    """``status.phase`` is ``Available``"""
    deleting: bool
    where: NodeRequirement
    """Node affinity by labels; fields are not read."""
    csi: CsiVolume | None
    """Its CSI source; None: it has another source."""
    migration: Migration | None
    migrated_where: NodeRequirement
    """``where`` on nodes where its in-tree plugin is migrated to CSI."""
    zones: tuple[tuple[str, frozenset[str]], ...]
    """(label, values): a node must have one of the values of each label."""

    @property
    def counted(self) -> CsiVolume | None:
        """The CSI volume that counts against a node's limit; None: none."""
        found = self.csi
        if found is None and self.migration is not None and isinstance(self.migration.volume, CsiVolume):
            found = self.migration.volume
        return found if found is not None and found.driver and found.handle else None

    def kept_for(self, claim: Claim) -> bool:
        """IsVolumeBoundToClaim."""
        ref = self.claim
        return (
            ref is not None
            and (ref.namespace, ref.name) == (claim.namespace, claim.name)
            and ref.uid in ("", claim.uid)
        )


@dataclass(frozen=True, slots=True)
class Claim:
    """A PersistentVolumeClaim."""

    namespace: str
    name: str
    uid: str
    version: str = field(compare=False)
    class_name: str
    volume_name: str
    bound: bool
    """Does it name its volume, and has the volume controller completed the binding?"""
    lost: bool
    deleting: bool
    selected_node: str | None
    size: int | None
    """[nB] requested; None: no size is requested."""
    access_modes: frozenset[str]
    mode: str
    attributes_class: str
    selector: LabelSelector | None
    owner: str
    """uid of its controlling owner; empty: none."""

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class StorageClass:
    name: str
    provisioner: str
    binding_mode: str | None
    topologies: NodeRequirement
    """``allowedTopologies``: where volumes can be provisioned."""


@dataclass(frozen=True, slots=True)
class CsiNode:
    name: str
    limits: Mapping[str, int]
    """Driver -> number of volumes that can be attached; a driver not in it has no limit."""
    migrated: frozenset[str]
    """In-tree plugins that are migrated to CSI on this node."""


@dataclass(frozen=True, slots=True)
class CsiDriver:
    name: str
    tracks_capacity: bool


@dataclass(frozen=True, slots=True)
class Capacity:
    """A CSIStorageCapacity: how large a volume of a class can be provisioned on some nodes."""

    key: str
    class_name: str
    limit: int | None
    """[B] the largest volume; None: not known, and no volume counts as possible."""
    topology: LabelSelector | None
    """The nodes; None: none."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A VolumeAttachment."""

    name: str
    node: str
    driver: str
    volume_name: str
    """Empty: the volume has no PersistentVolume."""
