"""The covariance of a fitted curve's own parameters, also for samples that are correlated in time.

The covariance is in the order of ``curve.parameters``, for watts and fractions. Pure.
"""

from __future__ import annotations

import math

import numpy as np

from peaks_scheduler.arrays import Floats
from peaks_scheduler.power.curves import Curve

from .least_squares import Solution, covariance

Covariance = tuple[tuple[float, ...], ...]

_MOST = 0.98  # largest autocorrelation: then 99 samples are worth one independent sample
_GAP = 1.5  # median steps: two samples further apart do not count as neighbours


def curve_covariance(curve: Curve, cpu: Floats, solution: Solution, autocorrelation: float) -> Covariance | None:
    """(P, P) covariance of the curve's parameters; None where the samples do not determine them.

    Computed from the curve's own gradient at the samples, so it does not depend on the parameters that were fitted.
    For residuals with lag-1 autocorrelation r it is multiplied by (1 + r)/(1 - r). That is right where load changes as
    slowly as the residuals do, and too large where load changes faster.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        matrix = covariance(curve.gradient(cpu).T, solution.residuals, solution.scale)
        matrix = matrix * (1.0 + autocorrelation) / (1.0 - autocorrelation)
    if not np.all(np.isfinite(matrix)):
        return None
    return tuple(tuple(float(each) for each in row) for row in matrix)


def autocorrelation(time: Floats | None, residuals: Floats) -> float:
    """Lag-1 autocorrelation of the residuals, in [0, 0.98]. (S,) [s] and (S,); pairs with a gap between do not count.

    0 for samples without times, and where it is not significantly above 0 (two standard errors of 1/sqrt(pairs)).
    """
    if time is None or len(time) < 10:
        return 0.0
    steps = np.diff(time)
    follows = steps <= _GAP * float(np.median(steps))
    pairs, power = int(follows.sum()), float(np.mean(residuals**2))
    if pairs < 10 or power == 0.0:
        return 0.0
    ratio = float(np.mean(residuals[:-1][follows] * residuals[1:][follows])) / power
    return min(ratio, _MOST) if ratio > 2.0 / math.sqrt(pairs) else 0.0
