"""How much of a node's power above its envelope a step saves, on the way to the end of the envelope's chord.

On a chord of the envelope every step costs the same, so equal nodes are tied anywhere along it. But a node that stays
between the ends of the chord draws more than the envelope says. Filling the node to the end of the chord saves that
excess. Owns the rate [W per unit of use] at which it is saved, and caches it: between two decisions the use of only a
few nodes changes. Never decides anything.
"""

from __future__ import annotations

import numpy as np

from peaks_scheduler.arrays import Floats, Ints

from .table import CurveTable


class Savings:
    """Savings of N nodes, given their ``curves`` and the ``envelopes`` of these."""

    def __init__(self, curves: CurveTable, envelopes: CurveTable) -> None:
        n = curves.rows.shape[1]
        self._curves, self._envelopes = curves, envelopes
        self._use = np.full(n, np.nan)
        self._above = np.zeros(n)
        self._rest = np.zeros(n)

    def after(self, curves: CurveTable, envelopes: CurveTable, changed: Ints) -> Savings:
        """The savings on these curves, of which only those at the indices ``changed`` are others. Ends this object."""
        self._curves, self._envelopes = curves, envelopes
        self._use[changed] = np.nan
        return self

    def over(self, use: Floats, step: Floats, among: Ints) -> Floats:
        """Part of the excess power that a step from ``use`` saves, for M nodes ``among`` (indices). (N,) fractions ->
        (M,) [W], >= 0.

        0 for a node without a model.
        """
        changed = np.flatnonzero(use != self._use)
        if changed.size:
            self._update(changed, np.minimum(use[changed], 1.0))
            self._use[changed] = use[changed]
        saved: Floats = self._above[among] * np.minimum(step[among], self._rest[among])
        return saved

    def _update(self, nodes: np.ndarray, use: Floats) -> None:
        envelopes = self._envelopes.of(nodes)
        above = self._curves.of(nodes).watts(use) - envelopes.watts(use)
        rest = envelopes.chord_end(use) - use
        # an empty node that may be switched off draws exactly what the envelope says
        above[(use == 0.0) | (rest <= 0.0) | ~(above > 0.0)] = 0.0
        self._rest[nodes] = rest
        self._above[nodes] = above / np.maximum(rest, 1e-9)  # [W] per unit of u from here on
