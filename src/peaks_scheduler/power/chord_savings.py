"""What nodes draw beyond their envelopes, and save again on the way to where the two meet.

On a chord of the envelope every step costs the same, at its start as near its end, so that equal nodes are tied from
one end to the other. But each node that is left in between draws more than the envelope says, and what it draws too
much is saved when it is filled to the end of the chord. Owns that rate, and remembers it: from one decision to the next
the use of one node changes. Never decides anything.
"""

from __future__ import annotations

import numpy as np

from peaks_scheduler.arrays import Floats

from .table import CurveTable


class Savings:
    """Of the N nodes of two tables, ``curves`` and their ``envelopes``."""

    def __init__(self, curves: CurveTable, envelopes: CurveTable) -> None:
        n = curves.rows.shape[1]
        self._curves, self._envelopes = curves, envelopes
        self._use = np.full(n, np.nan)
        self._above = np.zeros(n)
        self._rest = np.zeros(n)

    def over(self, use: Floats, step: Floats) -> Floats:
        """What of it falls to a step from ``use`` on. (N,) fractions -> (N,) [W], not negative, 0 without a model."""
        changed = np.flatnonzero(use != self._use)
        if changed.size:
            self._look_at(changed, np.minimum(use[changed], 1.0))
            self._use[changed] = use[changed]
        saved: Floats = self._above * np.minimum(step, self._rest)
        return saved

    def _look_at(self, nodes: np.ndarray, use: Floats) -> None:
        envelopes = self._envelopes.of(nodes)
        above = self._curves.of(nodes).watts(use) - envelopes.watts(use)
        rest = envelopes.chord_end(use) - use
        # a node that is empty, and may be switched off, draws what the envelope says
        above[(use == 0.0) | (rest <= 0.0) | ~(above > 0.0)] = 0.0
        self._rest[nodes] = rest
        self._above[nodes] = above / np.maximum(rest, 1e-9)  # [W] per unit of u from here on
