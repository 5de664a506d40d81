"""A node's place, and arrays that grow with the number of nodes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from peaks_scheduler.objects.node import Node

Array = TypeVar("Array", bound=NDArray[Any])


@dataclass(slots=True, eq=False)
class Slot:
    """A node's place: its record, its index in the arrays (-1 while only pods of it were seen), and who is there."""

    name: str
    node: Node | None = None
    index: int = -1
    groups: Counter[Any] = field(default_factory=Counter)  # of pods alike in namespace and labels (see pods.Group)


def roomy(array: Array, i: int) -> Array:
    """The array, grown by zeros where needed so that index i exists."""
    if i < len(array):
        return array
    return np.concatenate([array, np.zeros(max(len(array), i + 1 - len(array)), array.dtype)])  # type: ignore[return-value]
