"""Rises of N curves for steps that come again and again: pods that request the same.

Between two decisions the use of only a few nodes changes, so only these are computed anew. Owns that memory, of the
latest few sizes of a step. Curves with an exponential part are always computed together: numpy's exponential of one
number can differ in its last bit from that of the same number among others. Never decides anything.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from peaks_scheduler.arrays import Floats

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
