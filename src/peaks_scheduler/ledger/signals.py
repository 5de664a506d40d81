"""Signals: named numbers of nodes that strategies read, such as inlet temperature, grid intensity or price.

Owns one column for each signal, with its unit and, for each node, when the value was measured and when it expires. A
keeper sets a signal by node name (``Ledger.set_signal``), a strategy reads it from the snapshot
(``nodes.signals["inlet"]``), and no class between the two knows of it. Assumes that the ledger tells it when rows are
added, moved and removed, and calls ``expire``. A signal that no node has any more is forgotten, unless nodes that come
later have it from the start. No I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from peaks_scheduler.arrays import Floats

_FIELDS = ("values", "times", "expiries")


@dataclass(slots=True, eq=False)
class _Column:
    """One signal. Row i is the node at index i; NaN: the node has no value."""

    unit: str
    values: Floats  # (capacity,) [unit]
    times: Floats  # (capacity,) [s] when it was measured
    expiries: Floats  # (capacity,) [s] from when on it does not count; inf: it does not expire
    newcomers: float = np.nan  # [unit] of nodes that come from now on; NaN: they have none
    since: float = np.nan  # [s] when that was said


class Signals:
    """See the module. ``capacity`` is the number of nodes that the arrays have room for."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._length = 0
        self._columns: dict[str, _Column] = {}

    def __len__(self) -> int:
        return len(self._columns)

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    # -- reading

    def __getitem__(self, name: str) -> Floats:
        """(N,) [unit] values of a signal, read-only; NaN where it is unknown or has expired."""
        return self._view(name, "values")

    def times(self, name: str) -> Floats:
        """(N,) [s] when the values were measured, read-only; NaN where there is none."""
        return self._view(name, "times")

    def expiries(self, name: str) -> Floats:
        """(N,) [s] from when on the values do not count, read-only; inf: never, NaN where there is none."""
        return self._view(name, "expiries")

    def unit(self, name: str) -> str:
        """The unit of a signal; empty where no node has it."""
        return self._columns[name].unit if name in self._columns else ""

    def _view(self, name: str, field: str) -> Floats:
        column = self._columns.get(name)
        view: Floats = np.full(self._length, np.nan) if column is None else getattr(column, field)[: self._length]
        view.flags.writeable = False
        return view

    # -- writing

    def write(
        self,
        name: str,
        values: Mapping[int, float],
        unit: str,
        time: float,
        expires: float,
        newcomers: float | None = None,
    ) -> None:
        """Set a signal of the nodes at these indices; the others keep theirs. NaN: unknown from now on.

        ``newcomers``: what nodes that come later have, without expiry, until it is set; None: as before. Raises
        ValueError where the signal is in use with another unit.
        """
        column = self._columns.get(name)
        if column is None:
            unknown: list[Floats] = [np.full(self._capacity, np.nan) for _ in _FIELDS]
            column = _Column(unit, unknown[0], unknown[1], unknown[2])
        elif column.unit != unit:
            raise ValueError(f"signal {name}: expected the unit {column.unit!r} of its other values; got {unit!r}")
        for i, value in values.items():
            known = not np.isnan(value)
            column.values[i] = value
            column.times[i], column.expiries[i] = (time, expires) if known else (np.nan, np.nan)
        if newcomers is not None:
            column.newcomers, column.since = newcomers, time
        self._columns[name] = column
        self._forget_empty(name)

    def expire(self, now: float) -> dict[str, list[int]]:
        """Forget the values that have expired. Signal -> indices of the nodes."""
        gone: dict[str, list[int]] = {}
        for name, column in list(self._columns.items()):
            expired = column.expiries <= now
            if expired.any():
                gone[name] = np.flatnonzero(expired).tolist()
                for field in _FIELDS:
                    getattr(column, field)[expired] = np.nan
                self._forget_empty(name)
        return gone

    def value(self, name: str, i: int) -> float:
        """[unit] value of node i; NaN where it is unknown."""
        column = self._columns.get(name)
        return float("nan") if column is None else float(column.values[i])

    def _forget_empty(self, name: str) -> None:
        column = self._columns[name]
        if np.isnan(column.newcomers) and np.isnan(column.values).all():
            del self._columns[name]

    # -- rows

    def append(self) -> None:
        """Add a node that has no signal yet, but those that newcomers have."""
        i, self._length = self._length, self._length + 1
        for column in self._columns.values():
            if not np.isnan(column.newcomers):
                column.values[i], column.times[i], column.expiries[i] = column.newcomers, column.since, np.inf

    def remove(self, i: int) -> None:
        """Remove node i; the last node moves into its place."""
        self._length -= 1
        for name, column in list(self._columns.items()):
            for field in _FIELDS:
                array = getattr(column, field)
                array[i] = array[self._length]
                array[self._length] = np.nan
            self._forget_empty(name)

    def grow(self, more: int) -> None:
        """Make room for so many more nodes."""
        self._capacity += more
        for column in self._columns.values():
            for field in _FIELDS:
                setattr(column, field, np.concatenate([getattr(column, field), np.full(more, np.nan)]))

    def copy(self) -> Signals:
        """An independent copy."""
        other = Signals(self._capacity)
        other._length = self._length
        for name, column in self._columns.items():
            other._columns[name] = replace(column, **{field: getattr(column, field).copy() for field in _FIELDS})
        return other
