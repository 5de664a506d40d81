"""Pods on nodes by their labels: how many pods on each node does a selection select?

Owns the tallies: the number of selected pods on each node for one selection, kept up to date once it was asked for.
The pods of a Deployment are one group (``groups``), so a decision looks at a few groups and never at all pods. A pod
with very many labels (``complexity.BULKY``) is a group of its own that every search looks at, and a very large
selection is counted each time: neither takes much memory for long. Assumes that it is told of every pod that comes to
or leaves a node, and of every node that comes, goes or moves.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterator, Sequence
from typing import TypeVar

import numpy as np

from peaks_scheduler.arrays import Counts
from peaks_scheduler.ledger.snapshot import Selection
from peaks_scheduler.objects.complexity import BULKY, bulky
from peaks_scheduler.objects.labels import Labels
from peaks_scheduler.objects.pod import Pod

from .bulk import Hashed, Selectors
from .groups import Group, GroupKey, Groups, Tally
from .slots import Slot, roomy

REMEMBERED = 256
"""Tallies that are kept; beyond it the one used least recently is dropped."""

K = TypeVar("K")


class PodsByLabels:
    """See the module."""

    def __init__(self, slots: Sequence[Slot]) -> None:
        self._slots = slots
        self._groups = Groups()
        self._tallies: OrderedDict[Selection, Tally] = OrderedDict()

    # -- told

    def pod_added(self, slot: Slot, pod: Pod) -> None:
        group = self._group(pod)
        group.there[slot] = group.there.get(slot, 0) + 1
        slot.groups[group] += 1
        if slot.index >= 0:
            for tally in group.tallies:
                tally.counts[slot.index] += 1

    def pod_removed(self, slot: Slot, pod: Pod) -> None:
        group = self._groups.get(_group_key(pod))
        assert group is not None, "a pod on a node has its group"
        _take_one(group.there, slot)
        _take_one(slot.groups, group)
        if slot.index >= 0:
            for tally in group.tallies:
                tally.counts[slot.index] -= 1
        if not group.there:
            self._dissolve(group)

    def node_placed(self, slot: Slot) -> None:
        """The slot has a new index: count its pods there."""
        for tally in self._tallies.values():
            tally.counts = roomy(tally.counts, slot.index)
            tally.counts[slot.index] = 0
        for group, count in slot.groups.items():
            for tally in group.tallies:
                tally.counts[slot.index] += count

    # -- asked

    def counts(self, selection: Selection, *, keep: bool | None = None) -> Counts:
        """(N,) number of selected pods on each node. ``keep``: may a tally of it be kept? None: if it is not large."""
        tally = self._tallies.get(selection)
        if tally is None:
            if not (keep if keep is not None else not bulky(selection)):
                return self._counted(selection)
            tally = self._tally(selection)
        else:
            self._tallies.move_to_end(selection)
        return tally.counts[: len(self._slots)]

    def within(self, namespaces: frozenset[str] | None) -> Iterator[tuple[str, Collection[Group]]]:
        """(namespace, its groups) of these namespaces; None: of all."""
        return self._groups.within(namespaces)

    # -- groups

    def _group(self, pod: Pod) -> Group:
        key = _group_key(pod)
        group = self._groups.get(key)
        if group is None:
            group = Group(key, pod.labels)
            self._groups.add(group)
            for tally in self._tallies.values():
                if _selects(tally.selection, group):
                    _join(tally, group)
        return group

    def _dissolve(self, group: Group) -> None:
        self._groups.remove(group)
        for tally in group.tallies:
            tally.groups.discard(group)

    # -- tallies

    def _tally(self, selection: Selection) -> Tally:
        tally = self._tallies[selection] = Tally(selection, np.zeros(max(64, len(self._slots)), np.int32))
        for group in self._groups.candidates(selection):
            if _selects(selection, group):
                _join(tally, group)
                for i, count in group.counts():
                    tally.counts[i] += count
        if len(self._tallies) > REMEMBERED:
            _, forgotten = self._tallies.popitem(last=False)
            for group in forgotten.groups:
                group.tallies = tuple(each for each in group.tallies if each is not forgotten)
        return tally

    def _counted(self, selection: Selection) -> Counts:
        """(N,) number of selected pods on each node, counted without a tally."""
        counts = np.zeros(len(self._slots), np.int32)
        selectors = [selector for selector, _ in selection.matchers]
        compiled = Selectors(selectors) if bulky(tuple(selectors)) else None
        for group in self._groups.candidates(selection):
            if compiled is None:
                selected = _selects(selection, group)
            else:
                selected = _may_select(selection, group) and bool(compiled.matching(Hashed(group.labels)).all())
            if selected:
                for i, count in group.counts():
                    counts[i] += count
        return counts


def _group_key(pod: Pod) -> GroupKey:
    labels = pod.labels if isinstance(pod.labels, Labels) else Labels(pod.labels)
    return pod.namespace, labels if len(labels) <= BULKY else pod.uid, pod.deleting


def _take_one(counts: dict[K, int], key: K) -> None:
    counts[key] -= 1
    if not counts[key]:
        del counts[key]


def _join(tally: Tally, group: Group) -> None:
    tally.groups.add(group)
    group.tallies += (tally,)


def _selects(selection: Selection, group: Group) -> bool:
    return _may_select(selection, group) and all(each.matches(group.labels) for each, _ in selection.matchers)


def _may_select(selection: Selection, group: Group) -> bool:
    """Can the selection select the group, whatever its labels?"""
    if group.leaving and not selection.leaving:
        return False
    return all(names is None or group.namespace in names for _, names in selection.matchers)
