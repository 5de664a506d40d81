"""One label of all nodes, as numbers.

Owns the code of each value that a node has: 1, 2, ...; 0 stands for no such label. A code is reused when the last node
with the value is gone, so a label that changes all the time does not use up codes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from peaks_scheduler.arrays import Codes, Ints, Mask
from peaks_scheduler.objects.selectors import Requirement, parse_int64

from .slots import roomy

_MISSING = 0


class LabelColumn:
    """See the module. ``codes`` (capacity,) are by node, ``numbers`` the code of each value."""

    __slots__ = ("_free", "_integers", "_is_integer", "_uses", "_values", "codes", "numbers")

    def __init__(self, capacity: int) -> None:
        self.numbers: dict[str, int] = {}
        self.codes: Codes = np.zeros(capacity, np.int32)
        self._values: list[str] = [""]  # by code
        self._uses: list[int] = [0]
        self._free: list[int] = []
        self._integers: Ints | None = None  # by node; made at the first comparison
        self._is_integer: Mask = np.zeros(0, np.bool_)

    @property
    def size(self) -> int:
        """One more than the highest code."""
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
        """(size,) True at these codes."""
        table = np.zeros(self.size, np.bool_)
        table[numbers] = True
        return table

    def compared(self, requirement: Requirement, n: int) -> Mask:
        """(n,) nodes that match ``Gt`` or ``Lt``: Kubernetes compares whole numbers of 64 bits."""
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
