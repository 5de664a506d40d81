"""The families of curves that can be fitted: the four kinds of curve in one form, with bounds and starts.

Every family is P(u) = B(u, shape) @ c with rises c that are never negative, so no curve of a family ever falls:

    family            c [W]                                       shape
    exponential       P(0), rise from 0 to 1                      k2
    idle-exponential  P(0), rise from 0 to the knee, the rest     k2
    piecewise         P(0), rise from each knot to the next       none
    linear            P(0), rise from 0 to 1                      none

At k2 = 0 the exponential is a straight line in this form, where its own parameters k0 and k1 would be infinite. Only
the shape is not linear. For a given shape the best c has a closed form, so a scan over many shapes at once finds the
starts for least squares (variable projection, Golub and Pereyra 1973). Assumes samples without NaN. Pure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from peaks_scheduler.arrays import Floats, Ints
from peaks_scheduler.power.curves import MAX_WATTS, Curve, Exponential, IdleExponential, Linear, Piecewise

from .least_squares import robust_scale, soft_l1_weights
from .samples import LEVEL_WIDTH, load_levels

KNEE = 0.1  # [1] end of the straight line of idle-exponential: the lowest level above idle that is usually measured
NEAR_IDLE = 0.05  # [1] idle-exponential needs a sample below this, or its idle power would be a guess
MAX_SHAPE = 20.0  # largest |k2|: then the rise is complete but for e^-20 of it
MIN_SHAPE = 0.003  # smallest |k2|: below, the curve is straight to 0.04 % of its rise, and k0 and k1 lose their digits
MAX_KNOTS = 6
_LEVELS = {"linear": 2, "exponential": 3, "piecewise": 6, "idle-exponential": 4}  # least number of load levels
_MEASURE = "measure at more of them"
FAMILIES = ("linear", "exponential", "piecewise", "idle-exponential")
"""The simplest first: of two equally good families the first is taken."""

_SHAPES = np.concatenate([-np.geomspace(MAX_SHAPE, 0.05, 24), [0.0], np.geomspace(0.05, MAX_SHAPE, 24)])
_SCANS = 20  # most iterations of the weights
_ZOOMS = 4  # refinements; each divides the distance between neighbouring shapes by four


@dataclass(frozen=True, slots=True)
class CurveFamily:
    """One kind of curve with the knots for one set of samples."""

    name: str
    knots: tuple[float, ...]  # [1] where the straight pieces end; () for the exponential
    shaped: bool  # does an exponential follow the last knot?

    @property
    def rises(self) -> int:
        """Number of linear parameters c."""
        return max(len(self.knots), 1) + self.shaped

    @property
    def parameters(self) -> int:
        """Number of parameters, shape included."""
        return self.rises + self.shaped

    def bounds(self, watts: Floats) -> tuple[Floats, Floats]:
        """((P,) low, (P,) high) of c [W] and shape [1]."""
        top = float(watts.max())
        #                  least                    most
        table = [
            (0.0, min(2.0 * top, MAX_WATTS)),  # P(0)
            *[(1e-9 * top, min(10.0 * top, MAX_WATTS))] * (self.rises - 1),  # rises; not quite 0, against rounding
            *[(-MAX_SHAPE, MAX_SHAPE)] * self.shaped,
        ]
        low, high = np.array(table).T
        return low, high

    def basis(self, u: Floats, shape: float | Floats) -> Floats:
        """B(u, shape) for one shape or many. u (S,), shape (...) -> (..., S, L), L the number of rises."""
        first = self.knots[-1] if self.knots else 0.0
        shape = np.asarray(shape if self.shaped else 0.0, np.float64)
        columns = np.empty((*shape.shape, len(u), self.rises))
        columns[..., 0] = 1.0
        for i, ramp in enumerate(self._ramps(u), 1):
            columns[..., i] = ramp
        if self.shaped:
            columns[..., -1] = _bent(np.maximum(u - first, 0.0), 1.0 - first, shape[..., None])
        return columns

    def _ramps(self, u: Floats) -> list[Floats]:
        """A column (S,) for each piece: 0 before it, 1 after it. The last one continues if no exponential follows."""
        ramps = [(u - a) / (b - a) for a, b in zip(self.knots[:-1], self.knots[1:], strict=True)]
        tops = [1.0] * len(ramps) if self.shaped else [*[1.0] * (len(ramps) - 1), np.inf]
        return [np.clip(ramp, 0.0, top) for ramp, top in zip(ramps, tops, strict=True)]

    def watts(self, u: Floats, parameters: Floats) -> Floats:
        """Power at the S utilisations. (S,) [fraction], (P,) -> (S,) [W]."""
        return self.basis(u, float(parameters[-1])) @ parameters[: self.rises]

    def jacobian(self, u: Floats, parameters: Floats) -> Floats:
        """(S, P) derivatives of ``watts`` by the P parameters."""
        shape = float(parameters[-1])
        columns = self.basis(u, shape)
        if not self.shaped:
            return columns
        first = self.knots[-1] if self.knots else 0.0
        slope = _bent_slope(np.maximum(u - first, 0.0), 1.0 - first, shape)
        return np.column_stack([columns, parameters[self.rises - 1] * slope])

    def curve(self, parameters: Floats) -> Curve:
        """The curve with its own parameters (k0, k1, k2, ...)."""
        c = [float(each) for each in parameters[: self.rises]]
        if not self.shaped:
            levels = np.cumsum(c).tolist()
            return Linear(*levels) if len(levels) == 2 else Piecewise(self.knots, tuple(levels))
        k2 = _no_straight_line(float(parameters[-1]))
        first = self.knots[-1] if self.knots else 0.0
        part = c[-1] / math.expm1(k2 * (1.0 - first))
        k0, k1 = sum(c[:-1]) - part, part * math.exp(-k2 * first)
        return IdleExponential(c[0], k0, k1, k2, first) if self.knots else Exponential(k0, k1, k2)

    def at_bounds(self, parameters: Floats, watts: Floats) -> tuple[str, ...]:
        """The parameters that lie at a bound, in words. A flat piece of a piecewise curve does not count."""
        names = {0: "the power at no load"} | ({self.rises - 1: "the rise", self.rises: "k2"} if self.shaped else {})
        low, high = self.bounds(watts)
        near = 1e-6 * (high - low)
        stopped = (parameters <= low + near) | (parameters >= high - near)
        return tuple(f"{names[i]} = {parameters[i]:.4g}" for i in np.flatnonzero(stopped).tolist() if i in names)


def family_for(name: str, cpu: Floats) -> CurveFamily | str:
    """The family ``name`` for samples at (S,) utilisations; or in words why it cannot be fitted to them."""
    levels = load_levels(cpu)
    count, needed = int(levels.max()) + 1, _LEVELS[name]
    if count < needed:
        return f"{name} needs samples at {needed} load levels or more; there are {count}: {_MEASURE}"
    if name == "idle-exponential":
        return _lacks_idle(cpu, levels) or CurveFamily(name, (0.0, KNEE), True)
    if name == "exponential":
        return CurveFamily(name, (), True)
    return CurveFamily(name, _knots(cpu, levels) if name == "piecewise" else (0.0, 1.0), False)


def _lacks_idle(cpu: Floats, levels: Ints) -> str:
    """Why the samples are not enough for idle-exponential; empty where they are."""
    if float(cpu.min()) > NEAR_IDLE:
        return (
            f"idle-exponential needs samples at or near idle (at most {NEAR_IDLE:.0%} load); the lowest is "
            f"{float(cpu.min()):.0%}: measure the node idle, or take another model"
        )
    above = len(np.unique(levels[cpu >= KNEE]))
    if above < 3:
        return f"idle-exponential needs samples at 3 load levels from {KNEE:.0%} on; there are {above}: {_MEASURE}"
    return ""


def _knots(cpu: Floats, levels: Ints) -> tuple[float, ...]:
    """The knots of a piecewise curve for samples at these utilisations; at most half as many knots as load levels.

    They are 0, 1, the end of the line from idle (if idle was measured), and others spread evenly over the load levels,
    at round numbers where the levels are far enough apart. The knots do not depend on the watts, so the curve is linear
    in its parameters, and its intervals are exact for a curve that is straight between the knots. (Knots chosen by the
    watts fit some curves better, but then the 95 % intervals contain the truth in only 40 to 85 of 100 cases.)
    """
    means = np.bincount(levels, cpu) / np.bincount(levels)
    first = [KNEE] if float(cpu.min()) <= NEAR_IDLE and float(cpu.max()) > 0.5 else []
    rest = means[means > (first[-1] if first else 0.0)]
    inner = min(len(means) // 2, MAX_KNOTS) - 2 - len(first)
    places = np.linspace(-1.0 if first else 0.0, len(rest) - 1.0, inner + 2)[1:-1]
    spread = np.interp(places, np.arange(len(rest)), rest)
    if len(spread) > 0 and float(np.ptp(cpu)) >= 0.5:
        spread = np.round(spread / LEVEL_WIDTH) * LEVEL_WIDTH
    inner_knots = sorted({round(float(u), 6) for u in spread if (first or [0.0])[0] + 0.02 < u < 0.98})
    return (0.0, *first, *inner_knots, 1.0)


# --- the exponential between 0 and its span -------------------------------------------------------------------------


def _bent(v: Floats, span: float, k2: Floats) -> Floats:
    """expm1(k2 v) / expm1(k2 span): 0 at v = 0, 1 at v = span; at k2 = 0 the straight line v / span."""
    straight = np.abs(k2) < 1e-6
    k2 = np.where(straight, 1.0, k2)
    bent: Floats = np.where(straight, v / span, np.expm1(k2 * v) / np.expm1(k2 * span))
    return bent


def _bent_slope(v: Floats, span: float, k2: float) -> Floats:
    """(S,) derivative of ``_bent`` by k2."""
    if abs(k2) < 1e-4:
        # the limit for k2 -> 0; the next term is 1e-4 of it, and the formula below loses as many digits there
        return v * (v - span) / (2.0 * span)
    whole = math.expm1(k2 * span)
    slope: Floats = (v * np.exp(k2 * v) - np.expm1(k2 * v) / whole * span * math.exp(k2 * span)) / whole
    return slope


def _no_straight_line(k2: float) -> float:
    """k2, at least MIN_SHAPE away from 0."""
    return math.copysign(max(abs(k2), MIN_SHAPE), k2)


# --- the scan over shapes -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Scan:
    """Weighted least squares for G shapes at once, on S samples with L rises."""

    shapes: Floats  # (G,) [1]; a single 0 for families without shape
    basis: Floats  # (G, S, L)
    weights: Floats  # (S,) of the robust loss at the best shape
    c: Floats  # (G, L) [W] best rises for each shape
    costs: Floats  # (G,) [W^2] weighted sum of squared residuals
    residuals: Floats  # (S,) [W] at the best shape
    scale: float  # [W] robust scale of the residuals

    @property
    def starts(self) -> Floats:
        """(M, P) parameters at the at most two deepest minima over the shapes."""
        padded = np.concatenate([[np.inf], self.costs, [np.inf]])
        minima = np.flatnonzero((padded[1:-1] <= padded[:-2]) & (padded[1:-1] <= padded[2:]))
        best = minima[np.argsort(self.costs[minima], kind="stable")][:2]
        return np.column_stack([self.c[best], self.shapes[best]]) if len(self.shapes) > 1 else self.c[best]


def scan(family: CurveFamily, u: Floats, watts: Floats) -> Scan:
    """Fit all shapes by weighted least squares, then refine the shapes near the best one. u (S,), watts (S,) [W].

    The weights are those of soft-L1 for the residuals at the best shape.
    """
    shapes = _SHAPES if family.shaped else np.zeros(1)
    basis = family.basis(u, shapes) if family.shaped else family.basis(u, 0.0)[None]
    weights, scale = np.ones_like(watts), math.inf
    for _ in range(_SCANS):
        c, costs = solve(*normal(basis, weights, watts))
        best = int(np.argmin(costs))
        residuals = watts - basis[best] @ c[best]
        before, scale = scale, max(robust_scale(residuals, family.parameters), 1e-9 * float(watts.max()), 1e-300)
        if abs(scale - before) <= 0.01 * scale:
            break
        weights = soft_l1_weights(residuals, scale)
    for _ in range(_ZOOMS if family.shaped else 0):
        closer = _between(shapes, int(np.argmin(costs)))
        more = family.basis(u, closer)
        both = [shapes, closer], [basis, more], *zip((c, costs), solve(*normal(more, weights, watts)), strict=True)
        order = np.argsort(np.concatenate(both[0]), kind="stable")
        shapes, basis, c, costs = (np.concatenate(parts)[order] for parts in both)
    best = int(np.argmin(costs))
    return Scan(shapes, basis, weights, c, costs, watts - basis[best] @ c[best], scale)


def _between(shapes: Floats, best: int) -> Floats:
    """(M,) new shapes between the best one and its neighbours."""
    near = shapes[max(best - 1, 0) : best + 2]
    parts = [np.linspace(a, b, 5)[1:-1] for a, b in pairwise(near.tolist())]
    return np.concatenate(parts)


def normal(basis: Floats, weights: Floats, watts: Floats) -> tuple[Floats, Floats, float]:
    """The normal equations B'WB (G, L, L), B'Wy (G, L) and y'Wy (scalar)."""
    weighted = basis * weights[:, None]
    moments = np.swapaxes(weighted, -1, -2)
    return moments @ basis, moments @ watts, float(weights @ watts**2)


def solve(squares: Floats, products: Floats, total: float | Floats) -> tuple[Floats, Floats]:
    """Solve the normal equations of weighted least squares: ((..., L) c, (...) sums of squared residuals)."""
    size = squares.shape[-1]
    scale = np.trace(squares, axis1=-2, axis2=-1)[..., None, None]
    c = np.linalg.solve(squares + 1e-12 * scale * np.eye(size), products[..., None])[..., 0]
    # c may be below 0 here, which a curve must not be: that is rare, and bounded least squares follows
    return c, total - (products * c).sum(axis=-1)
