"""A node's slot, and arrays that grow with the number of nodes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from peaks_scheduler.arrays import AnyArray
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
