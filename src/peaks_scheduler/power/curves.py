"""Power curves: what a node draws as a function of its CPU use, and the largest convex function below it.

Owns the four kinds of curve that a file can have; ``adjusted`` has them under present conditions. Each is a frozen
dataclass with ``watts(u)``, u = CPU utilisation as a fraction in [0, 1], its ``envelope`` and its ``gradient`` by the
parameters. Beyond full load the last piece continues. Assumes that the caller has checked a new curve
(``validity.flaw``). Pure: numpy and arithmetic.

The lower convex envelope of each kind is again one of the four kinds, so a decision stays one pass over an array:

    curve                                 its envelope
    exponential, k2 > 0                   itself
    exponential, k2 < 0                   the chord from no to full load: linear
    line, then exponential with k2 > 0    the line from idle to where it touches the exponential, then that
    line, then exponential with k2 < 0    the hull of the three points at 0, ``knee`` and 1: piecewise
    piecewise, linear                     the hull of the points: piecewise
    ... with a standby point              the same, for the curve that starts at (0, standby watts)

A node that may be switched off when empty then draws ``standby`` watts. With that point in the envelope, the first pod
on such a node is charged for its share of switching the node on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np

from peaks_scheduler.arrays import Floats

from .adjusted import Adjusted
from .hull import Points, hull, hull_chords

MAX_WATTS = 100_000.0
"""[W] the highest power that a curve or a sample may have."""
FAR = 1e9
"""The ``knee`` of curves without an exponential part: no utilisation reaches it."""


@dataclass(frozen=True, slots=True)
class CurveTerms:
    """One form for all kinds of curve, so that arrays of curves are evaluated at once:

    P(u) = base + k1*exp(k2*max(u, knee)) + slope*min(u, knee) + sum of bend*max(u - at, 0)
    """

    base: float  # [W]
    k1: float = 0.0  # [W]
    k2: float = 0.0  # [1] per unit of u
    knee: float = 0.0  # [1] a straight line before it, the exponential after it
    slope: float = 0.0  # [W] per unit of u, before the knee
    at: tuple[float, ...] = ()  # (K,) [1] where a piecewise curve changes its slope
    bend: tuple[float, ...] = ()  # (K,) [W] per unit of u: change of slope at each ``at``


@dataclass(frozen=True, slots=True)
class Exponential:
    """watts = k0 + k1*exp(k2*u). The Peaks plugin of scheduler-plugins takes u in percent: its k2 is ours / 100."""

    kind: ClassVar[str] = "exponential"
    parameters: ClassVar[tuple[str, ...]] = ("k0", "k1", "k2")

    k0: float  # [W]
    k1: float  # [W]
    k2: float  # [1] per unit of u

    def watts(self, u: float) -> float:
        """Power [W] at utilisation ``u`` [fraction]."""
        return self.k0 + self.k1 * math.exp(self.k2 * u)

    def gradient(self, u: Floats) -> Floats:
        """(3, M), the derivatives of ``watts`` by k0, k1, k2, at M utilisations."""
        e = np.exp(self.k2 * u)
        return np.stack([np.ones_like(e), e, self.k1 * u * e])

    def terms(self) -> CurveTerms:
        return CurveTerms(self.k0, self.k1, self.k2)

    def chords(self, standby: float | None = None) -> tuple[tuple[float, float], ...]:
        """Intervals of u, (from, to), where the envelope is a straight line and the curve is not."""
        if standby is None:
            return ((0.0, 1.0),) if self.k1 * self.k2 != 0.0 and self.k2 < 0.0 else ()
        end = _tangent(self, 0.0, _least(self.watts(0.0), standby))
        return ((0.0, end),) if end > 0.0 else ()

    def envelope(self, standby: float | None = None) -> Curve:
        """Largest convex curve below this one in [0, 1]; ``standby`` [W], if given, is its value at 0."""
        first = _least(self.watts(0.0), standby)
        return _with_line(self, self.chords(standby), first)


@dataclass(frozen=True, slots=True)
class IdleExponential:
    """A straight line from ``idle`` at no load to the exponential's value at ``knee``, the exponential beyond."""

    kind: ClassVar[str] = "idle-exponential"
    parameters: ClassVar[tuple[str, ...]] = ("idle", "k0", "k1", "k2")

    idle: float  # [W]
    k0: float  # [W]
    k1: float  # [W]
    k2: float  # [1] per unit of u
    knee: float = 0.1  # [1] ``from`` of the power model file; in (0, 1]

    @property
    def exponential(self) -> Exponential:
        return Exponential(self.k0, self.k1, self.k2)

    def watts(self, u: float) -> float:
        """Power [W] at utilisation ``u`` [fraction]."""
        if u >= self.knee:
            return self.exponential.watts(u)
        return self.idle + (self.exponential.watts(self.knee) - self.idle) * u / self.knee

    def gradient(self, u: Floats) -> Floats:
        """(4, M), the derivatives of ``watts`` by idle, k0, k1, k2, at M utilisations."""
        share = np.minimum(u / self.knee, 1.0)  # weight of the exponential's value at the knee
        return np.concatenate([[1.0 - share], share * self.exponential.gradient(np.maximum(u, self.knee))])

    def terms(self) -> CurveTerms:
        slope = (self.exponential.watts(self.knee) - self.idle) / self.knee
        return CurveTerms(self.k0 - slope * self.knee, self.k1, self.k2, self.knee, slope)

    def chords(self, standby: float | None = None) -> tuple[tuple[float, float], ...]:
        """Intervals of u, (from, to), where the envelope is a straight line, the curve's own included."""
        if self.k2 > 0.0 and self.k1 > 0.0:
            return ((0.0, _tangent(self.exponential, self.knee, _least(self.idle, standby))),)
        return hull_chords(self._points(standby))

    def envelope(self, standby: float | None = None) -> Curve:
        """Largest convex curve below this one in [0, 1]; ``standby`` [W], if given, is its value at 0."""
        if self.k2 > 0.0 and self.k1 > 0.0:
            return _with_line(self.exponential, self.chords(standby), _least(self.idle, standby))
        return _through(hull(self._points(standby)))

    def _points(self, standby: float | None) -> Points:
        return [(0.0, _least(self.idle, standby)), *((u, self.watts(u)) for u in sorted({self.knee, 1.0}))]


@dataclass(frozen=True, slots=True)
class Piecewise:
    """Straight lines through points; before the first and beyond the last point the outermost lines continue."""

    kind: ClassVar[str] = "piecewise"

    cpu: tuple[float, ...]  # (K,) [1] rising, within [0, 1]; K >= 2
    power: tuple[float, ...]  # (K,) [W] ``watts`` of the power model file

    @property
    def parameters(self) -> tuple[str, ...]:
        """Name for the watts at each point."""
        return tuple(f"watts at {u:g}" for u in self.cpu)

    def watts(self, u: float) -> float:
        """Power [W] at utilisation ``u`` [fraction]."""
        k = min(max(int(np.searchsorted(self.cpu, u)), 1), len(self.cpu) - 1)
        share = (u - self.cpu[k - 1]) / (self.cpu[k] - self.cpu[k - 1])
        return self.power[k - 1] + share * (self.power[k] - self.power[k - 1])

    def gradient(self, u: Floats) -> Floats:
        """(K, M), the derivatives of ``watts`` by the watts at each point, at M utilisations."""
        knots, u = np.asarray(self.cpu), np.asarray(u, np.float64)
        right = np.clip(np.searchsorted(knots, u), 1, len(knots) - 1)
        share = (u - knots[right - 1]) / (knots[right] - knots[right - 1])
        weights = np.zeros((len(knots), len(u)))
        every = np.arange(len(u))
        weights[right - 1, every], weights[right, every] = 1.0 - share, share
        return weights

    def terms(self) -> CurveTerms:
        slopes = [(w - v) / (y - x) for (x, v), (y, w) in pairwise(zip(self.cpu, self.power, strict=True))]
        bends = tuple(after - before for before, after in pairwise(slopes))
        return CurveTerms(self.power[0] - slopes[0] * self.cpu[0], 0.0, 0.0, FAR, slopes[0], self.cpu[1:-1], bends)

    def chords(self, standby: float | None = None) -> tuple[tuple[float, float], ...]:
        """Intervals of u, (from, to), of the envelope's straight pieces."""
        return hull_chords(self._points(standby))

    def envelope(self, standby: float | None = None) -> Curve:
        """Largest convex curve below this one in [0, 1]; ``standby`` [W], if given, is its value at 0."""
        return _through(hull(self._points(standby)))

    def _points(self, standby: float | None) -> Points:
        first = _least(self.watts(0.0), standby)
        inner = [(u, w) for u, w in zip(self.cpu, self.power, strict=True) if 0.0 < u < 1.0]
        return [(0.0, first), *inner, (1.0, self.watts(1.0))]


@dataclass(frozen=True, slots=True)
class Linear:
    """A straight line from ``idle`` at no load to ``max`` at full load."""

    kind: ClassVar[str] = "linear"
    parameters: ClassVar[tuple[str, ...]] = ("idle", "max")

    idle: float  # [W]
    max: float  # [W]

    def watts(self, u: float) -> float:
        """Power [W] at utilisation ``u`` [fraction]."""
        return self.idle + (self.max - self.idle) * u

    def gradient(self, u: Floats) -> Floats:
        """(2, M), the derivatives of ``watts`` by idle and max, at M utilisations."""
        u = np.asarray(u, np.float64)
        return np.stack([1.0 - u, u])

    def terms(self) -> CurveTerms:
        return CurveTerms(self.idle, 0.0, 0.0, FAR, self.max - self.idle)

    def chords(self, standby: float | None = None) -> tuple[tuple[float, float], ...]:
        """Whole range (0, 1), for any ``standby``."""
        return ((0.0, 1.0),)

    def envelope(self, standby: float | None = None) -> Curve:
        """Line itself, or the line that starts at ``standby`` [W] if given."""
        return Linear(_least(self.idle, standby), self.max)


FittedCurve = Exponential | IdleExponential | Piecewise | Linear
"""What a file can have."""
Curve = FittedCurve | Adjusted


# --- envelopes ------------------------------------------------------------------------------------------------------


def _through(points: Points) -> Curve:
    """Straight line through two points, or the straight pieces through more."""
    if len(points) == 2:
        return Linear(points[0][1], points[1][1])
    return Piecewise(tuple(u for u, _ in points), tuple(w for _, w in points))


def _least(idle: float, standby: float | None) -> float:
    """Envelope's power at no load. A node whose standby is above its idle power is never switched off."""
    return idle if standby is None else min(idle, standby)


def _with_line(curve: Exponential, chords: tuple[tuple[float, float], ...], first: float) -> Curve:
    """Line from (0, ``first``) to the end of the first chord, continued by the exponential."""
    if not chords:
        return curve
    end = chords[0][1]
    return Linear(first, curve.watts(1.0)) if end >= 1.0 else IdleExponential(first, curve.k0, curve.k1, curve.k2, end)


def _tangent(curve: Exponential, least: float, first: float) -> float:
    """U in [``least``, 1] where the line from (0, ``first``) touches a convex exponential; 1 if concave.

    There the slope of that line is least. Found by bisection on the sign of the slope's derivative, which changes once.
    """
    if curve.k2 <= 0.0:
        return 1.0

    def rises(u: float) -> bool:
        return u * curve.k1 * curve.k2 * math.exp(curve.k2 * u) >= curve.watts(u) - first

    low, high = least, 1.0
    if rises(low):
        return low
    if not rises(high):
        return 1.0
    while high - low > 1e-12:
        middle = (low + high) / 2.0
        low, high = (low, middle) if rises(middle) else (middle, high)
    return high
