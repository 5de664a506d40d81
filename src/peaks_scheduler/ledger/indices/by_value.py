"""Nodes by a value that they have as a whole: their set of taints, their set of features.

Owns one mask for each value. The mask goes with the last node that has the value, because values can be without number:
a taint can carry a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar

import numpy as np

from peaks_scheduler.arrays import Mask

from .slots import roomy

K = TypeVar("K", bound=Hashable)


class NodesByValue(Generic[K]):
    """See the module. Nodes with an empty value are not kept."""

    def __init__(self) -> None:
        self._values: list[K | None] = []  # by index
        self._uses: Counter[K] = Counter()
        self._masks: dict[K, Mask] = {}

    def changed(self, i: int, value: K) -> None:
        """Node i has this value now."""
        if i == len(self._values):
            self._values.append(None)
        if self._values[i] == value:
            return
        self._left(i)
        self._values[i] = value
        if value:
            mask = self._masks[value] = roomy(self._masks.get(value, np.zeros(64, np.bool_)), i)
            mask[i] = True
            self._uses[value] += 1

    def gone(self) -> None:
        """The last index is gone; ``changed`` was called for the node that moved from there."""
        self._left(len(self._values) - 1)
        self._values.pop()

    def views(self) -> Mapping[K, Mask]:
        """Value -> (N,) nodes that have it."""
        n = len(self._values)
        for each, mask in self._masks.items():
            self._masks[each] = roomy(mask, n)
        return {each: mask[:n] for each, mask in self._masks.items()}

    def _left(self, i: int) -> None:
        before = self._values[i]
        if not before:
            return
        self._masks[before][i] = False
        self._uses[before] -= 1
        if not self._uses[before]:
            del self._uses[before], self._masks[before]
