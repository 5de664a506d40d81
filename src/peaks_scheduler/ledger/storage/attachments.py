"""How many more volumes of each CSI driver a node can attach.

Owns the CSI volumes that the pods of each node with limits use, and for each driver the array of what is left. A node
is counted again only after ``touch``: the storage calls it when the node's pods, their claims and volumes, its CSINode
or its VolumeAttachments have changed. A volume that is attached without a pod counts too, once.

Source: kube-scheduler's nodevolumelimits/csi.go.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from peaks_scheduler.arrays import Ints
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.objects.pod_volumes import PodVolume

from .migration import CsiVolume, Untranslatable, driver_of, inline_volume
from .records import Attachment, Claim, CsiNode, StorageClass, Volume

UNLIMITED = 2**62
NO_ROOM = -1


class Layout(Protocol):
    """Indices of the nodes in arrays."""

    @property
    def shape(self) -> int:
        """A number that changes when nodes come, go or get other indices."""

    def position(self, name: str) -> int | None:
        """Index of the node of that name."""


class Lookup(Protocol):
    """What is read from the storage."""

    def claim(self, namespace: str, name: str) -> Claim | None: ...

    def volume(self, name: str) -> Volume | None: ...

    def storage_class(self, name: str) -> StorageClass | None: ...

    def csi_node(self, name: str) -> CsiNode | None: ...

    def pods_on(self, node: str) -> Iterable[Pod]:
        """Pods with volumes on the node."""

    def attached_to(self, node: str) -> Iterable[Attachment]:
        """VolumeAttachments to the node."""


def csi_volumes(pod: Pod, known: Lookup) -> Iterator[CsiVolume | Untranslatable]:
    """Volumes of the pod that count against the limits of nodes. A claim that does not exist does not count."""
    for volume in pod.volumes:
        found = _of_disk(volume) if volume.disk is not None else _of_claim(volume, pod, known)
        if found is not None:
            yield found


def _of_disk(volume: PodVolume) -> CsiVolume | Untranslatable | None:
    assert volume.disk is not None, "asked about disks"
    found = inline_volume(volume.disk)
    if isinstance(found, Untranslatable):
        return Untranslatable(f"converting volume({volume.name}) from inline to csi: {found.words}")
    return found


def _of_claim(volume: PodVolume, pod: Pod, known: Lookup) -> CsiVolume | Untranslatable | None:
    if not volume.claim:
        return Untranslatable("PersistentVolumeClaim had no name")
    claim = known.claim(pod.namespace, volume.claim)
    if claim is None:
        return None
    if volume.ephemeral and claim.owner != pod.uid:
        return Untranslatable(not_owner(claim, pod))
    bound_to = known.volume(claim.volume_name) if claim.volume_name else None
    if bound_to is not None:
        return bound_to.counted
    its_class = known.storage_class(claim.class_name)
    driver = driver_of(its_class.provisioner) if its_class else ""
    # a handle that no real volume has: a volume that does not exist yet counts too, once
    return CsiVolume(driver, f"of claim {claim.key}") if driver else None


def not_owner(claim: Claim, pod: Pod) -> str:
    """Why a claim is not that of the pod's ephemeral volume, in words."""
    return f"PVC {claim.key} was not created for pod {pod.key} (pod is not owner)"


@dataclass(frozen=True, slots=True)
class _Count:
    """Limits and use of a node."""

    limits: Mapping[str, int]
    used: frozenset[CsiVolume]
    attached: Mapping[str, int]  # by driver, used or not
    fault: str | None  # why kube-scheduler cannot count them

    def room(self, driver: str) -> int:
        if self.fault is not None:
            return NO_ROOM
        limit = self.limits.get(driver)
        return UNLIMITED if limit is None else limit - self.attached.get(driver, 0)


class Attachments:
    """See the module."""

    def __init__(self, known: Lookup) -> None:
        self._known = known
        self._counts: dict[str, _Count] = {}
        self._using: defaultdict[CsiVolume, set[str]] = defaultdict(set)
        self._faults: dict[str, str] = {}
        self._stale: set[str] = set()
        self._room: dict[str, Ints] = {}  # by driver, of the nodes in the layout of ...
        self._shape = -1

    def touch(self, nodes: Iterable[str]) -> None:
        """Count these nodes again: what they attach may have changed."""
        self._stale.update(nodes)

    def touch_all(self) -> None:
        self._stale.update(self._counts)

    def room(self, driver: str, length: int, layout: Layout) -> Ints:
        """(N,) number of volumes of the driver that can still be attached; ``UNLIMITED`` without a limit."""
        self._recount(layout)
        if driver not in self._room:
            room = self._room[driver] = np.full(length, UNLIMITED, np.int64)
            for node, count in self._counts.items():
                _put(room, layout, node, count.room(driver))
        return self._room[driver]

    def using(self, volume: CsiVolume, layout: Layout) -> set[str]:
        """Nodes with limits whose pods use the volume already: another pod attaches nothing more."""
        self._recount(layout)
        return self._using.get(volume, set())

    def faults(self, layout: Layout) -> Mapping[str, str]:
        """Node with limits -> why the volumes of its pods cannot be counted."""
        self._recount(layout)
        return self._faults

    def _recount(self, layout: Layout) -> None:
        if layout.shape != self._shape:
            self._room.clear()
            self._shape = layout.shape
        while self._stale:
            node = self._stale.pop()
            self._replace(node, self._counted(node))
            count = self._counts.get(node)
            for driver, room in self._room.items():
                _put(room, layout, node, UNLIMITED if count is None else count.room(driver))

    def _counted(self, node: str) -> _Count | None:
        csi_node = self._known.csi_node(node)
        if csi_node is None or not csi_node.limits:
            return None
        used: set[CsiVolume] = set()
        for volume in (volume for pod in self._known.pods_on(node) for volume in csi_volumes(pod, self._known)):
            if isinstance(volume, Untranslatable):
                return _Count(csi_node.limits, frozenset(), {}, volume.words)
            used.add(volume)
        attached = Counter(volume.driver for volume in used.union(self._attached(node)))
        return _Count(csi_node.limits, frozenset(used), attached, None)

    def _attached(self, node: str) -> Iterator[CsiVolume]:
        """As in kube-scheduler: the driver is the attachment's, and only volumes with a CSI source count."""
        for attachment in self._known.attached_to(node):
            volume = self._known.volume(attachment.volume_name)
            if volume is not None and volume.csi is not None:
                yield CsiVolume(attachment.driver, volume.csi.handle)

    def _replace(self, node: str, count: _Count | None) -> None:
        before = self._counts.pop(node, None)
        self._faults.pop(node, None)
        for volume in before.used if before else ():
            self._using[volume].discard(node)
            if not self._using[volume]:
                del self._using[volume]
        if count is None:
            return
        self._counts[node] = count
        for volume in count.used:
            self._using[volume].add(node)
        if count.fault is not None:
            self._faults[node] = count.fault


def _put(room: Ints, layout: Layout, node: str, amount: int) -> None:
    i = layout.position(node)
    if i is not None:
        room[i] = amount
