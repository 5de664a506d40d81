"""The curves of N nodes as one array, and the power of all nodes at once.

Owns the layout of that array (``CurveTerms`` as rows) and the arithmetic on it. ``CurveRows`` is the growing store in
the ledger, ``CurveTable`` a read-only view of it: index i is the same node in both. Assumes that utilisations are not
negative. Never checks a curve. A node without a curve has NaN in its first rows, and so in every result.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from peaks_scheduler.arrays import Floats, Ints, Mask

from .curves import Curve

_HEAD = ("base", "k1", "k2", "knee", "slope")
_EMPTY = np.array([np.nan, np.nan, np.nan, 0.0, 0.0])


@dataclass(frozen=True, eq=False)
class CurveTable:
    """N curves: P(u) = base + k1*exp(k2*max(u, knee)) + slope*min(u, knee) + sum of bend*max(u - at, 0)."""

    rows: Floats  # (5 + 2K, N): the first five of ``CurveTerms``, K ``at`` [1] (inf: unused), K ``bend`` [W]

    @property
    def base(self) -> Floats:
        """(N,) [W]; NaN = the node has no model."""
        row: Floats = self.rows[0]
        return row

    @property
    def k1(self) -> Floats:
        """(N,) [W]; 0 where there is no exponential part, NaN = no model."""
        row: Floats = self.rows[1]
        return row

    @property
    def k2(self) -> Floats:
        """(N,) [1] per unit of u; NaN = no model."""
        row: Floats = self.rows[2]
        return row

    @property
    def knee(self) -> Floats:
        """(N,) [1] end of the straight line before the exponential; ``curves.FAR`` where there is no exponential."""
        row: Floats = self.rows[3]
        return row

    @property
    def slope(self) -> Floats:
        """(N,) [W] per unit of u, of the line before the knee."""
        row: Floats = self.rows[4]
        return row

    @cached_property
    def bent(self) -> Ints:
        """(B,) indices of the curves with a bend: piecewise curves of more than one piece."""
        return np.flatnonzero((self.rows[5 + self._knots :] != 0.0).any(axis=0))

    @cached_property
    def one_way(self) -> bool:
        """Is every curve a plain exponential, without a line before the knee and without bends?"""
        return not self.bent.size and not bool(np.any(self.knee > 0.0))

    @cached_property
    def straight(self) -> bool:
        """Does every curve consist of straight lines, as far as the nodes have one?"""
        return not bool(np.any((self.k1 != 0.0) & ~np.isnan(self.k1)))

    @cached_property
    def _curved(self) -> tuple[Ints, _Exponentials]:
        """(E,) indices of the curves with an exponential part or NaN, and these curves."""
        where = np.flatnonzero(self.k1 != 0.0)
        k1, k2, knee, slope = self.rows[1:5].take(where, axis=1)
        return where, _Exponentials(k1, k2, knee, slope, lined=bool(np.any(knee > 0.0)))

    @cached_property
    def _points(self) -> tuple[Floats, Floats]:
        """((K, B) at, (K, B) bend) of the curves with a bend."""
        k = self._knots
        if self.bent.size == self.rows.shape[1]:
            return self.rows[5 : 5 + k], self.rows[5 + k :]
        # take, not an index: an index stores each curve's numbers side by side, and the arithmetic took twice as long
        return self.rows[5 : 5 + k].take(self.bent, axis=1), self.rows[5 + k :].take(self.bent, axis=1)

    @cached_property
    def _turning(self) -> Mask:
        """(N,) is the curve anything but a plain exponential?"""
        turning: Mask = self.knee > 0.0
        turning[self.bent] = True
        return turning

    @property
    def _knots(self) -> int:
        return (len(self.rows) - 5) // 2

    def of(self, nodes: Ints) -> CurveTable:
        """The curves of these nodes. (M,) indices."""
        # no take: of a view of the store it copies every row first
        return CurveTable(np.ascontiguousarray(self.rows[:, nodes]))

    def watts(self, u: Floats) -> Floats:
        """Power of each node at its utilisation ``u``. (N,) fraction -> (N,) [W]."""
        with np.errstate(over="ignore", invalid="ignore"):
            power = (
                self.base + self.k1 * np.exp(self.k2 * np.maximum(u, self.knee)) + self.slope * np.minimum(u, self.knee)
            )
            if self.bent.size:
                at, bend = self._points
                power[self.bent] += (bend * np.maximum(u[self.bent] - at, 0.0)).sum(axis=0)
        return power

    def rise(self, u: Floats, step: Floats) -> Floats:
        """Rise of each node's power if its utilisation goes from ``u`` to ``u + step``. (N,) fractions -> (N,) [W].

        Written with expm1: the base cancels, so the rise of a small pod keeps its digits.
        """
        with np.errstate(over="ignore", invalid="ignore"):  # far beyond full load, where a node is ranked last anyway
            if self.one_way:
                return _exponential_rise(self.k1, self.k2, u, step)
            rise = self.slope * step
            where, curves = self._curved
            if where.size:
                rise[where] = curves.rise(u[where], step[where])
            if self.bent.size == rise.size:
                rise += self._bends(u, step)
            elif self.bent.size:
                rise[self.bent] += self._bends(u[self.bent], step[self.bent])
        return rise

    def _bends(self, u: Floats, step: Floats) -> Floats:
        """(B,) [W] part of the rise that the bends add."""
        at, bend = self._points
        over = u + step - at
        np.minimum(over, step, out=over)
        np.maximum(over, 0.0, out=over)
        added: Floats = np.einsum("kb,kb->b", over, bend)
        return added

    def chord_end(self, u: Floats) -> Floats:
        """End of the straight piece that ``u`` lies on, for a table of envelopes. (N,) fractions -> (N,) fractions.

        1 where the piece reaches full load, ``u`` itself where ``u`` lies beyond the straight pieces.
        """
        end = np.where(self.k1 == 0.0, 1.0, self.knee)
        k = self._knots
        if k:
            at = self.rows[5 : 5 + k]
            end = np.minimum(end, np.where(at > u, at, 1.0).min(axis=0))
        return np.maximum(end, u)

    def largest_rise(self, low: Floats, high: Floats, step: Floats) -> Floats:
        """The largest ``rise`` from any use between ``low`` and ``high``. (N,) fractions -> (N,) [W].

        Pass the same array for both where every use is known. A plain exponential bends one way: with k2 > 0 (convex)
        the rise grows with u, with k2 < 0 it falls, so the largest is at one end. For other curves the rise is also
        computed wherever it may have a maximum in between.
        """
        if low is high:
            return self.rise(high, step)
        largest = self.rise(np.where(self.k2 > 0.0, high, low), step)
        turning = np.flatnonzero((low < high) & self._turning)
        if turning.size:
            some = self.of(turning)
            for u in some._turns(step[turning]):
                within = np.clip(np.nan_to_num(u, nan=0.0, posinf=0.0), low[turning], high[turning])
                largest[turning] = np.fmax(largest[turning], some.rise(within, step[turning]))
        return largest

    def _turns(self, step: Floats) -> list[Floats]:
        """Utilisations where the rise may have its maximum, apart from the ends of the range. Each (N,), some NaN.

        These are where a piece of the curve begins or ends at the start or at the end of the step, and where the slope
        of the line equals the slope of the exponential at the end of the step.
        """
        k = self._knots
        with np.errstate(divide="ignore", invalid="ignore"):
            equal_slope = np.log(self.slope / (self.k1 * self.k2)) / self.k2 - step
        corners = [self.knee, *self.rows[5 : 5 + k]]
        return [np.zeros_like(step), np.full_like(step, np.inf), equal_slope, *corners, *(at - step for at in corners)]


@dataclass(frozen=True, slots=True, eq=False)
class _Exponentials:
    """E curves with an exponential part; the rows are those of ``CurveTable``."""

    k1: Floats
    k2: Floats
    knee: Floats
    slope: Floats
    lined: bool
    """Does any of them have a line before the knee?"""

    def rise(self, u: Floats, step: Floats) -> Floats:
        """(E,) [W]; NaN without a model."""
        if not self.lined:
            return _exponential_rise(self.k1, self.k2, u, step)
        after = u + step
        start = np.maximum(u, self.knee)
        rise = _exponential_rise(self.k1, self.k2, start, np.maximum(after, self.knee) - start)
        rise += self.slope * (np.minimum(after, self.knee) - np.minimum(u, self.knee))
        return rise


def _exponential_rise(k1: Floats, k2: Floats, u: Floats, step: Floats) -> Floats:
    """k1*exp(k2*(u + step)) - k1*exp(k2*u), without cancellation."""
    rise = np.expm1(k2 * step)
    rise *= k1
    rise *= np.exp(k2 * u)
    return rise


def column_of(curve: Curve) -> Floats:
    """A curve as a column of ``CurveRows``, (5 + 2K,)."""
    terms = curve.terms()
    return np.array([*(getattr(terms, name) for name in _HEAD), *terms.at, *terms.bend])


class CurveRows:
    """The growing store behind ``CurveTable``; its owner moves and grows its columns with its other arrays."""

    def __init__(self, capacity: int) -> None:
        self.rows: Floats = np.repeat(_EMPTY[:, None], capacity, axis=1)

    def write(self, i: int, curve: Curve | None) -> None:
        """Set the curve of node i; None: it has no curve."""
        self.put(i, _EMPTY if curve is None else column_of(curve))

    def put(self, i: int, column: Floats) -> None:
        """Set the curve of node i to this column, (5 + 2K,), of any K."""
        own = (len(column) - 5) // 2
        self._widen(own)
        knots = (len(self.rows) - 5) // 2
        self.rows[:5, i] = column[:5]
        self.rows[5 : 5 + own, i], self.rows[5 + own : 5 + knots, i] = column[5 : 5 + own], np.inf
        self.rows[5 + knots : 5 + knots + own, i], self.rows[5 + knots + own :, i] = column[5 + own :], 0.0

    def move(self, source: int, target: int) -> None:
        """Copy the curve of node ``source`` to node ``target``."""
        self.rows[:, target] = self.rows[:, source]

    def grow(self, more: int) -> None:
        """Make room for ``more`` nodes, which have no curve."""
        new = CurveRows(more)
        new._widen((len(self.rows) - 5) // 2)
        self.rows = np.concatenate([self.rows, new.rows], axis=1)

    def view(self, n: int) -> CurveTable:
        """The first n curves, read-only."""
        rows = self.rows[:, :n]
        rows.flags.writeable = False
        return CurveTable(rows)

    def _widen(self, knots: int) -> None:
        have = (len(self.rows) - 5) // 2
        if knots <= have:
            return
        shape = (knots - have, self.rows.shape[1])
        head, at, bend = np.split(self.rows, [5, 5 + have])
        self.rows = np.concatenate([head, at, np.full(shape, np.inf), bend, np.zeros(shape)])
