"""What must be written before a pod with unbound claims can run on a node, and whether it is done.

Owns the plan (which volume is bound to which claim, for which claim a volume is provisioned), its patches, and the
check whether the volume controller has done its part (kube-scheduler's checkBindings). Writing and waiting are done
elsewhere. A patch carries the version it was planned on, so that the API server refuses it if the object has changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

from peaks_scheduler.objects.node import Node

from .from_api import BOUND_BY_CONTROLLER, SELECTED_NODE
from .migration import Untranslatable
from .records import Claim, CsiNode, Volume


@dataclass(frozen=True, slots=True)
class Binding:
    """An existing volume for a claim."""

    volume: str
    volume_uid: str
    volume_version: str
    namespace: str
    claim: str
    claim_uid: str
    claim_version: str
    annotate: bool
    """Must the volume be annotated as bound by the controller?"""
    needed: bool
    """False: the volume is bound to the claim already."""

    @property
    def claim_key(self) -> str:
        return f"{self.namespace}/{self.claim}"

    def patch(self) -> dict[str, Any]:
        """JSON merge patch of the PersistentVolume."""
        meta: dict[str, Any] = {"uid": self.volume_uid, "resourceVersion": self.volume_version}
        if self.annotate:
            meta["annotations"] = {BOUND_BY_CONTROLLER: "yes"}
        reference = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "namespace": self.namespace,
            "name": self.claim,
            "uid": self.claim_uid,
            "resourceVersion": self.claim_version,
        }
        return {"metadata": meta, "spec": {"claimRef": reference}}


@dataclass(frozen=True, slots=True)
class Provision:
    """A claim whose volume is provisioned for a node."""

    namespace: str
    claim: str
    claim_uid: str
    claim_version: str
    node: str

    @property
    def claim_key(self) -> str:
        return f"{self.namespace}/{self.claim}"

    def patch(self) -> dict[str, Any]:
        """JSON merge patch of the PersistentVolumeClaim."""
        annotations = {SELECTED_NODE: self.node}
        return {"metadata": {"uid": self.claim_uid, "resourceVersion": self.claim_version, "annotations": annotations}}


@dataclass(frozen=True, slots=True)
class VolumePlan:
    """What to write for one pod on one node: bindings first, then provisions, each in this order."""

    node: str
    bindings: tuple[Binding, ...]
    provisions: tuple[Provision, ...]

    def written(self, versions: Mapping[str, str]) -> VolumePlan:
        """The plan with the versions that the API server answered with: by name of the volume, or ``namespace/name`` of
        a claim to provision. Earlier versions observed later are out of date."""
        return replace(
            self,
            bindings=tuple(replace(b, volume_version=versions.get(b.volume, b.volume_version)) for b in self.bindings),
            provisions=tuple(
                replace(p, claim_version=versions.get(p.claim_key, p.claim_version)) for p in self.provisions
            ),
        )


@dataclass(frozen=True, slots=True)
class Progress:
    """State of a plan."""

    state: Literal["bound", "waiting", "failed"]
    words: str = ""
    """Why it failed, in kube-scheduler's words."""


BOUND, WAITING = Progress("bound"), Progress("waiting")


class Observed(Protocol):
    """Objects as observed, without assumptions."""

    def observed_volume(self, name: str) -> Volume | None: ...

    def observed_claim(self, key: str) -> Claim | None: ...

    def csi_node(self, name: str) -> CsiNode | None: ...


def plan_progress(plan: VolumePlan, storage: Observed, node: Node) -> Progress:
    """Are all claims of the plan bound? ``plan`` is as ``written``, ``node`` the node of the plan.

    After a failure the pod must be scheduled again. The caller checks whether the pod still exists.
    """
    steps = (
        *(_binding_progress(binding, storage, node) for binding in plan.bindings),
        *(_provision_progress(provision, storage, node) for provision in plan.provisions),
    )
    return next((step for step in steps if step is not BOUND), BOUND)


def _binding_progress(binding: Binding, storage: Observed, node: Node) -> Progress:
    volume = storage.observed_volume(binding.volume)
    if volume is None:
        return _failed(f'failed to check binding: persistentvolumes "{binding.volume}" not found')
    claim = storage.observed_claim(binding.claim_key)
    if claim is None:
        return _failed(f'failed to check binding: persistentvolumeclaims "{binding.claim_key}" not found')
    if _older(volume.version, binding.volume_version):
        return WAITING
    misplaced = _misplaced(volume, storage, node, "failed to translate pv to csi: ")
    if misplaced:
        return _failed(misplaced)
    if volume.claim is None or not volume.claim.uid:
        return _failed(f'ClaimRef got reset for pv "{volume.name}"')
    return BOUND if claim.bound else WAITING


def _provision_progress(provision: Provision, storage: Observed, node: Node) -> Progress:
    claim = storage.observed_claim(provision.claim_key)
    if claim is None:
        return _failed(f'failed to check provisioning pvc: persistentvolumeclaims "{provision.claim_key}" not found')
    if _older(claim.version, provision.claim_version):
        return WAITING
    if claim.selected_node != provision.node:
        # a provisioner that fails removes the annotation: the pod must be scheduled again
        return _failed(f'provisioning failed for PVC "{claim.name}"')
    if claim.volume_name:
        volume = storage.observed_volume(claim.volume_name)
        if volume is None:
            return WAITING  # the claim was observed before its volume
        misplaced = _misplaced(volume, storage, node)
        if misplaced:
            return _failed(misplaced)
    return BOUND if claim.bound else WAITING


def _misplaced(volume: Volume, storage: Observed, node: Node, prefix: str = "") -> str:
    """Why the volume cannot be used on the node, in words; empty if it can."""
    where = volume.where
    csi_node = storage.csi_node(node.name)
    if volume.migration is not None and csi_node is not None and volume.migration.plugin in csi_node.migrated:
        if isinstance(volume.migration.volume, Untranslatable):
            return f"{prefix}could not translate pv: {volume.migration.volume.words}"
        where = volume.migrated_where
    if where.matches("", node.labels):
        return ""
    return f'pv "{volume.name}" node affinity doesn\'t match node "{node.name}": no matching NodeSelectorTerms'


def _older(version: str, than: str) -> bool:
    """Is the first version older? Versions that are not numbers cannot be compared: False."""
    return version.isdecimal() and than.isdecimal() and int(version) < int(than)


def _failed(words: str) -> Progress:
    return Progress("failed", words)
