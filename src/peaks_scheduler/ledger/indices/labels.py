"""Labels of the nodes, as columns: a requirement is evaluated for each distinct value, not for each node.

Owns which nodes have a label at all, a column of codes for each label key that was asked about (``label_column``), and
cached results. A key that no node has gets no column: a pod may name any number of keys. Assumes that every change of a
node is told to it; only results that depend on the changed labels are dropped. Never looks at anything but names and
labels.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from peaks_scheduler.arrays import Codes, Ints, Mask
from peaks_scheduler.objects.complexity import bulky
from peaks_scheduler.objects.node import Node
from peaks_scheduler.objects.selectors import LabelSelector, NodeRequirement, NodeSelectorTerm, Requirement

from .label_column import LabelColumn
from .slots import Slot

KEYS = 256
"""Columns that are kept; beyond it the one used least recently is dropped."""
REMEMBERED = 1024
"""Distinct requirements whose result is cached until it changes; very large requirements are not cached."""
_NAME = "metadata.name"

Asked = NodeRequirement | LabelSelector
Matched = Mask | bool
"""(N,) nodes; True: all of them, False: none."""


class NodeLabels:
    """See the module. Masks are (N,), read-only and valid until a node changes."""

    def __init__(self, slots: Sequence[Slot]) -> None:
        self._slots = slots
        self._told: list[tuple[str, Mapping[str, str]]] = []  # (name, labels) by index, as last told
        self._carriers: dict[str, set[int]] = {}
        self._columns: OrderedDict[str, LabelColumn] = OrderedDict()
        self._verdicts: dict[Asked, Mask] = {}
        self._latest: tuple[Asked, Mask] | None = None
        self._positions: dict[str, int] = {}
        self.built = 0
        """Columns built so far: a measure of cost for tests."""
        self.shape = 0
        self.places = 0
        self._ranks: tuple[int, Ints] | None = None  # of the nodes by name, and ``places`` then
        """Changes when nodes come, go, or get other indices."""
        self.keys_changed = 0
        """Changes when the first node gets a label or the last one loses it."""

    def __len__(self) -> int:
        return len(self._slots)

    # -- told

    def node_changed(self, i: int, node: Node) -> None:
        """The node at index i is new there, or has changed."""
        if i == len(self._told):
            self._told.append(("", {}))
        name, labels = self._told[i]
        self._told[i] = (node.name, node.labels)
        if name != node.name:
            self._moved(name, node.name, i)
            self.forget()
        self._relabelled(i, labels, node.labels)

    def node_gone(self) -> None:
        """The last index is gone; ``node_changed`` was called for the node that moved from there."""
        name, labels = self._told.pop()
        i = len(self._told)
        self._relabelled(i, labels, {})
        if self._positions.get(name) == i:
            del self._positions[name]
        self.forget()

    def _moved(self, before: str, name: str, i: int) -> None:
        if self._positions.get(before) == i:
            del self._positions[before]
        self._positions[name] = i

    def _relabelled(self, i: int, before: Mapping[str, str], after: Mapping[str, str]) -> None:
        if before == after:
            return
        changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
        for key in changed:
            self._carry(key, i, after.get(key))
        self.forget(changed)

    def _carry(self, key: str, i: int, value: str | None) -> None:
        """Node i has this value of a label; None: no such label."""
        if value is None:
            carriers = self._carriers[key]
            carriers.discard(i)
            if not carriers:
                del self._carriers[key]
                self._columns.pop(key, None)
                self.keys_changed += 1
        elif key in self._carriers:
            self._carriers[key].add(i)
        else:
            self._carriers[key] = {i}
            self.keys_changed += 1
        if key in self._columns:
            self._columns[key].put(i, value)

    def forget(self, changed: set[str] | None = None) -> None:
        """Drop cached results that depend on these label keys; all of them if nodes came, went or moved (None)."""
        self.shape += 1
        self._latest = None
        if changed is None:
            self.places += 1
            self._verdicts.clear()
        else:
            for each in [each for each in self._verdicts if not changed.isdisjoint(_keys(each))]:
                del self._verdicts[each]

    def release(self) -> None:
        """Forget the result of the large requirement that was asked last."""
        self._latest = None

    # -- asked

    def carried(self, key: str) -> bool:
        """Does any node have a label of this key?"""
        return key in self._carriers

    def position(self, name: str) -> int | None:
        """Index of the node of that name."""
        return self._positions.get(name)

    def ranks_by_name(self) -> Ints:
        """(N,) place of each node in the order of names, from 0; kept until a node comes, goes or moves."""
        if self._ranks is None or self._ranks[0] != self.places:
            order = sorted(range(len(self._told)), key=lambda i: self._told[i][0])
            ranks = np.empty(len(order), np.int64)
            ranks[order] = np.arange(len(order))
            ranks.flags.writeable = False
            self._ranks = (self.places, ranks)
        return self._ranks[1]

    def codes(self, key: str) -> tuple[Codes, int]:
        """(N,) codes of a label's values, 0 where a node has no such label; and one more than the highest code."""
        if key not in self._carriers:
            return np.zeros(len(self._slots), np.int32), 1
        column = self._column(key)
        return column.codes[: len(self._slots)], column.size

    def having(self, key: str) -> Mask:
        """(N,) nodes that have the label."""
        return self._mask(self._having(key))

    def valued(self, key: str, values: Iterable[str]) -> Mask:
        """(N,) nodes whose label has one of the values."""
        return self._mask(self._valued(key, values))

    def matching(self, where: NodeRequirement) -> Mask:
        """(N,) nodes that match node selector and node affinity."""
        return self._known(where) if self._latest is None or self._latest[0] is not where else self._latest[1]

    def selecting(self, selector: LabelSelector) -> Mask:
        """(N,) nodes whose labels the selector selects."""
        return self._known(selector)

    def term(self, term: NodeSelectorTerm) -> Matched:
        """Nodes that match every requirement of the term; none if it is empty or invalid."""
        if not (term.expressions or term.fields) or not term.valid:
            return False
        fits = self._all(term.expressions)
        for each in term.fields:
            if fits is False:
                break
            fits = _both(fits, self._named(each))
        return fits

    # -- cached

    def _known(self, what: Asked) -> Mask:
        if bulky(what):
            verdict = self._computed(what)
            self._latest = (what, verdict)  # one decision asks for it several times
            return verdict
        known = self._verdicts.get(what)
        if known is None:
            if len(self._verdicts) >= REMEMBERED:
                self._verdicts.clear()
            known = self._verdicts[what] = self._computed(what)
        return known

    def _computed(self, what: Asked) -> Mask:
        answer = self._matching(what) if isinstance(what, NodeRequirement) else self._selecting(what)
        verdict = self._mask(answer)
        verdict.flags.writeable = False
        return verdict

    def _mask(self, answer: Matched) -> Mask:
        return np.full(len(self._slots), answer, np.bool_) if isinstance(answer, bool) else answer

    # -- computed

    def _column(self, key: str) -> LabelColumn:
        """The column of a label that a node has."""
        column = self._columns.get(key)
        if column is not None:
            self._columns.move_to_end(key)
            return column
        self.built += 1
        column = self._columns[key] = LabelColumn(max(64, len(self._slots)))
        for i in self._carriers[key]:
            column.put(i, self._told[i][1][key])
        if len(self._columns) > KEYS:
            self._columns.popitem(last=False)
        return column

    def _matching(self, where: NodeRequirement) -> Matched:
        fits = self._labelled(where.selector)
        return fits if fits is False or where.terms is None else _both(fits, self._any(where.terms))

    def _labelled(self, pairs: Iterable[tuple[str, str]]) -> Matched:
        """Nodes with all of these labels."""
        fits: Matched = True
        for key, value in pairs:
            fits = _both(fits, self._valued(key, (value,)))
            if fits is False:
                return False
        return fits

    def _any(self, terms: Iterable[NodeSelectorTerm]) -> Matched:
        """Nodes that match one of the terms."""
        anywhere = np.zeros(len(self._slots), np.bool_)
        for term in terms:
            found = self.term(term)
            if found is True:
                return True
            if found is not False:
                anywhere |= found
        return anywhere

    def _selecting(self, selector: LabelSelector) -> Matched:
        fits = self._labelled(selector.labels)
        if fits is False or not all(each.valid for each in selector.expressions):
            return False
        return _both(fits, self._all(selector.expressions))

    def _all(self, requirements: Iterable[Requirement]) -> Matched:
        """Nodes that match every requirement."""
        fits: Matched = True
        for each in requirements:
            fits = _both(fits, self._meeting(each))
            if fits is False:
                return False
        return fits

    def _having(self, key: str) -> Matched:
        return self._column(key).codes[: len(self._slots)] != 0 if key in self._carriers else False

    def _valued(self, key: str, values: Iterable[str]) -> Matched:
        if key not in self._carriers:
            return False
        column = self._column(key)
        numbers = [column.numbers[value] for value in values if value in column.numbers]
        codes = column.codes[: len(self._slots)]
        if len(numbers) < 2:
            return codes == numbers[0] if numbers else False
        return column.table(numbers)[codes]

    def _meeting(self, requirement: Requirement) -> Matched:
        match requirement.operator:
            case "In":
                return self._valued(requirement.key, requirement.values)
            case "NotIn":
                return _not(self._valued(requirement.key, requirement.values))
            case "Exists":
                return self._having(requirement.key)
            case "DoesNotExist":
                return _not(self._having(requirement.key))
            case "Gt" | "Lt" if requirement.key in self._carriers:
                return self._column(requirement.key).compared(requirement, len(self._slots))
        return False

    def _named(self, requirement: Requirement) -> Matched:
        found = [i for name in requirement.values if (i := self.position(name)) is not None]
        if not found:
            return requirement.operator == "NotIn"
        named = np.zeros(len(self._slots), np.bool_)
        named[found] = True
        return ~named if requirement.operator == "NotIn" else named


def _both(a: Matched, b: Matched) -> Matched:
    if isinstance(a, bool):
        return b if a else False
    if isinstance(b, bool):
        return a if b else False
    both: Mask = a & b
    return both if both.any() else False


def _not(answer: Matched) -> Matched:
    return not answer if isinstance(answer, bool) else ~answer


def _keys(what: Asked) -> Iterable[str]:
    """Label keys that a requirement names."""
    if isinstance(what, LabelSelector):
        return (*(key for key, _ in what.labels), *(each.key for each in what.expressions))
    terms = (each.key for term in what.terms or () for each in term.expressions)
    return (*(key for key, _ in what.selector), *terms)
