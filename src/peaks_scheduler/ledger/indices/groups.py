"""Groups of pods with equal namespace and labels, and the few of them that a selector can select.

Owns the groups, and an index of them by the values of a label. A pod has forty labels, of which selectors ask for one
or two: a label is indexed when a selector first asks for it, and from then on kept up to date. Only as many labels as
``INDEXED`` are, those asked for last. A search may thus look at all groups once; all later ones look at few. Assumes
that it is told of every group that comes or goes.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from peaks_scheduler.arrays import Counts
from peaks_scheduler.ledger.snapshot import Selection
from peaks_scheduler.objects.labels import Labels
from peaks_scheduler.objects.selectors import LabelSelector

from .slots import Slot

INDEXED = 32
"""Labels that are indexed; of 30,000 groups with a value each, one takes about 8 MB."""
ASKED = 3
"""Labels of one selector that are looked at: a selector of ten thousand must not build an index of each."""

GroupKey = tuple[str, Labels | str, bool]
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
    tallies: tuple[Tally, ...] = ()

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


Found = Collection[Group]
ByValue = dict[str, set[Group]]


class Groups:
    """See the module."""

    def __init__(self) -> None:
        self._all: dict[GroupKey, Group] = {}
        self._by_namespace: dict[str, set[Group]] = {}
        self._bulky: set[Group] = set()
        self._keys: Counter[str] = Counter()  # label key -> groups that have it, without the bulky
        self._indexed: OrderedDict[str, ByValue] = OrderedDict()  # label key -> value -> groups, without the bulky

    def get(self, key: GroupKey) -> Group | None:
        return self._all.get(key)

    # -- told

    def add(self, group: Group) -> None:
        """The group has its first pod."""
        self._all[group.key] = group
        self._by_namespace.setdefault(group.namespace, set()).add(group)
        if group.bulky:
            self._bulky.add(group)
            return
        self._keys.update(group.labels.keys())
        for key, by_value in self._indexed.items():
            if key in group.labels:
                by_value.setdefault(group.labels[key], set()).add(group)

    def remove(self, group: Group) -> None:
        """The group has no pods any more."""
        del self._all[group.key]
        _discard(self._by_namespace, group.namespace, group)
        if group.bulky:
            self._bulky.discard(group)
            return
        for key, by_value in self._indexed.items():
            if key in group.labels:
                _discard(by_value, group.labels[key], group)
        for key in group.labels:
            self._keys[key] -= 1
            if not self._keys[key]:
                del self._keys[key]
                self._indexed.pop(key, None)

    # -- asked

    def within(self, namespaces: frozenset[str] | None) -> Iterator[tuple[str, Found]]:
        """(namespace, its groups) of these namespaces; None: of all."""
        for name in self._by_namespace if namespaces is None else self._by_namespace.keys() & namespaces:
            yield name, self._by_namespace[name]

    def candidates(self, selection: Selection) -> Found:
        """Few groups that contain the selected ones, by a single label or namespace."""
        least: Found = self._all.values()
        for selector, namespaces in selection.matchers:
            within = self._in(namespaces)
            if within is not None and len(within) < len(least):
                least = within
            for found in self._by_labels(selector):
                if len(found) + len(self._bulky) < len(least):
                    least = [*found, *self._bulky]
        return least

    def _in(self, namespaces: frozenset[str] | None) -> Found | None:
        if namespaces is None or len(namespaces) != 1:
            return None
        return self._by_namespace.get(next(iter(namespaces)), ())

    def _by_labels(self, selector: LabelSelector) -> Iterator[Found]:
        """Groups with a label that the selector asks for, for some of the labels that it asks for."""
        asked: list[tuple[str, Iterable[str] | None]] = [(key, (value,)) for key, value in selector.labels]
        asked += [(each.key, set(each.values)) for each in selector.expressions if each.operator == "In"]
        asked += [(each.key, None) for each in selector.expressions if each.operator == "Exists"]
        if any(key not in self._keys for key, _ in asked):
            yield ()
            return
        asked.sort(key=lambda each: each[0] not in self._indexed)  # what is indexed costs least
        for key, values in asked[:ASKED]:
            by_value = self._index(key)
            sets = by_value.values() if values is None else [by_value[each] for each in values if each in by_value]
            yield next(iter(sets)) if len(sets) == 1 else [group for some in sets for group in some]

    def _index(self, key: str) -> ByValue:
        by_value = self._indexed.get(key)
        if by_value is None:
            by_value = self._indexed[key] = self._sorted_by(key)
            if len(self._indexed) > INDEXED:
                self._indexed.popitem(last=False)
        else:
            self._indexed.move_to_end(key)
        return by_value

    def _sorted_by(self, key: str) -> ByValue:
        found: ByValue = {}
        for group in self._all.values():
            if key in group.labels and not group.bulky:
                found.setdefault(group.labels[key], set()).add(group)
        return found


def _discard(sets: dict[str, set[Group]], key: str, group: Group) -> None:
    """Remove the group, and the set with its last: labels come and go with the pods."""
    sets[key].discard(group)
    if not sets[key]:
        del sets[key]
