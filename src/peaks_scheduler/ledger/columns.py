"""The ledger's arrays, one element a node, which grow and shrink as nodes come and go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from peaks_scheduler.arrays import Floats
from peaks_scheduler.power.table import CurveRows
from peaks_scheduler.power.uncertainty import CELLS

from .resources import NodeResources
from .signals import Signals


class Columns:
    """Arrays of one common length without gaps: when a node is removed, the last node moves into its place.

    Behind the last node every column has the value of a new node.
    """

    SINGLE: Mapping[str, tuple[Any, Any]] = {  # name -> (dtype, value of a new node)
        "unschedulable": (np.bool_, False),
        "cooldown": (np.bool_, False),
        "cpu_capacity": (np.float64, 1.0),
        "cpu_low": (np.float64, 0.0),
        "cpu_high": (np.float64, 0.0),
        "cpu_reported": (np.float64, np.nan),
        "measured": (np.bool_, False),
        "load_end": (np.float64, np.nan),
        "memory_capacity": (np.float64, np.inf),
        "memory_used": (np.float64, 0.0),
        "unasked_cpu": (np.int64, 0),
        "unasked_memory": (np.int64, 0),
        "turn": (np.int64, 0),
        "ceiling_cpu": (np.float64, np.inf),
        "ceiling_memory": (np.float64, np.inf),
        "own_ceiling_cpu": (np.float64, np.nan),
        "own_ceiling_memory": (np.float64, np.nan),
        "slope_error": (np.float64, 0.0),
        "tie": (np.uint64, 0),
    }

    def __init__(self, capacity: int = 64) -> None:
        self.length = 0
        self.capacity = capacity
        self.single = {name: np.full(capacity, fill, dtype) for name, (dtype, fill) in self.SINGLE.items()}
        self.resources = NodeResources(capacity)
        self.signals = Signals(capacity)
        self.slope_errors: Floats = np.zeros((2, CELLS + 1, capacity))
        self.curves = {"curves": CurveRows(capacity), "envelopes": CurveRows(capacity)}

    def append(self) -> int:
        """Add a node with the value of a new one in every column; its index."""
        if self.length == self.capacity:
            self._grow()
        i = self.length
        self.length += 1
        self.resources.append()
        self.signals.append()
        return i

    def remove(self, i: int) -> int | None:
        """Remove node i. Returns the old index of the node that moved into its place; None if node i was the last."""
        self.length -= 1
        last = self.length
        self.resources.remove(i)
        self.signals.remove(i)
        if i != last:
            self._move(last, i)
        self._clear(last)
        return last if i != last else None

    def _move(self, source: int, target: int) -> None:
        for column in self.single.values():
            column[target] = column[source]
        self.slope_errors[:, :, target] = self.slope_errors[:, :, source]
        for curves in self.curves.values():
            curves.move(source, target)

    def _clear(self, i: int) -> None:
        for name, (_, fill) in self.SINGLE.items():
            self.single[name][i] = fill
        self.slope_errors[:, :, i] = 0.0
        for curves in self.curves.values():
            curves.write(i, None)

    def _grow(self) -> None:
        more = self.capacity
        self.capacity += more
        for name, (dtype, fill) in self.SINGLE.items():
            self.single[name] = np.concatenate([self.single[name], np.full(more, fill, dtype)])
        self.resources.grow(more)
        self.signals.grow(more)
        self.slope_errors = np.pad(self.slope_errors, ((0, 0), (0, 0), (0, more)))
        for curves in self.curves.values():
            curves.grow(more)

    def copy(self) -> Columns:
        """An independent copy."""
        other = Columns(0)
        other.length, other.capacity = self.length, self.capacity
        other.single = {name: column.copy() for name, column in self.single.items()}
        other.resources, other.signals = self.resources.copy(), self.signals.copy()
        other.slope_errors = self.slope_errors.copy()
        for name, curves in self.curves.items():
            other.curves[name].rows = curves.rows.copy()
        return other

    def views(self) -> dict[str, Any]:
        """Read-only views of the filled part of every column, by the names of Snapshot's fields."""
        n = self.length
        views: dict[str, Any] = {name: column[:n] for name, column in self.single.items()}
        views["allocatable"], views["free"] = self.resources.allocatable, self.resources.free
        views["slope_errors"] = self.slope_errors[:, :, :n]
        for view in views.values():
            view.flags.writeable = False
        return views | {name: curves.view(n) for name, curves in self.curves.items()}
