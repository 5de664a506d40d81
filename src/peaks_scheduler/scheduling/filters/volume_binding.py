"""VolumeBinding: the pod's volumes must be within reach of its node, or be found or made there.

Owns the filter, what it says before any node is looked at, and the plan of what is to be written for the node chosen.
Bound claims are judged by their volume's node affinity. Claims that wait for a pod get a volume that is there, or one
is provisioned where the class's topology and the capacity allow it. All other unbound claims are nobody's here: the
volume controller must bind them first.

Source: kube-scheduler 1.36's volumebinding/binder.go (FindPodVolumes, whose order of reasons and early ends decide
which words a node gets) and volume_binding.go. Where its filter fails with an error on a node that has passed all
filters before it, the whole pod fails: ``volume_binding_failures`` says on which nodes that would be.
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

from .node_lookup import at_nodes, fault_of, migrated_nodes, places_selected
from .volume_matching import NONE, match

OUT_OF_REACH = "node(s) didn't match PersistentVolume's node affinity"
NOTHING_TO_BIND = "node(s) didn't find available persistent volumes to bind"
NO_SPACE = "node(s) did not have enough free storage"
NO_VOLUME = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"

UNBOUND = "pod has unbound immediate PersistentVolumeClaims"

_CANNOT_TELL = 'running PreFilter plugin "VolumeBinding": '
_FAILED = 'running "VolumeBinding" filter plugin: '

Refusals = list[tuple[str, Mask]]


@dataclass(frozen=True, slots=True)
class PodClaims:
    """The claims of a pod, in its order."""

    bound: Sequence[Claim]
    waiting: Sequence[Claim]
    """Unbound, to be bound when a node is chosen."""
    immediate: Sequence[Claim]
    """Unbound, to be bound by others."""
    unclear: StorageClass | None
    """A class that does not say when its claims are bound."""


# --- outright -------------------------------------------------------------------------------------------------------


def volume_binding_outright(pod: Pod, nodes: Snapshot) -> str | None:
    """A claim that cannot be used, or that others must bind first."""
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
        # one that names its volume is for the volume controller, whatever its class says
        (waiting if waits and not claim.volume_name else immediate).append(claim)
    return PodClaims(bound, waiting, immediate, unclear)


# --- filter ---------------------------------------------------------------------------------------------------------


def volume_binding(pod: Pod, nodes: Snapshot) -> Refusals:
    """Nodes that cannot have the pod's volumes; a node may be refused for several reasons at once."""
    if not any(volume.claim is not None for volume in pod.volumes):
        return []
    claims = _claims(pod, nodes.storage)
    refusals: Refusals = []
    if claims.bound:
        reach = _reach(claims.bound, nodes)
        refusals += [(OUT_OF_REACH, reach.beyond), (NO_VOLUME, reach.missing)]
    if claims.waiting:
        unmatched, cramped = _unbindable(claims.waiting, nodes)
        refusals += [(NOTHING_TO_BIND, unmatched), (NO_SPACE, cramped)]
    return refusals


def volume_binding_failures(pod: Pod, nodes: Snapshot) -> Refusals:
    """Nodes on which kube-scheduler fails, and its error: a volume that has no CSI form where it needs one, a claim
    whose selector is none."""
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
    """What bound claims allow."""

    beyond: Mask  # (N,) a volume cannot be reached
    missing: Mask  # (N,) a volume is not there
    faults: Refusals  # it cannot be told, and why


def _reach(claims: Sequence[Claim], nodes: Snapshot) -> _Reach:
    """Claim after claim, each on the nodes where all before it were fine."""
    fine = np.ones(len(nodes), np.bool_)
    beyond = np.zeros(len(nodes), np.bool_)
    faults: Refusals = []
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
    """(N,) a volume of an in-tree plugin says where it is in other words on nodes where the plugin was migrated."""
    within = nodes.index.matching(volume.where)
    if volume.migration is None:
        return within
    moved = migrated_nodes(volume.migration.plugin, nodes)
    if isinstance(volume.migration.volume, Untranslatable):
        return within & ~moved
    return np.where(moved, nodes.index.matching(volume.migrated_where), within)


# -- unbound claims


def _unbindable(claims: Sequence[Claim], nodes: Snapshot) -> tuple[Mask, Mask]:
    """(N,) nodes where a claim gets no volume, and those where only the space for a new one is missing."""
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
    """(N,) a claim that was told its node is provisioned there and nowhere else."""
    fine = np.ones(len(nodes), np.bool_)
    for claim in claims:
        if claim.selected_node is not None:
            fine &= at_nodes(nodes, (claim.selected_node,))
    return fine


def _to_provision(claims: Sequence[Claim], nodes: Snapshot) -> list[tuple[Claim, Mask]]:
    """Claims that need a new volume, each with the (N,) nodes where, in kube-scheduler's order."""
    everywhere = np.ones(len(nodes), np.bool_)
    told = [(claim, everywhere) for claim in claims if claim.selected_node is not None]
    choices = match([claim for claim in claims if claim.selected_node is None], nodes)
    return told + [(choice.claim, choice.rank == NONE) for choice in choices]


def _provisionable(claim: Claim, nodes: Snapshot) -> tuple[Mask, Mask]:
    """(N,) can its class make volumes there? (N,) is there space for one?"""
    its_class = nodes.storage.storage_class(claim.class_name)
    if its_class is None or its_class.provisioner in ("", NO_PROVISIONER):
        return np.zeros(len(nodes), np.bool_), np.ones(len(nodes), np.bool_)
    return nodes.index.matching(its_class.topologies), _with_space(claim, its_class, nodes)


def _with_space(claim: Claim, its_class: StorageClass, nodes: Snapshot) -> Mask:
    """(N,) only drivers that track their capacity are asked, and of these one that says nothing of a node has none
    there."""
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
            roomy[places_selected(each.topology, nodes)] = True
    return roomy


# --- plan -----------------------------------------------------------------------------------------------------------


def plan_volumes(pod: Pod, nodes: Snapshot, i: int) -> VolumePlan | None:
    """What must be written before the pod can run on node i, one that the filter let pass; None: nothing."""
    claims = _claims(pod, nodes.storage).waiting
    if not claims:
        return None
    node = nodes.names[i]
    bindings, provisions = [], [_provision(claim, node) for claim in claims if claim.selected_node is not None]
    for choice in match([claim for claim in claims if claim.selected_node is None], nodes):
        rank = int(choice.rank[i])
        volume = nodes.storage.volume(choice.volumes[rank]) if rank != NONE else None
        if volume is None:
            provisions.append(_provision(choice.claim, node))
        else:
            bindings.append(_binding(volume, choice.claim))
    return VolumePlan(node, tuple(bindings), tuple(provisions))


def _binding(volume: Volume, claim: Claim) -> Binding:
    """GetBindVolumeToClaim."""
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
