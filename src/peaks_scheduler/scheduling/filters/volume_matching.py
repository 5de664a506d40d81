"""Existing volumes for claims that wait for a pod: which claim would get which volume on each node?

Owns kube-scheduler's FindMatchingVolume, for all nodes at once. A volume that is reserved for a claim comes first; else
the claim gets the smallest available volume that can be reached from the node and that no earlier claim of the pod got
there. Candidates are remembered per kind of claim until volumes of the class, or nodes, change. Provisioning is
``volume_binding``'s.

Source: k8s.io/component-helpers/storage/volume/pv_helpers.go. It walks over volumes in the order of a Go map and takes
any of the smallest; here it is the first by name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from peaks_scheduler.arrays import Mask
from peaks_scheduler.ledger.snapshot import Snapshot
from peaks_scheduler.ledger.storage.records import Claim, Volume

from .node_lookup import nodes_meeting

Ranks = NDArray[np.int32]
NONE = -1


@dataclass(frozen=True, slots=True, eq=False)
class VolumeMatch:
    """Which volume a claim would get on each node."""

    claim: Claim
    volumes: Sequence[str]
    rank: Ranks  # (N,) index into ``volumes``; NONE: no volume on this node

    def took(self, volume: str) -> Mask:
        """(N,) nodes where the claim would get this volume."""
        if volume not in self.volumes:
            return np.zeros(len(self.rank), np.bool_)
        taken: Mask = self.rank == self.volumes.index(volume)
        return taken


@dataclass(frozen=True, slots=True, eq=False)
class CandidateVolumes:
    """Volumes that a claim may get, paired with the nodes from which they can be reached."""

    volumes: Sequence[str]  # smallest first
    rank: Ranks  # (pairs,) index into ``volumes``, ascending
    node: NDArray[np.intp]  # (pairs,) index of the node


def match_volumes(claims: Sequence[Claim], nodes: Snapshot) -> list[VolumeMatch]:
    """The volumes that the claims of one pod would get. The smallest claim chooses first, as in kube-scheduler."""
    matches: list[VolumeMatch] = []
    for claim in sorted(claims, key=lambda claim: claim.size or 0):
        matches.append(_match(claim, matches, nodes))
    return matches


def _match(claim: Claim, earlier: Sequence[VolumeMatch], nodes: Snapshot) -> VolumeMatch:
    kept = _kept(claim, nodes)
    rank = np.full(len(nodes), NONE, np.int32)
    left = np.ones(len(nodes), np.bool_)
    for i, volume in enumerate(kept):
        here = left.copy()
        for match in earlier:
            here &= ~match.took(volume.name)
        # on nodes that cannot reach a reserved volume the search ends: the claim gets this volume or none
        rank[here & nodes.index.matching(volume.where)] = i
        left &= ~here
    names = [volume.name for volume in kept]
    if not left.any():
        return VolumeMatch(claim, names, rank)
    candidates = _candidates(claim, len(earlier) + 1, nodes)
    first = _first(candidates, _still_there(candidates, claim, earlier), len(nodes))
    rank = np.where(left, np.where(first == NONE, NONE, first + len(names)), rank).astype(np.int32)
    return VolumeMatch(claim, [*names, *candidates.volumes], rank)


def _kept(claim: Claim, nodes: Snapshot) -> list[Volume]:
    """Suitable volumes that are reserved for this claim, in any phase and whatever the claim's selector says."""
    named = map(nodes.storage.volume, nodes.storage.pool.kept_for(claim))
    return [volume for volume in named if volume is not None and volume.kept_for(claim) and _suits(volume, claim)]


def _suits(volume: Volume, claim: Claim) -> bool:
    return (
        volume.size >= (claim.size or 0)
        and volume.mode == claim.mode
        and volume.attributes_class == claim.attributes_class
        and not volume.deleting
    )


def _may_have(volume: Volume, claim: Claim) -> bool:
    """May the claim get this volume, which is reserved for no claim?"""
    return (
        volume.available
        and _suits(volume, claim)
        and claim.access_modes <= volume.access_modes
        and (claim.selector is None or claim.selector.matches(volume.labels))
    )


def _candidates(claim: Claim, depth: int, nodes: Snapshot) -> CandidateVolumes:
    """Candidates for the claim. Of volumes with the same nodes the ``depth`` smallest are enough: earlier claims of the
    pod can have taken one fewer."""
    profile: Hashable = (claim.class_name, claim.size, claim.mode, claim.attributes_class, claim.access_modes)
    stamp = (nodes.index.shape, nodes.storage.pool.changes(claim.class_name))
    question = ("candidates", profile, claim.selector, depth)
    return nodes.storage.remember(question, stamp, lambda: _find_candidates(claim, depth, nodes))


def _find_candidates(claim: Claim, depth: int, nodes: Snapshot) -> CandidateVolumes:
    names, reachable = [], []
    alike: Counter[int] = Counter()
    for _, name in nodes.storage.pool.free(claim.class_name, claim.size or 0):
        volume = nodes.storage.volume(name)
        if volume is None or not _may_have(volume, claim) or alike[id(volume.where)] >= depth:
            continue
        alike[id(volume.where)] += 1
        names.append(name)
        reachable.append(nodes_meeting(volume.where, nodes))
    lengths = [len(each) for each in reachable]
    pairs = np.concatenate(reachable) if reachable else np.zeros(0, np.intp)
    return CandidateVolumes(names, np.repeat(np.arange(len(names), dtype=np.int32), lengths), pairs)


def _still_there(candidates: CandidateVolumes, claim: Claim, earlier: Sequence[VolumeMatch]) -> Mask:
    """(pairs,) pairs whose volume no earlier claim would get on that node."""
    there = np.ones(len(candidates.rank), np.bool_)
    rank_of = {name: i for i, name in enumerate(candidates.volumes)} if earlier else {}
    for match in earlier:
        if match.claim.class_name == claim.class_name:
            # the volumes of the earlier claim as ranks of these candidates; the last one stands for NONE
            known = np.array([*(rank_of.get(name, NONE) for name in match.volumes), NONE], np.int32)
            there &= known[match.rank[candidates.node]] != candidates.rank
    return there


def _first(candidates: CandidateVolumes, there: Mask, length: int) -> Ranks:
    """(N,) rank of the first volume on each node."""
    first = np.full(length, NONE, np.int32)
    # backwards: of several assignments to one index the last one stays
    first[candidates.node[there][::-1]] = candidates.rank[there][::-1]
    return first
