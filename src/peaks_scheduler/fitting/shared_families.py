"""The families of curves that can be learned from a sum: linear in their parameters, and never falling.

Every family is P(u) = B(u) @ c with c >= 0, B_0 = 1 and every other B_j rising from 0 at no load to 1 at full load:

    family      B(u)                                    c [W]
    linear      1, u                                    P(0), rise from 0 to 1
    sqrt        1, u, 2 sqrt(u) - u                     P(0), the straight and the bent part of the rise
    piecewise   1, a ramp from each knot to the next    P(0), rise from each knot to the next

idle + a*u + c*sqrt(u) never falls where c >= 0 and a >= -c/2: these are the sums of u and 2 sqrt(u) - u with factors
that are not negative. So the sum over many nodes is linear in c too: a column for each B_j, summed over the nodes.
The square root is written as straight pieces through points on it, close enough for any meter (``_CLOSE``): a decision
then has the form of curves it knows. Pure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from peaks_scheduler.arrays import Floats
from peaks_scheduler.power.curves import Curve, Linear, Piecewise

MODELS = ("auto", "linear", "sqrt", "piecewise")
_COARSE = (0.0, 0.05, 0.2, 0.5, 0.9, 1.0)
_FINE = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 1.0)
"""Knots [1], close where servers bend most: at the first load, where cores and caches wake up, and before full load."""
_LEAST_INSIDE = 0.005  # share of the nodes' samples that a piece has at least; else it is joined with the next
_AT_ONCE = 1_000_000  # values of which sums are made at once, against memory
_CLOSE = 2.5e-4  # of the power at full load: how far straight pieces are from the square root at most


@dataclass(frozen=True, slots=True)
class SharedFamily:
    """One kind of curve."""

    name: str
    knots: tuple[float, ...] = ()
    """[1] of a piecewise curve; empty for the others."""

    @property
    def size(self) -> int:
        """Number of columns that ``columns`` gives: without P(0)."""
        return max(len(self.knots) - 1, {"linear": 1, "sqrt": 2}.get(self.name, 0))

    def columns(self, use: Floats) -> Floats:
        """(S, size) sums over the nodes of B_1, B_2, ...; use (S, N) [fraction], NaN: the node was not there."""
        step = max(_AT_ONCE // use.shape[1], 1)
        sums = [self._sums(use[first : first + step]) for first in range(0, len(use), step)]
        return np.concatenate(sums) if sums else np.zeros((0, self.size))

    def _sums(self, use: Floats) -> Floats:
        u = np.clip(np.nan_to_num(use), 0.0, 1.0)
        return np.column_stack([self._bent(j, u).sum(axis=1) for j in range(self.size)])

    def basis(self, u: Floats) -> Floats:
        """(M, 1 + size) B(u) of one node at M utilisations."""
        return np.column_stack([np.ones_like(u), *(self._bent(j, u) for j in range(self.size))])

    def _bent(self, j: int, u: Floats) -> Floats:
        if self.knots:
            a, b = self.knots[j], self.knots[j + 1]
            return np.clip((u - a) / (b - a), 0.0, 1.0)
        return u if j == 0 else 2.0 * np.sqrt(u) - u

    def curve(self, c: Floats) -> tuple[Curve, Floats]:
        """(curve, (K, 1 + size) matrix): the curve's own parameters are the matrix times c."""
        knots = self._points(c) if self.name == "sqrt" else np.array(self.knots or (0.0, 1.0))
        matrix = self.basis(knots)
        watts = tuple((matrix @ c).tolist())
        curve = Linear(*watts) if len(knots) == 2 else Piecewise(tuple(knots.tolist()), watts)
        return curve, matrix

    def _points(self, c: Floats) -> Floats:
        """(K,) utilisations between which straight pieces are within _CLOSE of the square root.

        Between v1^2 and v2^2 the chord of k sqrt(u) is below it by at most k (v2 - v1)^2 / (4 (v1 + v2)).
        """
        bend, allowed = 2.0 * float(c[-1]), 4.0 * _CLOSE * float(c.sum())
        places = [0.0]
        while bend > 0.0 and places[-1] < 1.0:
            step = (allowed + math.sqrt(allowed**2 + 8.0 * allowed * bend * places[-1])) / (2.0 * bend)
            places.append(places[-1] + step)
        inner = [v * v for v in places[1:] if v < 1.0]
        return np.array([0.0, *inner, 1.0])


LINEAR, SQRT = SharedFamily("linear"), SharedFamily("sqrt")


def families_for(model: str, use: Floats) -> tuple[SharedFamily, ...]:
    """The families to try for ``model``, the simplest first. use (...) [fraction] of all nodes of the meter."""
    known = use[np.isfinite(use)]
    pieces = [SharedFamily("piecewise", knots) for each in (_COARSE, _FINE) if len(knots := _filled(each, known)) > 2]
    families = (LINEAR, SQRT, *dict.fromkeys(pieces))
    chosen = tuple(each for each in families if model in ("auto", each.name))
    return chosen or (LINEAR,)


def _filled(knots: tuple[float, ...], use: Floats) -> tuple[float, ...]:
    """The knots, without those that end a piece with hardly any samples in it."""
    kept, least = [knots[0]], _LEAST_INSIDE * use.size
    for knot in knots[1:-1]:
        if np.count_nonzero((use >= kept[-1]) & (use < knot)) >= least:
            kept.append(knot)
    while len(kept) > 1 and np.count_nonzero(use >= kept[-1]) < least:
        kept.pop()
    return (*kept, knots[-1])
