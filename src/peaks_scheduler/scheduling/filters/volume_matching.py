"""Volumes that are there already, for claims that wait for a pod: which claim would get which volume on each node.

Owns kube-scheduler's FindMatchingVolume, for all nodes at once. A volume kept for a claim goes before all others; else
the claim gets the smallest available one that can be reached from the node and that no earlier claim of the pod got
there. Remembered per kind of claim until volumes of the class, or nodes, change. Never asks what can be provisioned.

Source: k8s.io/component-helpers/storage/volume/pv_helpers.go. It walks over volumes in the order of a Go map and takes
any of the smallest; here the first by name.
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

from .node_lookup import places_of

Ranks = NDArray[np.int32]
NONE = -1


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """What a claim would get."""

    claim: Claim
    volumes: Sequence[str]
    rank: Ranks  # (N,) index into ``volumes``; NONE where the claim gets none

    def took(self, volume: str) -> Mask:
        """(N,) nodes where it would get this volume."""
        if volume not in self.volumes:
            return np.zeros(len(self.rank), np.bool_)
        taken: Mask = self.rank == self.volumes.index(volume)
        return taken


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Volumes that a claim may get, each with the nodes it can be reached from."""

    volumes: Sequence[str]  # smallest first
    rank: Ranks  # (pairs,) index into ``volumes``, ascending
    node: NDArray[np.intp]  # (pairs,) the node


def match(claims: Sequence[Claim], nodes: Snapshot) -> list[Choice]:
    """What claims of one pod would get, the smallest claim first, as kube-scheduler asks them."""
    choices: list[Choice] = []
    for claim in sorted(claims, key=lambda claim: claim.size or 0):
        choices.append(_choose(claim, choices, nodes))
    return choices


def _choose(claim: Claim, earlier: Sequence[Choice], nodes: Snapshot) -> Choice:
    kept = _kept(claim, nodes)
    rank = np.full(len(nodes), NONE, np.int32)
    left = np.ones(len(nodes), np.bool_)
    for i, volume in enumerate(kept):
        here = left.copy()
        for choice in earlier:
            here &= ~choice.took(volume.name)
        # one that cannot be reached from a node ends the search there: the claim is to have this volume or none
        rank[here & nodes.index.matching(volume.where)] = i
        left &= ~here
    names = [volume.name for volume in kept]
    if not left.any():
        return Choice(claim, names, rank)
    candidates = _candidates(claim, len(earlier) + 1, nodes)
    first = _first(candidates, _still_there(candidates, claim, earlier), len(nodes))
    rank = np.where(left, np.where(first == NONE, NONE, first + len(names)), rank).astype(np.int32)
    return Choice(claim, [*names, *candidates.volumes], rank)


def _kept(claim: Claim, nodes: Snapshot) -> list[Volume]:
    """Volumes that say they are for this claim and would do: in whatever phase, and whatever its selector says."""
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
    """... one that is nobody's."""
    return (
        volume.available
        and _suits(volume, claim)
        and claim.access_modes <= volume.access_modes
        and (claim.selector is None or claim.selector.matches(volume.labels))
    )


def _candidates(claim: Claim, depth: int, nodes: Snapshot) -> Candidates:
    """``depth``: of volumes that can be reached from the same nodes so many are enough, for the other claims of the
    pod can have taken one less."""
    profile: Hashable = (claim.class_name, claim.size, claim.mode, claim.attributes_class, claim.access_modes)
    stamp = (nodes.index.shape, nodes.storage.pool.changes(claim.class_name))
    question = ("candidates", profile, claim.selector, depth)
    return nodes.storage.remember(question, stamp, lambda: _find_candidates(claim, depth, nodes))


def _find_candidates(claim: Claim, depth: int, nodes: Snapshot) -> Candidates:
    names, places = [], []
    alike: Counter[int] = Counter()
    for _, name in nodes.storage.pool.free(claim.class_name, claim.size or 0):
        volume = nodes.storage.volume(name)
        if volume is None or not _may_have(volume, claim) or alike[id(volume.where)] >= depth:
            continue
        alike[id(volume.where)] += 1
        names.append(name)
        places.append(places_of(volume.where, nodes))
    lengths = [len(each) for each in places]
    pairs = np.concatenate(places) if places else np.zeros(0, np.intp)
    return Candidates(names, np.repeat(np.arange(len(names), dtype=np.int32), lengths), pairs)


def _still_there(candidates: Candidates, claim: Claim, earlier: Sequence[Choice]) -> Mask:
    """(pairs,) those where no earlier claim would get the volume on that node."""
    there = np.ones(len(candidates.rank), np.bool_)
    rank_of = {name: i for i, name in enumerate(candidates.volumes)} if earlier else {}
    for choice in earlier:
        if choice.claim.class_name == claim.class_name:
            # as a rank here; the last one stands for NONE
            known = np.array([*(rank_of.get(name, NONE) for name in choice.volumes), NONE], np.int32)
            there &= known[choice.rank[candidates.node]] != candidates.rank
    return there


def _first(candidates: Candidates, there: Mask, length: int) -> Ranks:
    """(N,) the first volume on each node."""
    first = np.full(length, NONE, np.int32)
    # backwards, for of assignments to one place the last stays
    first[candidates.node[there][::-1]] = candidates.rank[there][::-1]
    return first
