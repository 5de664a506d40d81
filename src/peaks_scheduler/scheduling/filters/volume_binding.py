"""VolumeBinding: a node must reach the pod's volumes, or volumes must be found or provisioned for it.

Owns the filter, its PreFilter part (``outright``), and the plan of the writes for the chosen node. Bound claims are
judged by their volume's node affinity. Claims that wait for a pod get an existing volume, or a volume is provisioned
where the class's topology and the capacity allow it. The volume controller must bind all other unbound claims first.

Source: kube-scheduler 1.36's volumebinding/binder.go (FindPodVolumes; its order of reasons and early returns decide
which reason a node gets) and volume_binding.go. Where kube-scheduler's filter fails with an error on a node that passed
all filters before it, the whole pod fails: ``volume_binding_failures`` returns the nodes where that would happen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from peaks_scheduler.arrays import Mask
from peaks_scheduler.ledger.snapshot import Snapshot
from peaks_scheduler.ledger.storage.attachments import not_owner
from peaks_scheduler.ledger.storage.migration import Untranslatable
from peaks_scheduler.ledger.storage.plan import Binding, Provision, VolumePlan
from peaks_scheduler.ledger.storage.records import NANO, NO_PROVISIONER, WAIT, Claim, StorageClass, Volume
from peaks_scheduler.ledger.storage.store import Storage
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.objects.pod_volumes import PodVolume
from peaks_scheduler.objects.quantity import units

from .node_lookup import at_nodes, fault_of, migrated_nodes, nodes_selected
from .refusal import Refusal
from .volume_matching import NONE, match_volumes

OUT_OF_REACH = "node(s) didn't match PersistentVolume's node affinity"
NOTHING_TO_BIND = "node(s) didn't find available persistent volumes to bind"
NO_SPACE = "node(s) did not have enough free storage"
NO_VOLUME = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"

UNBOUND = "pod has unbound immediate PersistentVolumeClaims"

_CANNOT_TELL = 'running PreFilter plugin "VolumeBinding": '
_FAILED = 'running "VolumeBinding" filter plugin: '


@dataclass(frozen=True, slots=True)
class PodClaims:
    """The claims of a pod, in the pod's order."""

    bound: Sequence[Claim]
    waiting: Sequence[Claim]
    """Unbound; to be bound when a node is chosen (WaitForFirstConsumer)."""
    immediate: Sequence[Claim]
    """Unbound; the volume controller must bind them."""
    unclear: StorageClass | None
    """A class without a VolumeBindingMode."""


# --- outright -------------------------------------------------------------------------------------------------------


def volume_binding_outright(pod: Pod, nodes: Snapshot) -> str | None:
    """The reason where a claim cannot be used, or must be bound first."""
    for volume in pod.volumes:
        if volume.claim is not None:
            said = _unusable(volume, volume.claim, pod, nodes.storage)
            if said is not None:
                return said
    claims = _claims(pod, nodes.storage)
    if claims.unclear is not None:
        return f'{_CANNOT_TELL}VolumeBindingMode not set for StorageClass "{claims.unclear.name}"'
    return UNBOUND if claims.immediate else None


def _unusable(volume: PodVolume, name: str, pod: Pod, storage: Storage) -> str | None:
    claim = storage.claim(pod.namespace, name)
    if claim is None and volume.ephemeral:
        return f'waiting for ephemeral volume controller to create the persistentvolumeclaim "{name}"'
    if claim is None:
        return f'persistentvolumeclaim "{name}" not found'
    if claim.lost:
        return f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{claim.volume_name}"'
    if claim.deleting:
        return f'persistentvolumeclaim "{name}" is being deleted'
    return not_owner(claim, pod) if volume.ephemeral and claim.owner != pod.uid else None


def _claims(pod: Pod, storage: Storage) -> PodClaims:
    found = (storage.claim(pod.namespace, volume.claim) for volume in pod.volumes if volume.claim is not None)
    claims = [claim for claim in found if claim is not None]
    bound = [claim for claim in claims if claim.bound]
    waiting: list[Claim] = []
    immediate: list[Claim] = []
    unclear: StorageClass | None = None
    for claim in claims:
        if claim.bound:
            continue
        its_class = storage.storage_class(claim.class_name)
        if its_class is not None and its_class.binding_mode is None:
            unclear = unclear or its_class
        waits = its_class is not None and its_class.binding_mode == WAIT
        # the volume controller binds a claim that names its volume, whatever its class says
        (waiting if waits and not claim.volume_name else immediate).append(claim)
    return PodClaims(bound, waiting, immediate, unclear)


# --- filter ---------------------------------------------------------------------------------------------------------


def volume_binding(pod: Pod, nodes: Snapshot) -> list[Refusal]:
    """Nodes where the pod cannot have its volumes. A node may be refused for several reasons at once."""
    if not any(volume.claim is not None for volume in pod.volumes):
        return []
    claims = _claims(pod, nodes.storage)
    refusals: list[Refusal] = []
    if claims.bound:
        reach = _reach(claims.bound, nodes)
        refusals += [(OUT_OF_REACH, reach.beyond), (NO_VOLUME, reach.missing)]
    if claims.waiting:
        unmatched, cramped = _unbindable(claims.waiting, nodes)
        refusals += [(NOTHING_TO_BIND, unmatched), (NO_SPACE, cramped)]
    return refusals


def volume_binding_failures(pod: Pod, nodes: Snapshot) -> list[Refusal]:
    """Nodes on which kube-scheduler fails, with its error: a volume that has no CSI form where one is needed, or a
    claim with an invalid selector."""
    if not any(volume.claim is not None for volume in pod.volumes):
        return []
    claims = _claims(pod, nodes.storage)
    failures = [
        (f"{_FAILED}could not translate pv: {words}", mask) for words, mask in _reach(claims.bound, nodes).faults
    ]
    for claim in claims.waiting:
        fault = fault_of(claim.selector) if claim.selector is not None and claim.selected_node is None else None
        if fault is not None:
            said = f"{_FAILED}error creating internal label selector for claim: {claim.key}: {fault}"
            failures.append((said, _selected(claims.waiting, nodes)))
    return failures


# -- bound claims


@dataclass(frozen=True, slots=True, eq=False)
class _Reach:
    """Nodes where bound claims are a problem."""

    beyond: Mask  # (N,) a volume cannot be reached
    missing: Mask  # (N,) a volume does not exist
    faults: list[Refusal]  # nodes that cannot be judged, and the error


def _reach(claims: Sequence[Claim], nodes: Snapshot) -> _Reach:
    """Judge claim after claim, each on the nodes that the claims before it allow."""
    fine = np.ones(len(nodes), np.bool_)
    beyond = np.zeros(len(nodes), np.bool_)
    faults: list[Refusal] = []
    for claim in claims:
        volume = nodes.storage.volume(claim.volume_name)
        if volume is None:
            return _Reach(beyond, fine, faults)
        if volume.migration is not None and isinstance(volume.migration.volume, Untranslatable):
            faults.append((volume.migration.volume.words, fine & migrated_nodes(volume.migration.plugin, nodes)))
        fine &= _reachable(volume, nodes)
        beyond = ~fine
    return _Reach(beyond, np.zeros(len(nodes), np.bool_), faults)


def _reachable(volume: Volume, nodes: Snapshot) -> Mask:
    """(N,) nodes that reach the volume. Where an in-tree plugin was migrated to CSI, the CSI form's node affinity
    counts."""
    within = nodes.index.matching(volume.where)
    if volume.migration is None:
        return within
    moved = migrated_nodes(volume.migration.plugin, nodes)
    if isinstance(volume.migration.volume, Untranslatable):
        return within & ~moved
    return np.where(moved, nodes.index.matching(volume.migrated_where), within)


# -- unbound claims


def _unbindable(claims: Sequence[Claim], nodes: Snapshot) -> tuple[Mask, Mask]:
    """(N,) nodes where a claim gets no volume, and (N,) nodes where only the space for a new volume is missing."""
    fine = _selected(claims, nodes)
    unmatched = ~fine
    cramped = np.zeros(len(nodes), np.bool_)
    for claim, here in _to_provision(claims, nodes):
        asked = fine & here
        if not asked.any():
            continue
        possible, roomy = _provisionable(claim, nodes)
        unmatched |= asked & ~possible
        cramped |= asked & possible & ~roomy
        fine &= ~asked | (possible & roomy)
    return unmatched, cramped


def _selected(claims: Sequence[Claim], nodes: Snapshot) -> Mask:
    """(N,) nodes that the claims allow: a claim with a selected node is provisioned on that node alone."""
    fine = np.ones(len(nodes), np.bool_)
    for claim in claims:
        if claim.selected_node is not None:
            fine &= at_nodes(nodes, (claim.selected_node,))
    return fine


def _to_provision(claims: Sequence[Claim], nodes: Snapshot) -> list[tuple[Claim, Mask]]:
    """Claims that need a new volume, each with the (N,) nodes where they do, in kube-scheduler's order."""
    everywhere = np.ones(len(nodes), np.bool_)
    selected = [(claim, everywhere) for claim in claims if claim.selected_node is not None]
    matches = match_volumes([claim for claim in claims if claim.selected_node is None], nodes)
    return selected + [(match.claim, match.rank == NONE) for match in matches]


def _provisionable(claim: Claim, nodes: Snapshot) -> tuple[Mask, Mask]:
    """(N,) nodes where the claim's class can provision volumes, and (N,) nodes with space for one."""
    its_class = nodes.storage.storage_class(claim.class_name)
    if its_class is None or its_class.provisioner in ("", NO_PROVISIONER):
        return np.zeros(len(nodes), np.bool_), np.ones(len(nodes), np.bool_)
    return nodes.index.matching(its_class.topologies), _with_space(claim, its_class, nodes)


def _with_space(claim: Claim, its_class: StorageClass, nodes: Snapshot) -> Mask:
    """(N,) nodes with space for the claim. Drivers that do not track their capacity have space everywhere; drivers that
    do have none on nodes without a CSIStorageCapacity."""
    storage = nodes.storage
    driver = storage.csi_driver(its_class.provisioner)
    if claim.size is None or driver is None or not driver.tracks_capacity:
        return np.ones(len(nodes), np.bool_)
    size = units(Fraction(claim.size, NANO))
    stamp = (nodes.index.shape, storage.changes["CSIStorageCapacity"])
    return storage.remember(("space", its_class.name, size), stamp, lambda: _find_space(size, its_class.name, nodes))


def _find_space(size: int, class_name: str, nodes: Snapshot) -> Mask:
    roomy = np.zeros(len(nodes), np.bool_)
    for each in nodes.storage.capacities():
        if (
            each.class_name == class_name
            and each.limit is not None
            and each.limit >= size
            and each.topology is not None
        ):
            roomy[nodes_selected(each.topology, nodes)] = True
    return roomy


# --- plan -----------------------------------------------------------------------------------------------------------


def plan_volumes(pod: Pod, nodes: Snapshot, i: int) -> VolumePlan | None:
    """The writes that are needed before the pod can run on node i; None: none. The node must have passed the filter."""
    claims = _claims(pod, nodes.storage).waiting
    if not claims:
        return None
    node = nodes.names[i]
    bindings, provisions = [], [_provision(claim, node) for claim in claims if claim.selected_node is not None]
    for match in match_volumes([claim for claim in claims if claim.selected_node is None], nodes):
        rank = int(match.rank[i])
        volume = nodes.storage.volume(match.volumes[rank]) if rank != NONE else None
        if volume is None:
            provisions.append(_provision(match.claim, node))
        else:
            bindings.append(_binding(volume, match.claim))
    return VolumePlan(node, tuple(bindings), tuple(provisions))


def _binding(volume: Volume, claim: Claim) -> Binding:
    """What to write to bind the volume to the claim (GetBindVolumeToClaim)."""
    annotate = not volume.kept_for(claim) and not volume.by_controller
    complete = volume.kept_for(claim) and volume.claim is not None and volume.claim.uid == claim.uid
    return Binding(
        volume.name,
        volume.uid,
        volume.version,
        claim.namespace,
        claim.name,
        claim.uid,
        claim.version,
        annotate,
        needed=annotate or not complete,
    )


def _provision(claim: Claim, node: str) -> Provision:
    return Provision(claim.namespace, claim.name, claim.uid, claim.version, node)
