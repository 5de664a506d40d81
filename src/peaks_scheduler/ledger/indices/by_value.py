"""Nodes that are alike in something they have as a whole: their set of taints, their features.

Owns one mask for each thing that nodes have, given back with the last node that had it: a taint can carry a time.
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
    """See the module. What is empty counts as nothing."""

    def __init__(self) -> None:
        self._told: list[K | None] = []  # by index
        self._uses: Counter[K] = Counter()
        self._masks: dict[K, Mask] = {}

    def changed(self, i: int, own: K) -> None:
        """Node i has this, and nothing else."""
        if i == len(self._told):
            self._told.append(None)
        if self._told[i] == own:
            return
        self._left(i)
        self._told[i] = own
        if own:
            mask = self._masks[own] = roomy(self._masks.get(own, np.zeros(64, np.bool_)), i)
            mask[i] = True
            self._uses[own] += 1

    def gone(self) -> None:
        """A node went; the last one took its index, as ``changed`` was told."""
        self._left(len(self._told) - 1)
        self._told.pop()

    def views(self) -> Mapping[K, Mask]:
        """(N,) nodes by what they have."""
        n = len(self._told)
        for each, mask in self._masks.items():
            self._masks[each] = roomy(mask, n)
        return {each: mask[:n] for each, mask in self._masks.items()}

    def _left(self, i: int) -> None:
        before = self._told[i]
        if not before:
            return
        self._masks[before][i] = False
        self._uses[before] -= 1
        if not self._uses[before]:
            del self._uses[before], self._masks[before]
