"""VolumeRestrictions, NodeVolumeLimits and VolumeZone: volumes in use by other pods, too many volumes, other zones.

Owns three filters, and the PreFilter part (``outright``) of two of them, in kube-scheduler 1.36's words. Assumes that
``outright`` was asked before: a filter ignores claims that do not exist. Finding volumes to bind is
``volume_binding``'s.

Where kube-scheduler's filter fails with an error on a node that passed all filters before it, the whole pod fails:
``node_volume_limits_failures`` returns the nodes where that would happen.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from peaks_scheduler.arrays import Mask
from peaks_scheduler.ledger.snapshot import Snapshot
from peaks_scheduler.ledger.storage.attachments import csi_volumes
from peaks_scheduler.ledger.storage.migration import BETA_REGION, BETA_ZONE, REGION, ZONE, CsiVolume, Untranslatable
from peaks_scheduler.ledger.storage.reading import ZONE_LABELS
from peaks_scheduler.ledger.storage.records import WAIT, Claim, Volume
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.objects.pod_volumes import EXCLUSIVE, Disk

from .node_lookup import at_nodes, having_csi_node
from .refusal import Refusal

NO_DISK = "node(s) had no available disk"
IN_USE = (
    "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod"
)
TOO_MANY_VOLUMES = "node(s) exceed max volume count"
NO_ZONE = "node(s) had no available volume zone"

_FAILED = 'running "NodeVolumeLimits" filter plugin: '

ONE_POD = "ReadWriteOncePod"
_TODAYS = {BETA_ZONE: ZONE, BETA_REGION: REGION}


# --- VolumeRestrictions ---------------------------------------------------------------------------------------------


def volume_restrictions_outright(pod: Pod, nodes: Snapshot) -> str | None:
    """The reason where a claim that the pod names does not exist."""
    missing = (name for name in _named_claims(pod) if nodes.storage.claim(pod.namespace, name) is None)
    return next((f'persistentvolumeclaim "{name}" not found' for name in missing), None)


def volume_restrictions(pod: Pod, nodes: Snapshot) -> list[Refusal]:
    """Nodes with a pod that holds one of this pod's disks; all nodes where a ReadWriteOncePod claim is in use."""
    if not pod.volumes:
        return []
    disks = _exclusive_disks(pod)
    users = nodes.storage.users
    taken = at_nodes(nodes, {node for disk in disks for node in users.nodes_conflicting(disk)})
    if _in_use(pod, nodes):
        return [(NO_DISK, taken), (IN_USE, ~taken)]
    # kube-scheduler compares the claims of nominated pods by name alone, and ignores the namespace
    names = {claim.name for claim in _claims_for_one_pod(pod, nodes)}
    return [(NO_DISK, taken), (IN_USE, at_nodes(nodes, users.nominations_naming(names)) & ~taken)]


def nothing_restricted(pod: Pod, nodes: Snapshot) -> bool:
    """Has the pod neither an exclusive disk nor a claim in use? kube-scheduler then ignores nominated pods."""
    return not _exclusive_disks(pod) and not _in_use(pod, nodes)


def _exclusive_disks(pod: Pod) -> list[Disk]:
    return [volume.disk for volume in pod.volumes if volume.disk is not None and volume.disk.source in EXCLUSIVE]


def _in_use(pod: Pod, nodes: Snapshot) -> bool:
    """Is a ReadWriteOncePod claim of the pod in use? Pods on unknown nodes do not count."""
    claims = _claims_for_one_pod(pod, nodes)
    holders = (node for claim in claims for node in nodes.storage.users.nodes_naming(claim.key))
    return any(nodes.index.position(node) is not None for node in holders)


def _named_claims(pod: Pod) -> Iterator[str]:
    """Names of the pod's claims, without those of ephemeral volumes, as in kube-scheduler."""
    return (volume.claim for volume in pod.volumes if volume.claim is not None and not volume.ephemeral)


def _claims_for_one_pod(pod: Pod, nodes: Snapshot) -> list[Claim]:
    found = (nodes.storage.claim(pod.namespace, name) for name in _named_claims(pod))
    return [claim for claim in found if claim is not None and ONE_POD in claim.access_modes]


# --- NodeVolumeLimits -----------------------------------------------------------------------------------------------


def node_volume_limits(pod: Pod, nodes: Snapshot) -> list[Refusal]:
    """Nodes where a driver cannot attach all volumes of the pod. A volume that pods on the node use already needs no
    second attachment."""
    brought: defaultdict[str, set[CsiVolume]] = defaultdict(set)
    for volume in csi_volumes(pod, nodes.storage):
        if isinstance(volume, CsiVolume):
            brought[volume.driver].add(volume)
    refused = [_without_room(driver, volumes, nodes) for driver, volumes in brought.items()]
    return [(TOO_MANY_VOLUMES, np.logical_or.reduce(refused))] if refused else []


def _without_room(driver: str, volumes: set[CsiVolume], nodes: Snapshot) -> Mask:
    attachments = nodes.storage.attachments
    room = attachments.room(driver, len(nodes), nodes.index)
    shared = [attachments.using(volume, nodes.index) for volume in volumes]
    if not any(shared):
        return room < len(volumes)
    new = np.full(len(nodes), len(volumes), np.int64)
    for holders in shared:
        new -= at_nodes(nodes, holders)
    return (new > 0) & (room < new)


def node_volume_limits_failures(pod: Pod, nodes: Snapshot) -> list[Refusal]:
    """Nodes on which kube-scheduler cannot count volumes, the pod's own or those of a pod on the node, with its
    error."""
    if not pod.volumes:
        return []
    brought = list(csi_volumes(pod, nodes.storage))
    own = next((volume.words for volume in brought if isinstance(volume, Untranslatable)), None)
    if own is not None:
        return [(f"{_FAILED}{own}", having_csi_node(nodes))]
    faults = nodes.storage.attachments.faults(nodes.index) if brought else {}
    return [(f"{_FAILED}{words}", at_nodes(nodes, (node,))) for node, words in faults.items()]


# --- VolumeZone -----------------------------------------------------------------------------------------------------


def volume_zone_outright(pod: Pod, nodes: Snapshot) -> str | None:
    """The reason where a claim has no volume and does not wait for a pod, or where its volume does not exist."""
    reasons = (_without_zone(name, pod, nodes) for name in _named_claims(pod))
    return next((reason for reason in reasons if reason is not None), None)


def _without_zone(name: str, pod: Pod, nodes: Snapshot) -> str | None:
    if not name:
        return "PersistentVolumeClaim had no name"
    claim = nodes.storage.claim(pod.namespace, name)
    if claim is None:
        return f'persistentvolumeclaim "{name}" not found'
    if claim.volume_name:
        missing = nodes.storage.volume(claim.volume_name) is None
        return f'persistentvolume "{claim.volume_name}" not found' if missing else None
    if not claim.class_name:
        return "PersistentVolumeClaim had no pv name and storageClass name"
    its_class = nodes.storage.storage_class(claim.class_name)
    if its_class is None:
        return f'storageclass.storage.k8s.io "{claim.class_name}" not found'
    if its_class.binding_mode is None:
        return f'VolumeBindingMode not set for StorageClass "{claim.class_name}"'
    return None if its_class.binding_mode == WAIT else "PersistentVolume had no name"


def volume_zone(pod: Pod, nodes: Snapshot) -> list[Refusal]:
    """Nodes in another zone or region than one of the pod's volumes has in its labels. A node without zone labels
    counts as being in all zones."""
    confined = [pair for volume in _named_volumes(pod, nodes) for pair in volume.zones]
    if not confined:
        return []
    within = np.ones(len(nodes), np.bool_)
    for key, values in confined:
        within &= _in_zone(key, values, nodes)
    zoned = np.logical_or.reduce([nodes.index.having(key) for key in ZONE_LABELS])
    return [(NO_ZONE, zoned & ~within)]


def _in_zone(key: str, values: frozenset[str], nodes: Snapshot) -> Mask:
    inside = nodes.index.valued(key, values)
    todays = _TODAYS.get(key)
    if todays is None:
        return inside
    return inside | (nodes.index.valued(todays, values) & ~nodes.index.having(key))


def _named_volumes(pod: Pod, nodes: Snapshot) -> list[Volume]:
    claims = (nodes.storage.claim(pod.namespace, name) for name in _named_claims(pod))
    found = (nodes.storage.volume(claim.volume_name) for claim in claims if claim is not None and claim.volume_name)
    return [volume for volume in found if volume is not None]
