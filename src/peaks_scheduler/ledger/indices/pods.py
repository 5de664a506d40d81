"""Pods on nodes by their labels: how many pods on each node does a selection select?

Owns groups of pods with equal namespace and labels, found by label, and tallies: the number of selected pods on each
node for one selection, kept up to date once it was asked for. The pods of a Deployment are one group, so a decision
looks at a few groups and never at all pods. A pod with very many labels (``complexity.BULKY``) is a group of its own
that every search looks at, and a very large selection is counted each time: neither takes much memory for long. Assumes
that it is told of every pod that comes to or leaves a node, and of every node that comes, goes or moves.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from peaks_scheduler.arrays import Counts
from peaks_scheduler.ledger.snapshot import Selection
from peaks_scheduler.objects.complexity import BULKY, bulky
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.objects.selectors import LabelSelector

from .bulk import Hashed, Selectors
from .slots import Slot, roomy

REMEMBERED = 256
"""Tallies that are kept; beyond it the one used least recently is dropped."""

K = TypeVar("K")

GroupKey = tuple[str, frozenset[tuple[str, str]] | str, bool]
"""(namespace; labels or, where these are very many, the pod's uid; is it being deleted?)"""


@dataclass(slots=True, eq=False)
class Tally:
    """Number of pods that a selection selects, by node."""

    selection: Selection
    counts: Counts  # (capacity,)
    groups: set[Group] = field(default_factory=set)


@dataclass(slots=True, eq=False)
class Group:
    """Pods with equal namespace and labels that are all, or all not, being deleted."""

    key: GroupKey
    labels: Mapping[str, str]
    there: dict[Slot, int] = field(default_factory=dict)
    tallies: list[Tally] = field(default_factory=list)

    @property
    def namespace(self) -> str:
        return self.key[0]

    @property
    def leaving(self) -> bool:
        return self.key[2]

    @property
    def bulky(self) -> bool:
        return isinstance(self.key[1], str)

    def counts(self) -> Iterator[tuple[int, int]]:
        """(node index, number of pods) of every node with pods of the group."""
        return ((slot.index, count) for slot, count in self.there.items() if slot.index >= 0)


class PodsByLabels:
    """See the module."""

    def __init__(self, slots: Sequence[Slot]) -> None:
        self._slots = slots
        self._groups: dict[GroupKey, Group] = {}
        self._by_pair: dict[tuple[str, str], set[Group]] = {}
        self._by_key: dict[str, set[Group]] = {}
        self._by_namespace: dict[str, set[Group]] = {}
        self._bulky: set[Group] = set()
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
        group = self._groups[_group_key(pod)]
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

    def counts(self, selection: Selection) -> Counts:
        """(N,) number of selected pods on each node."""
        tally = self._tallies.get(selection)
        if tally is None:
            if bulky(selection):
                return self._counted(selection)
            tally = self._tally(selection)
        else:
            self._tallies.move_to_end(selection)
        return tally.counts[: len(self._slots)]

    def within(self, namespaces: frozenset[str] | None) -> Iterator[tuple[str, Collection[Group]]]:
        """(namespace, its groups) of these namespaces; None: of all."""
        for name in self._by_namespace if namespaces is None else self._by_namespace.keys() & namespaces:
            yield name, self._by_namespace[name]

    # -- groups

    def _group(self, pod: Pod) -> Group:
        key = _group_key(pod)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = Group(key, pod.labels)
            for found in self._homes(group):
                found.add(group)
            for tally in self._tallies.values():
                if _selects(tally.selection, group):
                    _join(tally, group)
        return group

    def _homes(self, group: Group) -> list[set[Group]]:
        """The sets of groups that a group belongs to."""
        homes = [self._by_namespace.setdefault(group.namespace, set())]
        if group.bulky:
            return [*homes, self._bulky]
        for key, value in group.labels.items():
            homes.append(self._by_pair.setdefault((key, value), set()))
            homes.append(self._by_key.setdefault(key, set()))
        return homes

    def _dissolve(self, group: Group) -> None:
        del self._groups[group.key]
        for found in self._homes(group):
            found.discard(group)
        for tally in group.tallies:
            tally.groups.discard(group)
        self._drop_empty(group)

    def _drop_empty(self, group: Group) -> None:
        """Remove the sets that are empty now: labels come and go with the pods."""
        if not self._by_namespace[group.namespace]:
            del self._by_namespace[group.namespace]
        for key, value in () if group.bulky else group.labels.items():
            if not self._by_pair[key, value]:
                del self._by_pair[key, value]
            if not self._by_key[key]:
                del self._by_key[key]

    # -- tallies

    def _tally(self, selection: Selection) -> Tally:
        tally = self._tallies[selection] = Tally(selection, np.zeros(max(64, len(self._slots)), np.int32))
        for group in self._candidates(selection):
            if _selects(selection, group):
                _join(tally, group)
                for i, count in group.counts():
                    tally.counts[i] += count
        if len(self._tallies) > REMEMBERED:
            _, forgotten = self._tallies.popitem(last=False)
            for group in forgotten.groups:
                group.tallies.remove(forgotten)
        return tally

    def _counted(self, selection: Selection) -> Counts:
        """(N,) number of selected pods on each node, counted without a tally."""
        counts = np.zeros(len(self._slots), np.int32)
        selectors = Selectors([selector for selector, _ in selection.matchers])
        for group in self._candidates(selection):
            if _may_select(selection, group) and selectors.matching(Hashed(group.labels)).all():
                for i, count in group.counts():
                    counts[i] += count
        return counts

    def _candidates(self, selection: Selection) -> Collection[Group]:
        """The fewest groups that contain the selected ones, by a single label or namespace."""
        least: Collection[Group] = self._groups.values()
        for selector, namespaces in selection.matchers:
            for found in self._by_labels(selector):
                if len(found) + len(self._bulky) < len(least):
                    least = [*found, *self._bulky]
            within = self._in(namespaces)
            if within is not None and len(within) < len(least):
                least = within
        return least

    def _by_labels(self, selector: LabelSelector) -> list[Collection[Group]]:
        found: list[Collection[Group]] = [self._by_pair.get(pair, ()) for pair in selector.labels]
        for each in selector.expressions:
            if each.operator == "In":
                pairs = {(each.key, value) for value in each.values}
                found.append([group for pair in pairs for group in self._by_pair.get(pair, ())])
            elif each.operator == "Exists":
                found.append(self._by_key.get(each.key, ()))
        return found

    def _in(self, namespaces: frozenset[str] | None) -> Collection[Group] | None:
        if namespaces is None or len(namespaces) != 1:
            return None
        return self._by_namespace.get(next(iter(namespaces)), ())


def _group_key(pod: Pod) -> GroupKey:
    labels = frozenset(pod.labels.items()) if len(pod.labels) <= BULKY else pod.uid
    return pod.namespace, labels, pod.deleting


def _take_one(counts: dict[K, int], key: K) -> None:
    counts[key] -= 1
    if not counts[key]:
        del counts[key]


def _join(tally: Tally, group: Group) -> None:
    tally.groups.add(group)
    group.tallies.append(tally)


def _selects(selection: Selection, group: Group) -> bool:
    return _may_select(selection, group) and all(each.matches(group.labels) for each, _ in selection.matchers)


def _may_select(selection: Selection, group: Group) -> bool:
    """Can the selection select the group, whatever its labels?"""
    if group.leaving and not selection.leaving:
        return False
    return all(names is None or group.namespace in names for _, names in selection.matchers)
