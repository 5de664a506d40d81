"""Robust linear least squares with parameters that are never negative, and their covariance. Knows nothing of power.

Owns the call of ``scipy.optimize.nnls`` (Lawson and Hanson 1974). The robust loss is soft-L1 as in ``least_squares``,
by iterated weights. Samples may have weights of their own, for example by their age. Pure.

The covariance is that of the unbounded problem: a bound that holds makes the errors smaller, never larger. For
residuals with lag-1 autocorrelation r it is multiplied by (1 + r)/(1 - r), as in ``covariances``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from peaks_scheduler.arrays import Floats

from .covariances import autocorrelation
from .least_squares import robust_scale, soft_l1_weights

FORGOTTEN = 1e-3
"""Weights below, relative to the largest, are left out: all of them together do not matter, but they cost time."""
_TURNS = 6  # most updates of the robust weights
_SETTLED = 0.01  # relative change of the scale, from which on the weights are not updated again
_CONDITION = 1e-6  # of columns of length one: below it they count as dependent


@dataclass(frozen=True, slots=True, eq=False)
class NonNegative:
    """The solution for S samples and P parameters. ``residuals`` and ``weights`` have the samples in use only."""

    parameters: Floats  # (P,) >= 0
    covariance: Floats  # (P, P); inf where the samples do not determine the parameters
    residuals: Floats  # (U,) y - columns @ parameters
    weights: Floats  # (U,) as given
    scale: float  # robust scale of the residuals
    noise: float  # standard deviation of the residuals, without the part beyond the robust loss' reach
    ratio: float  # lag-1 autocorrelation of the residuals; 0 where it is not significant
    degrees: int  # of freedom, at least 1: of as many independent samples as they are worth

    def deviations(self, columns: Floats) -> Floats:
        """(M,) standard deviations of new samples around their predictions: noise and errors of the parameters."""
        of_parameters = np.maximum(((columns @ self.covariance) * columns).sum(axis=1), 0.0)
        spread: Floats = np.sqrt(self.noise**2 + of_parameters)
        return spread


def nonnegative_fit(
    columns: Floats,
    y: Floats,
    time: Floats | None = None,
    weights: Floats | None = None,
    start: Floats | None = None,
) -> NonNegative:
    """The parameters >= 0 for which ``columns @ parameters`` is closest to ``y``.

    columns (S, P); y (S,); time (S,) rising, for the autocorrelation; weights (S,) of the samples, None: all alike;
    start (P,): parameters that are about right, which saves time.
    """
    given = np.ones(len(y)) if weights is None else weights
    used = given >= FORGOTTEN * float(given.max())
    columns, y, given = columns[used], y[used], given[used]
    floor = max(1e-9 * float(np.abs(y).max()), 1e-300)
    robust, scale = np.ones(len(y)), math.inf
    if start is not None:
        residuals = y - columns @ start
        scale = max(robust_scale(residuals, columns.shape[1]), floor)
        robust = soft_l1_weights(residuals, scale)
    for _ in range(_TURNS):
        parameters = bounded(columns, y, given * robust)
        residuals = y - columns @ parameters
        before, scale = scale, max(robust_scale(residuals, columns.shape[1]), floor)
        if abs(scale - before) <= _SETTLED * scale:
            break
        robust = soft_l1_weights(residuals, scale)
    ratio = autocorrelation(None if time is None else time[used], residuals)
    worth = float(given.sum()) ** 2 / float(given @ given)
    degrees = max(round(worth * (1.0 - ratio) / (1.0 + ratio)) - columns.shape[1], 1)
    spread = _spread(residuals, scale, given, worth, columns.shape[1])
    covariance = spread[1] * (1.0 + ratio) / (1.0 - ratio) * _sandwich(columns, given)
    return NonNegative(parameters, covariance, residuals, given, scale, spread[0], ratio, degrees)


def bounded(columns: Floats, y: Floats, weights: Floats) -> Floats:
    """(P,) parameters >= 0 of weighted least squares, solved on the triangular factor of the samples.

    The factor comes from the normal equations, which are ten times as fast; where they lose more than half of the
    digits, from Householder's reflections.
    """
    weighted = columns * weights[:, None]
    squares = weighted.T @ columns
    lengths = np.sqrt(np.diag(squares))
    lengths = np.where(lengths > 0.0, lengths, 1.0)
    try:
        triangle = np.linalg.cholesky(squares / np.outer(lengths, lengths)).T
        exact = float(triangle.diagonal().min()) > _CONDITION
    except np.linalg.LinAlgError:
        exact = False
    if exact:
        right = np.linalg.solve(triangle.T, weighted.T @ y / lengths)
    else:
        root = np.sqrt(weights)
        factor = np.asarray(np.linalg.qr(np.column_stack([columns * root[:, None] / lengths, root * y]), mode="r"))
        triangle, right = factor[:, :-1], factor[:, -1]
    solved: Floats = nnls(triangle, right, maxiter=50 * len(lengths))[0] / lengths
    return solved


def _spread(residuals: Floats, scale: float, given: Floats, worth: float, parameters: int) -> tuple[float, float]:
    """(noise, variance of the M-estimator for one sample), with weights of the samples."""
    weight = soft_l1_weights(residuals, scale)
    mean_slope = float(given @ weight**3) / float(given.sum())
    freedom = worth / max(worth - parameters, 1.0)
    psi = float(given @ (weight * residuals) ** 2) / float(given.sum()) * freedom
    return math.sqrt(psi / mean_slope), psi / mean_slope**2


def _sandwich(columns: Floats, given: Floats) -> Floats:
    """(P, P) (X'WX)^-1 X'W^2X (X'WX)^-1; inf where the columns are not independent."""
    lengths = np.linalg.norm(columns, axis=0)
    size = len(lengths)
    if not independent(columns):
        return np.full((size, size), np.inf)
    scaled = columns / lengths
    bread = np.linalg.inv((scaled * given[:, None]).T @ scaled)
    meat = (scaled * (given**2)[:, None]).T @ scaled
    sandwich: Floats = bread @ meat @ bread / np.outer(lengths, lengths)
    return sandwich


def independent(columns: Floats) -> bool:
    """Do the samples determine the parameter of every column?"""
    lengths = np.linalg.norm(columns, axis=0)
    if not np.all(lengths > 0.0) or len(columns) <= columns.shape[1]:
        return False
    scaled = columns / lengths
    return bool(np.linalg.eigvalsh(scaled.T @ scaled)[0] > _CONDITION**2)
