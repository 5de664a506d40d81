"""Labels of the nodes, as columns: a requirement is looked up per distinct value, not per node.

Owns which nodes have a label at all, one column per label key that anybody asked about (a small number for each
distinct value, 0 where a node has no such label), and remembered verdicts. Verdicts follow by indexing with the column.
A key that no node has gets no column: what it asks for is answered at once, for anybody may write any number of keys
into a pod. Assumes every change of a node is told to it; only what it changes is forgotten. Never looks at anything but
names and labels.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from peaks_scheduler.arrays import Codes, Mask
from peaks_scheduler.objects.complexity import bulky
from peaks_scheduler.objects.node import Node
from peaks_scheduler.objects.selectors import LabelSelector, NodeRequirement, NodeSelectorTerm, Requirement

from .label_column import LabelColumn
from .slots import Slot

KEYS = 256
"""Label keys that columns are kept for; beyond it the one not asked about for longest is forgotten."""
REMEMBERED = 1024
"""Distinct node requirements whose verdict is kept until it changes; those of very many parts are not."""
_NAME = "metadata.name"

Asked = NodeRequirement | LabelSelector
Answer = Mask | bool
"""(N,) nodes; True: all of them, False: none."""


class NodeLabels:
    """See the module. Masks are (N,), read-only and valid until a node changes."""

    def __init__(self, slots: Sequence[Slot]) -> None:
        self._slots = slots
        self._told: list[tuple[str, Mapping[str, str]]] = []  # (name, labels) by index
        self._carriers: dict[str, set[int]] = {}
        self._columns: OrderedDict[str, LabelColumn] = OrderedDict()
        self._verdicts: dict[Asked, Mask] = {}
        self._latest: tuple[Asked, Mask] | None = None
        self._positions: dict[str, int] = {}
        self.built = 0
        """Columns ever built, for whoever wants to know what an answer cost."""
        self.shape = 0
        self.places = 0
        """Changes when nodes come, go, or get other indices."""
        self.keys_changed = 0
        """Changes when the first node gets a label or the last one loses it."""

    def __len__(self) -> int:
        return len(self._slots)

    # -- told

    def node_changed(self, i: int, node: Node) -> None:
        """The node at index i is new, has other labels, or has moved there."""
        if i == len(self._told):
            self._told.append(("", {}))
        name, labels = self._told[i]
        self._told[i] = (node.name, node.labels)
        if name != node.name:
            self._moved(name, node.name, i)
            self.forget()
        self._relabelled(i, labels, node.labels)

    def node_gone(self) -> None:
        """A node went; the last one took its index, as ``node_changed`` was told."""
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
        """A node changed these labels: what was remembered of them holds no more. None: nodes came, went or moved."""
        self.shape += 1
        self._latest = None
        if changed is None:
            self.places += 1
            self._verdicts.clear()
        else:
            for each in [each for each in self._verdicts if not changed.isdisjoint(_keys(each))]:
                del self._verdicts[each]

    def release(self) -> None:
        """Keep nothing of the large requirement that was asked about last."""
        self._latest = None

    # -- asked

    def carried(self, key: str) -> bool:
        """Has a node a label of this key?"""
        return key in self._carriers

    def position(self, name: str) -> int | None:
        """Index of the node of that name."""
        return self._positions.get(name)

    def codes(self, key: str) -> tuple[Codes, int]:
        """(N,) the number of each node's value of a label, 0 where it has none; and how many numbers there are."""
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
        """(N,) nodes that meet it."""
        return self._known(where) if self._latest is None or self._latest[0] is not where else self._latest[1]

    def selecting(self, selector: LabelSelector) -> Mask:
        """(N,) nodes whose labels it selects."""
        return self._known(selector)

    def term(self, term: NodeSelectorTerm) -> Answer:
        """Nodes that meet every requirement of the term; none where it is empty or invalid."""
        if not (term.expressions or term.fields) or not term.valid:
            return False
        fits = self._all(term.expressions)
        for each in term.fields:
            if fits is False:
                break
            fits = _both(fits, self._named(each))
        return fits

    # -- remembered

    def _known(self, what: Asked) -> Mask:
        if bulky(what):
            verdict = self._worked_out(what)
            self._latest = (what, verdict)  # one decision asks it several times
            return verdict
        known = self._verdicts.get(what)
        if known is None:
            if len(self._verdicts) >= REMEMBERED:
                self._verdicts.clear()
            known = self._verdicts[what] = self._worked_out(what)
        return known

    def _worked_out(self, what: Asked) -> Mask:
        answer = self._matching(what) if isinstance(what, NodeRequirement) else self._selecting(what)
        verdict = self._mask(answer)
        verdict.flags.writeable = False
        return verdict

    def _mask(self, answer: Answer) -> Mask:
        return np.full(len(self._slots), answer, np.bool_) if isinstance(answer, bool) else answer

    # -- worked out

    def _column(self, key: str) -> LabelColumn:
        """The column of a label that some node has."""
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

    def _matching(self, where: NodeRequirement) -> Answer:
        fits = self._labelled(where.selector)
        return fits if fits is False or where.terms is None else _both(fits, self._any(where.terms))

    def _labelled(self, pairs: Iterable[tuple[str, str]]) -> Answer:
        """Nodes that have every one of these labels."""
        fits: Answer = True
        for key, value in pairs:
            fits = _both(fits, self._valued(key, (value,)))
            if fits is False:
                return False
        return fits

    def _any(self, terms: Iterable[NodeSelectorTerm]) -> Answer:
        """Nodes that meet one of the terms."""
        anywhere = np.zeros(len(self._slots), np.bool_)
        for term in terms:
            found = self.term(term)
            if found is True:
                return True
            if found is not False:
                anywhere |= found
        return anywhere

    def _selecting(self, selector: LabelSelector) -> Answer:
        fits = self._labelled(selector.labels)
        if fits is False or not all(each.valid for each in selector.expressions):
            return False
        return _both(fits, self._all(selector.expressions))

    def _all(self, requirements: Iterable[Requirement]) -> Answer:
        """Nodes that meet every requirement."""
        fits: Answer = True
        for each in requirements:
            fits = _both(fits, self._meeting(each))
            if fits is False:
                return False
        return fits

    def _having(self, key: str) -> Answer:
        return self._column(key).codes[: len(self._slots)] != 0 if key in self._carriers else False

    def _valued(self, key: str, values: Iterable[str]) -> Answer:
        if key not in self._carriers:
            return False
        column = self._column(key)
        numbers = [column.numbers[value] for value in values if value in column.numbers]
        codes = column.codes[: len(self._slots)]
        if len(numbers) < 2:
            return codes == numbers[0] if numbers else False
        return column.table(numbers)[codes]

    def _meeting(self, requirement: Requirement) -> Answer:
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

    def _named(self, requirement: Requirement) -> Answer:
        found = [i for name in requirement.values if (i := self.position(name)) is not None]
        if not found:
            return requirement.operator == "NotIn"
        named = np.zeros(len(self._slots), np.bool_)
        named[found] = True
        return ~named if requirement.operator == "NotIn" else named


def _both(a: Answer, b: Answer) -> Answer:
    if isinstance(a, bool):
        return b if a else False
    if isinstance(b, bool):
        return a if b else False
    both: Mask = a & b
    return both if both.any() else False


def _not(answer: Answer) -> Answer:
    return not answer if isinstance(answer, bool) else ~answer


def _keys(what: Asked) -> Iterable[str]:
    """Label keys that a requirement of few parts speaks of."""
    if isinstance(what, LabelSelector):
        return (*(key for key, _ in what.labels), *(each.key for each in what.expressions))
    terms = (each.key for term in what.terms or () for each in term.expressions)
    return (*(key for key, _ in what.selector), *terms)
