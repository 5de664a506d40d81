"""A node's slot, arrays that grow with the number of nodes, and the pods on some nodes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
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


class PodsOnNodes:
    """How many pods are on each of some nodes, as arrays that change in place: a pod more or less costs the same among
    many nodes as among few. Their order means nothing."""

    def __init__(self, pods: Mapping[Slot, int]) -> None:
        """``pods``: number by node; nodes without an index are left out."""
        self._slots = [slot for slot in pods if slot.index >= 0]
        self._rows = {slot: row for row, slot in enumerate(self._slots)}
        self._indices = np.array([slot.index for slot in self._slots], np.int64)
        self._counts = np.array([pods[slot] for slot in self._slots], np.int64)

    @property
    def indices(self) -> Ints:
        """(M,) of the nodes; valid until the next change."""
        return self._indices[: len(self._slots)]

    @property
    def counts(self) -> Ints:
        """(M,) pods on these nodes; valid until the next change."""
        return self._counts[: len(self._slots)]

    def change(self, slot: Slot, count: int) -> None:
        """The node, which has an index, has ``count`` pods now."""
        if not count:
            self._remove(slot)
            return
        row = self._rows.get(slot)
        if row is None:
            row = self._append(slot)
        self._counts[row] = count

    def _append(self, slot: Slot) -> int:
        row = self._rows[slot] = len(self._slots)
        self._slots.append(slot)
        self._indices, self._counts = roomy(self._indices, row), roomy(self._counts, row)
        self._indices[row] = slot.index
        return row

    def _remove(self, slot: Slot) -> None:
        """The last one takes its place. A node that had no index when its pods were counted is not there."""
        row = self._rows.pop(slot, None)
        if row is None:
            return
        last, end = self._slots.pop(), len(self._slots)
        if last is not slot:
            self._slots[row], self._rows[last] = last, row
            self._indices[row], self._counts[row] = self._indices[end], self._counts[end]
