"""Claims, volumes, classes and what CSI drivers say of nodes: as much of them as placing reads.

Owns the records. Two are equal when they say the same of placing: their versions do not count. Sizes are whole
nano-bytes, which hold any quantity exactly. Never looks anything up: a record knows the names of others, not them.
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
    """Whom a volume belongs to, or is kept for."""

    namespace: str
    name: str
    uid: str
    """Empty: whatever claim has that name."""


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
    """Has it the annotation by which the volume controller knows that it, not a user, bound the two?"""
    available: bool
    """``status.phase`` is ``Available``"""
    deleting: bool
    where: NodeRequirement
    """On labels alone: fields are not looked at."""
    csi: CsiVolume | None
    """Its own CSI source."""
    migration: Migration | None
    migrated_where: NodeRequirement
    """``where`` on nodes to which its in-tree plugin was migrated."""
    zones: tuple[tuple[str, frozenset[str]], ...]
    """(label, values) pairs of its own labels that a node must share."""

    @property
    def counted(self) -> CsiVolume | None:
        """What counts against a node's limit; None: nothing."""
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
    """Fully: it names its volume, and the volume controller has finished with it."""
    lost: bool
    deleting: bool
    selected_node: str | None
    size: int | None
    """[nB] None: it asks for no size."""
    access_modes: frozenset[str]
    mode: str
    attributes_class: str
    selector: LabelSelector | None
    owner: str
    """uid of the object that controls it; empty: none."""

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
    """How many volumes of a driver can be attached; a driver that is not here has no limit."""
    migrated: frozenset[str]
    """In-tree plugins that CSI drivers have taken over on this node."""


@dataclass(frozen=True, slots=True)
class CsiDriver:
    name: str
    tracks_capacity: bool


@dataclass(frozen=True, slots=True)
class Capacity:
    """A CSIStorageCapacity: how much can be provisioned for a class on some nodes."""

    key: str
    class_name: str
    limit: int | None
    """[B] the largest volume; None: not known, so none."""
    topology: LabelSelector | None
    """The nodes; None: none."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A VolumeAttachment."""

    name: str
    node: str
    driver: str
    volume_name: str
    """Empty: it is of a volume that is in no PersistentVolume."""
