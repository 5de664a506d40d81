"""One label of all nodes, as numbers.

Owns the numbering of its values: 1, 2, ... for those that nodes have, each given back with the last node that had it,
so that a label that changes all the time needs no more of them; 0 is no such label.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from peaks_scheduler.arrays import Mask
from peaks_scheduler.objects.selectors import Requirement, parse_int64

from .slots import roomy

_MISSING = 0


class LabelColumn:
    """Values of one label. ``codes`` (capacity,) number them."""

    __slots__ = ("_free", "_integers", "_is_integer", "_uses", "_values", "codes", "numbers")

    def __init__(self, capacity: int) -> None:
        self.numbers: dict[str, int] = {}
        self.codes: NDArray[np.int32] = np.zeros(capacity, np.int32)
        self._values: list[str] = [""]  # by number
        self._uses: list[int] = [0]
        self._free: list[int] = []
        self._integers: NDArray[np.int64] | None = None  # by node; made when somebody compares
        self._is_integer: Mask = np.zeros(0, np.bool_)

    @property
    def size(self) -> int:
        """One more than the highest number."""
        return len(self._values)

    def put(self, i: int, value: str | None) -> None:
        """Node i has this value; None: no such label."""
        self.codes = roomy(self.codes, i)
        before = int(self.codes[i])
        self.codes[i] = _MISSING if value is None else self._number(value)
        if self._integers is not None:
            self._write(i, value or "")
        if before != _MISSING:
            self._uses[before] -= 1
            if not self._uses[before]:
                del self.numbers[self._values[before]]
                self._free.append(before)

    def table(self, numbers: Sequence[int]) -> Mask:
        """(size,) True at these numbers, to be indexed by a code."""
        table = np.zeros(self.size, np.bool_)
        table[numbers] = True
        return table

    def compared(self, requirement: Requirement, n: int) -> Mask:
        """(n,) nodes that meet ``Gt`` or ``Lt``, as Kubernetes compares: whole numbers of 64 bits."""
        bound = parse_int64(requirement.values[0]) if len(requirement.values) == 1 else None
        if bound is None:
            return np.zeros(n, np.bool_)
        if self._integers is None:
            self._integers, self._is_integer = np.zeros(len(self.codes), np.int64), np.zeros(len(self.codes), np.bool_)
            for i, code in enumerate(self.codes.tolist()):
                self._write(i, self._values[code])
        integers = self._integers[:n]
        found: Mask = integers > bound if requirement.operator == "Gt" else integers < bound
        found &= self._is_integer[:n]
        return found

    def _number(self, value: str) -> int:
        number = self.numbers.get(value)
        if number is None:
            number = self._free.pop() if self._free else self._append()
            self.numbers[value] = number
            self._values[number], self._uses[number] = value, 0
        self._uses[number] += 1
        return number

    def _append(self) -> int:
        self._values.append("")
        self._uses.append(0)
        return len(self._values) - 1

    def _write(self, i: int, value: str) -> None:
        assert self._integers is not None
        self._integers, self._is_integer = roomy(self._integers, i), roomy(self._is_integer, i)
        integer = parse_int64(value)
        self._integers[i], self._is_integer[i] = integer or 0, integer is not None
