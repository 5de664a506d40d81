"""The signals that each node was last asked with, and which of them have moved since.

Looked at every second for all nodes, so it is arrays: index i is the same node in all of them, until ``follow`` says
that the nodes are others. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from peaks_scheduler.arrays import Floats, Ints, Mask
from peaks_scheduler.ledger.signals import Signals


class AskedSignals:
    """See the module. A node that was never asked has NaN."""

    def __init__(self) -> None:
        self._names: Sequence[str] = ()
        self._asked: dict[str, Floats] = {}

    def follow(self, names: Sequence[str]) -> None:
        """These are the nodes now; who was there before keeps its values."""
        if names == self._names:
            return
        places = {name: i for i, name in enumerate(self._names)}
        before = np.array([places.get(name, -1) for name in names], np.int64)
        for signal, values in self._asked.items():
            moved = np.append(values, np.nan)[before]  # -1 is the NaN at the end
            self._asked[signal] = moved
        self._names = list(names)

    def moved(self, now: Mapping[str, Floats], needed: Mapping[str, Mask], step: float) -> Mask:
        """(N,) has a signal that the node needs moved by more than ``step``, come or gone since it was last asked?"""
        found = np.zeros(len(self._names), np.bool_)
        for signal, needs in needed.items():
            before, values = self._of(signal), now[signal]
            found |= needs & ((np.abs(values - before) > step) | (np.isnan(values) != np.isnan(before)))
        return found

    def note(self, nodes: Ints, now: Mapping[str, Floats]) -> None:
        """These nodes (indices) are asked with the present values."""
        for signal, values in now.items():
            self._of(signal)[nodes] = values[nodes]

    def _of(self, signal: str) -> Floats:
        return self._asked.setdefault(signal, np.full(len(self._names), np.nan))


def known_until(signals: Signals, needed: Mapping[str, Mask], expiry: float, count: int) -> Floats:
    """(N,) [s] until when a prediction asked with the present signals counts, N = ``count``; inf: they do not say.

    ``expiry`` [s] from when the oldest signal that the node needs was measured, or until that signal itself expires,
    where that is later: with sensors that are read every few minutes predictions would end between two readings.
    Constants do not age.
    """
    ends = np.full(count, np.inf)
    for name, needs in needed.items():
        until = np.fmax(signals.times(name) + expiry, signals.expiries(name))
        ends = np.where(needs, np.fmin(ends, until), ends)
    return ends
