"""Power curves: what a node draws as a function of its CPU use, and the largest convex function below it.

Owns the four kinds of curve. Each is a frozen dataclass with ``watts(u)``, u = CPU utilisation as a fraction in [0, 1],
its ``envelope`` and the ``gradient`` by its parameters. Beyond full load the last piece goes on. Assumes that whoever
makes a curve has checked it (``flaw``). Pure: numpy and arithmetic.

The lower convex envelope of any of them is again one of them, which is what keeps a decision one pass over an array:

    curve                                 its envelope
    exponential, k2 > 0                   itself
    exponential, k2 < 0                   the chord from no to full load: linear
    line, then exponential with k2 > 0    the line from idle to where it touches the exponential, then that
    line, then exponential with k2 < 0    the hull of the three points at 0, ``knee`` and 1: piecewise
    piecewise, linear                     the hull of the points: piecewise
    ... with a standby point              the same of the curve that starts at (0, standby watts)

A node that may be switched off when empty draws ``standby`` watts then; with that point in the envelope the first pod
pays its share of waking the node.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np

from peaks_scheduler.arrays import Floats

MAX_WATTS = 100_000.0
FAR = 1e9
"""A knee that no utilisation reaches: there is no exponential part."""


@dataclass(frozen=True, slots=True)
class Terms:
    """The one form that all curves have, for evaluating many of them at once:

    P(u) = base + k1*exp(k2*max(u, knee)) + slope*min(u, knee) + sum of bend*max(u - at, 0)
    """

    base: float  # [W]
    k1: float = 0.0  # [W]
    k2: float = 0.0  # [1] per unit of u
    knee: float = 0.0  # [1] a straight line before it, the exponential after it
    slope: float = 0.0  # [W] per unit of u, before the knee
    at: tuple[float, ...] = ()  # (K,) [1] where a piecewise curve changes its slope,
    bend: tuple[float, ...] = ()  # (K,) [W] per unit of u: and by how much


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
        """(3, M) derivatives of ``watts`` at the M utilisations by k0, k1, k2."""
        e = np.exp(self.k2 * u)
        return np.stack([np.ones_like(e), e, self.k1 * u * e])

    def terms(self) -> Terms:
        return Terms(self.k0, self.k1, self.k2)

    def chords(self, standby: float | None = None) -> tuple[tuple[float, float], ...]:
        """Where the envelope is a straight line beside the curve: (from, to), in order."""
        if standby is None:
            return ((0.0, 1.0),) if self.k1 * self.k2 != 0.0 and self.k2 < 0.0 else ()
        end = _tangent(self, 0.0, _least(self.watts(0.0), standby))
        return ((0.0, end),) if end > 0.0 else ()

    def envelope(self, standby: float | None = None) -> Curve:
        """The largest convex curve below this one, in [0, 1]; ``standby`` [W] is its value at 0 where given."""
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
        """(4, M) derivatives of ``watts`` at the M utilisations by idle, k0, k1, k2."""
        share = np.minimum(u / self.knee, 1.0)  # of the exponential's value
        return np.concatenate([[1.0 - share], share * self.exponential.gradient(np.maximum(u, self.knee))])

    def terms(self) -> Terms:
        slope = (self.exponential.watts(self.knee) - self.idle) / self.knee
        return Terms(self.k0 - slope * self.knee, self.k1, self.k2, self.knee, slope)

    def chords(self, standby: float | None = None) -> tuple[tuple[float, float], ...]:
        """Where the envelope is a straight line: (from, to), in order. The curve's own line counts."""
        if self.k2 > 0.0 and self.k1 > 0.0:
            return ((0.0, _tangent(self.exponential, self.knee, _least(self.idle, standby))),)
        return _hull_chords(self._points(standby))

    def envelope(self, standby: float | None = None) -> Curve:
        """The largest convex curve below this one, in [0, 1]; ``standby`` [W] is its value at 0 where given."""
        if self.k2 > 0.0 and self.k1 > 0.0:
            return _with_line(self.exponential, self.chords(standby), _least(self.idle, standby))
        return _through(hull(self._points(standby)))

    def _points(self, standby: float | None) -> Points:
        return [(0.0, _least(self.idle, standby)), *((u, self.watts(u)) for u in sorted({self.knee, 1.0}))]


@dataclass(frozen=True, slots=True)
class Piecewise:
    """Straight lines through points; before the first and beyond the last one the outermost lines go on."""

    kind: ClassVar[str] = "piecewise"

    cpu: tuple[float, ...]  # (K,) [1] rising, within [0, 1]; K >= 2
    power: tuple[float, ...]  # (K,) [W] ``watts`` of the power model file

    @property
    def parameters(self) -> tuple[str, ...]:
        """The watts at each point."""
        return tuple(f"watts at {u:g}" for u in self.cpu)

    def watts(self, u: float) -> float:
        """Power [W] at utilisation ``u`` [fraction]."""
        k = min(max(int(np.searchsorted(self.cpu, u)), 1), len(self.cpu) - 1)
        share = (u - self.cpu[k - 1]) / (self.cpu[k] - self.cpu[k - 1])
        return self.power[k - 1] + share * (self.power[k] - self.power[k - 1])

    def gradient(self, u: Floats) -> Floats:
        """(K, M) derivatives of ``watts`` at the M utilisations by the watts at each point."""
        knots, u = np.asarray(self.cpu), np.asarray(u, np.float64)
        right = np.clip(np.searchsorted(knots, u), 1, len(knots) - 1)
        share = (u - knots[right - 1]) / (knots[right] - knots[right - 1])
        weights = np.zeros((len(knots), len(u)))
        every = np.arange(len(u))
        weights[right - 1, every], weights[right, every] = 1.0 - share, share
        return weights

    def terms(self) -> Terms:
        slopes = [(w - v) / (y - x) for (x, v), (y, w) in pairwise(zip(self.cpu, self.power, strict=True))]
        bends = tuple(after - before for before, after in pairwise(slopes))
        return Terms(self.power[0] - slopes[0] * self.cpu[0], 0.0, 0.0, FAR, slopes[0], self.cpu[1:-1], bends)

    def chords(self, standby: float | None = None) -> tuple[tuple[float, float], ...]:
        """The pieces of the envelope: (from, to), in order."""
        return _hull_chords(self._points(standby))

    def envelope(self, standby: float | None = None) -> Curve:
        """The largest convex curve below this one, in [0, 1]; ``standby`` [W] is its value at 0 where given."""
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
        """(2, M) derivatives of ``watts`` at the M utilisations by idle and max."""
        u = np.asarray(u, np.float64)
        return np.stack([1.0 - u, u])

    def terms(self) -> Terms:
        return Terms(self.idle, 0.0, 0.0, FAR, self.max - self.idle)

    def chords(self, standby: float | None = None) -> tuple[tuple[float, float], ...]:
        """The whole of it, whatever ``standby`` is."""
        return ((0.0, 1.0),)

    def envelope(self, standby: float | None = None) -> Curve:
        """Itself, or the line from ``standby`` [W] where given."""
        return Linear(_least(self.idle, standby), self.max)


Curve = Exponential | IdleExponential | Piecewise | Linear
Points = list[tuple[float, float]]  # (u, watts), u rising

KINDS: dict[str, type[Exponential] | type[IdleExponential] | type[Piecewise] | type[Linear]] = {
    each.kind: each for each in (Exponential, IdleExponential, Piecewise, Linear)
}


# --- checking -------------------------------------------------------------------------------------------------------


def flaw(curve: Curve) -> str:
    """What makes a curve no power curve, in words; empty where nothing does. It must not fall, nor leave 0 to 100 kW
    anywhere between no and full load, nor be 0 throughout."""
    corners = _corners(curve)
    try:
        values = [curve.watts(u) for u in corners]
        # between two corners the slope has one sign: their values tell all
        falls = [(u, v) for (u, a), (v, b) in pairwise(zip(corners, values, strict=True)) if b < a]
    except OverflowError:
        values, falls = [math.inf], []
    if falls:
        return f"a curve that never falls; it falls between {falls[0][0]:g} and {falls[0][1]:g} of full load"
    low, high = min(values), max(values)
    if not 0.0 <= low <= high <= MAX_WATTS or high == 0.0:
        return (
            f"a power between 0 and {MAX_WATTS:,.0f} W that is not 0 throughout; the curve gives "
            f"{values[0]:g} W at no load and {values[-1]:g} W at full load"
        )
    return ""


def _corners(curve: Curve) -> list[float]:
    inner: Sequence[float] = ()
    if isinstance(curve, Piecewise):
        inner = curve.cpu
    elif isinstance(curve, IdleExponential):
        inner = (curve.knee,)
    return sorted({0.0, *(u for u in inner if 0.0 < u < 1.0), 1.0})


# --- envelopes ------------------------------------------------------------------------------------------------------


def hull(points: Points) -> Points:
    """The lower convex hull of points, by Andrew's monotone chain: those of them that it keeps."""
    kept: Points = []
    for u, w in points:
        while len(kept) >= 2 and _turns_down(kept[-2], kept[-1], (u, w)):
            kept.pop()
        kept.append((u, w))
    return kept


def _turns_down(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> bool:
    """Is b on or above the line from a to c?"""
    return (b[1] - a[1]) * (c[0] - a[0]) >= (c[1] - a[1]) * (b[0] - a[0])


def _hull_chords(points: Points) -> tuple[tuple[float, float], ...]:
    return tuple((a, b) for (a, _), (b, _) in pairwise(hull(points)))


def _through(points: Points) -> Curve:
    if len(points) == 2:
        return Linear(points[0][1], points[1][1])
    return Piecewise(tuple(u for u, _ in points), tuple(w for _, w in points))


def _least(idle: float, standby: float | None) -> float:
    """Where the envelope starts: a standby above idle would be no reason to switch off."""
    return idle if standby is None else min(idle, standby)


def _with_line(curve: Exponential, chords: tuple[tuple[float, float], ...], first: float) -> Curve:
    """The line from (0, ``first``) to the end of the chord, then the exponential."""
    if not chords:
        return curve
    end = chords[0][1]
    return Linear(first, curve.watts(1.0)) if end >= 1.0 else IdleExponential(first, curve.k0, curve.k1, curve.k2, end)


def _tangent(curve: Exponential, least: float, first: float) -> float:
    """Where in [``least``, 1] the line from (0, ``first``) touches a convex exponential, 1 for a concave one: the point
    of the least slope from there. Bisection on the sign of the slope's change, which rises with u."""
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
