"""Labels of the nodes, as columns: a requirement is looked up per distinct value, not per node.

Owns one column per label key that anybody asked about: a small number for each distinct value, 0 where a node has no
such label. Verdicts follow by indexing with the column. Assumes every change of a node is told to it. Never looks at
anything but names and labels.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from ..objects import Node
from ..selectors import LabelSelector, NodeRequirement, NodeSelectorTerm, Requirement
from ..snapshot import Codes, Mask
from .slots import Slot, roomy

KEYS = 256
"""Label keys that columns are kept for; beyond it the one not asked about for longest is forgotten."""
REMEMBERED = 1024
"""Distinct node requirements whose verdict is kept until a node changes."""
_MISSING = 0


class Column:
    """Values of one label. ``codes`` (capacity,) number them; 0 is no such label."""

    __slots__ = ("codes", "numbers")

    def __init__(self, values: Iterable[str | None], capacity: int) -> None:
        self.numbers: dict[str, int] = {}
        self.codes: NDArray[np.int32] = np.zeros(capacity, np.int32)
        for i, value in enumerate(values):
            self.put(i, value)

    def put(self, i: int, value: str | None) -> None:
        self.codes = roomy(self.codes, i)
        self.codes[i] = _MISSING if value is None else self.numbers.setdefault(value, len(self.numbers) + 1)

    def table(self) -> Mask:
        """(values + 1,) all False, to be indexed by a code."""
        return np.zeros(len(self.numbers) + 1, np.bool_)


class NodeLabels:
    """See the module. Masks are (N,), read-only and valid until a node changes."""

    def __init__(self, slots: Sequence[Slot]) -> None:
        self._slots = slots
        self._columns: OrderedDict[str, Column] = OrderedDict()
        self._verdicts: dict[NodeRequirement | LabelSelector, Mask] = {}
        self._positions: dict[str, int] | None = None
        self.shape = 0

    # -- told

    def node_changed(self, i: int, node: Node) -> None:
        """The node at index i is new, has other labels, or has moved there."""
        self.forget()
        for key, column in list(self._columns.items()):
            column.put(i, node.labels.get(key))
            if len(column.numbers) > 2 * len(self._slots) + 64:  # values of nodes long gone
                del self._columns[key]

    def forget(self) -> None:
        """A node changed or went: what was remembered of all nodes holds no more."""
        self.shape += 1
        self._verdicts.clear()
        self._positions = None

    # -- asked

    def position(self, name: str) -> int | None:
        """Index of the node of that name."""
        if self._positions is None:
            self._positions = {slot.name: i for i, slot in enumerate(self._slots)}
        return self._positions.get(name)

    def codes(self, key: str) -> tuple[Codes, int]:
        """(N,) the number of each node's value of a label, 0 where it has none; and how many numbers there are."""
        column = self._column(key)
        return column.codes[: len(self._slots)], len(column.numbers) + 1

    def having(self, key: str) -> Mask:
        """(N,) nodes that have the label."""
        having: Mask = self.codes(key)[0] != _MISSING
        return having

    def valued(self, key: str, values: Iterable[str]) -> Mask:
        """(N,) nodes whose label has one of the values."""
        column = self._column(key)
        table = column.table()
        table[[column.numbers[value] for value in values if value in column.numbers]] = True
        return table[column.codes[: len(self._slots)]]

    def matching(self, where: NodeRequirement) -> Mask:
        """(N,) nodes that meet it."""
        verdict = self._verdicts.get(where)
        return self._remember(where, self._matching(where)) if verdict is None else verdict

    def selecting(self, selector: LabelSelector) -> Mask:
        """(N,) nodes whose labels it selects."""
        verdict = self._verdicts.get(selector)
        return self._remember(selector, self._selecting(selector)) if verdict is None else verdict

    # -- worked out

    def _column(self, key: str) -> Column:
        column = self._columns.get(key)
        if column is not None:
            self._columns.move_to_end(key)
            return column
        labels = (slot.node.labels if slot.node else {} for slot in self._slots)
        column = self._columns[key] = Column((each.get(key) for each in labels), max(64, len(self._slots)))
        if len(self._columns) > KEYS:
            self._columns.popitem(last=False)
        return column

    def _remember(self, what: NodeRequirement | LabelSelector, verdict: Mask) -> Mask:
        if len(self._verdicts) >= REMEMBERED:
            self._verdicts.clear()
        verdict.flags.writeable = False
        self._verdicts[what] = verdict
        return verdict

    def _matching(self, where: NodeRequirement) -> Mask:
        fits = np.ones(len(self._slots), np.bool_)
        for key, value in where.selector:
            fits &= self.valued(key, (value,))
        if where.terms is not None:
            anywhere = np.zeros(len(self._slots), np.bool_)
            for term in where.terms:
                anywhere |= self.term(term)
            fits &= anywhere
        return fits

    def term(self, term: NodeSelectorTerm) -> Mask:
        """(N,) nodes that meet every requirement of the term; none where it is empty or invalid."""
        fits = np.ones(len(self._slots), np.bool_)
        if not (term.expressions or term.fields) or not term.valid:
            return np.zeros_like(fits)
        for each in term.expressions:
            fits &= self._meeting(each)
        for each in term.fields:
            fits &= self._named(each)
        return fits

    def _selecting(self, selector: LabelSelector) -> Mask:
        fits = np.ones(len(self._slots), np.bool_)
        for key, value in selector.labels:
            fits &= self.valued(key, (value,))
        for each in selector.expressions:
            fits &= self._meeting(each) if each.valid else False
        return fits

    def _meeting(self, requirement: Requirement) -> Mask:
        match requirement.operator:
            case "In":
                return self.valued(requirement.key, requirement.values)
            case "NotIn":
                return ~self.valued(requirement.key, requirement.values)
            case "Exists":
                return self.having(requirement.key)
            case "DoesNotExist":
                return ~self.having(requirement.key)
        column = self._column(requirement.key)
        table = column.table()
        table[1:] = [requirement.matches({requirement.key: value}) for value in column.numbers]
        return table[column.codes[: len(self._slots)]]

    def _named(self, requirement: Requirement) -> Mask:
        named = np.zeros(len(self._slots), np.bool_)
        found = [i for name in requirement.values if (i := self.position(name)) is not None]
        named[found] = True
        return ~named if requirement.operator == "NotIn" else named
