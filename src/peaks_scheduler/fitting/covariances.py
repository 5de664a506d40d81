"""How well a curve's own parameters are known.

Owns the covariance in the order of ``curve.parameters``, in watts and fractions, and what samples are worth that follow
one another in time. Pure.
"""

from __future__ import annotations

import math

import numpy as np

from peaks_scheduler.arrays import Floats
from peaks_scheduler.power.curves import Curve

from .engine import Solution, covariance

Covariance = tuple[tuple[float, ...], ...]

_MOST = 0.98  # of the autocorrelation: as many as 99 samples are then worth one
_GAP = 1.5  # two samples follow one another when they are at most so many median steps apart


def curve_covariance(curve: Curve, cpu: Floats, solution: Solution, autocorrelation: float) -> Covariance | None:
    """(P, P) of the curve's parameters; None where the samples do not determine them.

    From the curve's own gradient at the samples, so it holds whatever parameters the fit was done in. Times
    (1 + r)/(1 - r) for residuals with lag-1 autocorrelation r: right where load changes as slowly as the residuals do,
    too cautious where it changes faster.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        matrix = covariance(curve.gradient(cpu).T, solution.residuals, solution.scale)
        matrix = matrix * (1.0 + autocorrelation) / (1.0 - autocorrelation)
    if not np.all(np.isfinite(matrix)):
        return None
    return tuple(tuple(float(each) for each in row) for row in matrix)


def autocorrelation(time: Floats | None, residuals: Floats) -> float:
    """Lag-1 autocorrelation of the residuals, 0 without an order in time and where it is not significantly above 0
    (two standard errors, 1/sqrt(pairs)). Pairs with a gap between them do not count."""
    if time is None or len(time) < 10:
        return 0.0
    steps = np.diff(time)
    follows = steps <= _GAP * float(np.median(steps))
    pairs, power = int(follows.sum()), float(np.mean(residuals**2))
    if pairs < 10 or power == 0.0:
        return 0.0
    ratio = float(np.mean(residuals[:-1][follows] * residuals[1:][follows])) / power
    return min(ratio, _MOST) if ratio > 2.0 / math.sqrt(pairs) else 0.0
