"""A node's slot, arrays that grow with the number of nodes, and the indices of some nodes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from peaks_scheduler.arrays import AnyArray, Ints
from peaks_scheduler.objects.node import Node

Array = TypeVar("Array", bound=AnyArray)


@dataclass(slots=True, eq=False)
class Slot:
    """A node and its index in the arrays; -1 while only pods on it were observed, but not the node itself."""

    name: str
    node: Node | None = None
    index: int = -1
    groups: Counter[Any] = field(default_factory=Counter)  # ``pods.Group`` -> its pods on this node


def roomy(array: Array, i: int) -> Array:
    """The array, grown by zeros if index i is beyond its end."""
    if i < len(array):
        return array
    return np.concatenate([array, np.zeros(max(len(array), i + 1 - len(array)), array.dtype)])  # type: ignore[return-value]


class NodeIndices:
    """The indices of some nodes as an array that changes in place, so that one node more or less costs the same among
    many as among few. Their order means nothing."""

    def __init__(self, slots: Iterable[Slot]) -> None:
        """``slots``: nodes, each once."""
        self._slots = list(slots)
        self._rows = {slot: row for row, slot in enumerate(self._slots)}
        self._indices = np.fromiter((slot.index for slot in self._slots), np.int64, len(self._slots))

    @property
    def indices(self) -> Ints:
        """(M,) valid until the next change."""
        return self._indices[: len(self._slots)]

    def add(self, slot: Slot) -> None:
        row = self._rows[slot] = len(self._slots)
        self._slots.append(slot)
        self._indices = roomy(self._indices, row)
        self._indices[row] = slot.index

    def remove(self, slot: Slot) -> None:
        """The last one takes its place."""
        row, last = self._rows.pop(slot), self._slots.pop()
        if last is not slot:
            self._slots[row], self._rows[last], self._indices[row] = last, row, self._indices[len(self._slots)]
