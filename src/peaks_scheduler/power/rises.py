"""Rises of N curves for steps that come again and again: pods that request the same.

Between two decisions the use of only a few nodes changes, so only these are computed anew. Owns that memory, of the
latest few sizes of a step. Curves with an exponential part are always computed together: numpy's exponential of one
number can differ in its last bit from that of the same number among others. Never decides anything.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from peaks_scheduler.arrays import Floats, Ints

from .table import CurveTable

REMEMBERED = 16
"""Sizes of a step, 16 bytes a node each."""


@dataclass(frozen=True, slots=True, eq=False)
class _Known:
    use: Floats
    rises: Floats


class Rises:
    """Rises on these ``curves``."""

    def __init__(self, curves: CurveTable) -> None:
        self._curves = curves
        self._known: dict[int, _Known] = {}

    def after(self, curves: CurveTable, changed: Ints) -> Rises:
        """The rises on ``curves``, of which only those at the indices ``changed`` are others than these. What is known
        of the rest stays known."""
        found = Rises(curves)
        # with fewer bent curves than two, a rise may have been summed in another order; so with other rows
        if curves.straight and self._curves.bent.size > 1 and curves.rows.shape == self._curves.rows.shape:
            for size, known in self._known.items():
                use = known.use.copy()
                use[changed] = np.nan  # unlike any use
                found._known[size] = _Known(use, known.rises)
        return found

    def of(self, size: int, use: Floats, step: Floats) -> Floats:
        """``CurveTable.rise`` from ``use`` by ``step``. (N,) fractions -> (N,) [W], read-only.

        Steps of one ``size`` are always the same.
        """
        if not self._curves.straight:
            return self._curves.rise(use, step)
        known = self._known.pop(size, None)
        if known is None:
            known = _Known(use.copy(), self._curves.rise(use, step))
        else:
            changed = np.flatnonzero(use != known.use)
            if changed.size > len(use) // 4:
                known = _Known(use.copy(), self._curves.rise(use, step))
            elif changed.size:
                known = _Known(use.copy(), known.rises.copy())  # who asked before keeps what was answered
                # numpy sums the bends of a single curve in another order than those of several
                changed = np.concatenate([changed, self._curves.bent[:2]])
                known.rises[changed] = self._curves.of(changed).rise(use[changed], step[changed])
        self._known[size] = known  # the latest one at the end
        if len(self._known) > REMEMBERED:
            del self._known[next(iter(self._known))]
        known.rises.flags.writeable = False
        return known.rises
