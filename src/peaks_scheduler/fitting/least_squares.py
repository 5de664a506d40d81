"""Nonlinear least squares on scipy: bounds, several starts, a robust loss, and the covariance. Knows nothing of power.

Owns the call of ``scipy.optimize.least_squares`` and everything derived from its solution. Assumes that the model can
be evaluated anywhere within the bounds. Pure.

The robust loss is soft-L1, rho(z) = 2(sqrt(1 + z) - 1) with z = (r / turn)^2. It is quadratic for small residuals r and
linear for large ones, so the influence of a residual is limited: psi(r) = r / sqrt(1 + z). ``turn`` is twice the robust
scale of the residuals. With Gaussian noise that costs 3 % of the precision.

scipy stops when the sum of squares no longer falls. Near its minimum that sum determines only half of the digits of the
parameters. Gauss-Newton steps follow; they are computed from the derivatives and reach all digits that the samples and
float64 allow, with every BLAS. So the same samples give the same model on another processor.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.optimize import least_squares

from peaks_scheduler.arrays import Floats
from peaks_scheduler.errors import ModelFitError

Model = Callable[[Floats, Floats], Floats]  # (x, (P,) parameters) -> (S,)
Jacobian = Callable[[Floats, Floats], Floats]  # (x, (P,) parameters) -> (S, P)
Loss = Literal["linear", "soft_l1"]

TURN = 2.0
"""Where soft-L1 turns from square to linear, in robust scales of the residuals."""
_GAUSSIAN = 0.6745  # median of |z| for a standard normal z
_TURNS = 4  # most updates of the scale
_POLISHING = 20  # most Gauss-Newton steps; each is at most half as long as the one before


@dataclass(frozen=True, slots=True)
class Solution:
    """The solution of a least squares problem with S samples and P parameters."""

    parameters: Floats  # (P,)
    covariance: Floats  # (P, P) of the parameters; inf where the samples do not determine the parameters
    residuals: Floats  # (S,) y - model
    residual_sd: float  # sqrt(sum of squared residuals / degrees); NaN without degrees
    scale: float  # robust scale of the residuals
    degrees: int  # S - P

    @property
    def standard_errors(self) -> Floats:
        """(P,) standard errors of the parameters."""
        errors: Floats = np.sqrt(np.maximum(np.diag(self.covariance), 0.0))
        return errors


def least_squares_fit(
    model: Model,
    x: Floats,
    y: Floats,
    starts: Floats,
    *,
    jacobian: Jacobian | Literal["2-point", "3-point", "cs"] = "3-point",
    bounds: tuple[Floats, Floats] | None = None,
    loss: Loss = "linear",
    tolerance: float = 1e-15,
) -> Solution:
    """The parameters for which ``model`` is closest to ``y``: trust region reflective (Branch, Coleman and Li 1999).

    model      (x, parameters) -> (S,)
    starts     (P,) or several as (M, P); the best solution counts
    jacobian   (x, parameters) -> (S, P), or one of scipy's difference schemes, which lose digits
    bounds     ((P,) low, (P,) high); a start outside is moved inside
    loss       ``soft_l1`` takes its scale from the residuals, and updates it until it no longer changes
    tolerance  relative; for the sum of squares, the parameters and the gradient

    Raises ModelFitError if there are fewer samples than parameters, or no start gives finite numbers.
    """
    starts = np.atleast_2d(np.asarray(starts, np.float64))
    if len(y) < starts.shape[1]:
        raise ModelFitError(
            f"least squares: expected at least as many samples as parameters; got {len(y)} for {starts.shape[1]}"
        )
    problem = _Problem(model, x, y, jacobian, bounds or (np.full(starts.shape[1], -np.inf), np.inf), tolerance)
    if loss == "linear":
        return problem.solution(problem.best(starts, None), None)
    return problem.robust(starts)


@dataclass(frozen=True, slots=True)
class _Problem:
    model: Model
    x: Floats
    y: Floats
    jacobian: Jacobian | Literal["2-point", "3-point", "cs"]
    bounds: tuple[Any, Any]
    tolerance: float

    def robust(self, starts: Floats) -> Solution:
        """The solution with soft-L1, whose scale is that of the residuals."""
        scale = min(self.scale(self._inside(start)) for start in starts)
        result = self.best(starts, scale)
        for _ in range(_TURNS):
            before, scale = scale, self.scale(result.x)
            if abs(scale - before) <= 0.01 * before:
                break
            result = self.best(result.x[None, :], scale)
        return self.solution(result, scale)

    def best(self, starts: Floats, scale: float | None) -> Any:
        """scipy's result of the least cost among the starts; ``scale`` None: plain squares."""
        results = [result for start in starts if (result := self._from(start, scale)) is not None]
        if not results:
            raise ModelFitError("least squares: expected a model that gives numbers at the start; got none from any")
        return min(results, key=lambda result: float(result.cost))

    def _from(self, start: Floats, scale: float | None) -> Any:
        jacobian = self.jacobian if isinstance(self.jacobian, str) else self._slopes
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # scipy takes back a step that went too far
            try:
                return least_squares(
                    lambda p: self.model(self.x, p) - self.y,
                    self._inside(start),
                    jacobian,
                    self.bounds,
                    loss="linear" if scale is None else "soft_l1",
                    f_scale=1.0 if scale is None else TURN * scale,
                    x_scale="jac",
                    ftol=self.tolerance,
                    xtol=self.tolerance,
                    gtol=self.tolerance,
                    max_nfev=2000,
                )
            except (ValueError, np.linalg.LinAlgError):  # not finite at the start, or on the way
                return None

    def _slopes(self, parameters: Floats) -> Floats:
        assert not isinstance(self.jacobian, str)
        slopes: Floats = self.jacobian(self.x, parameters)
        return slopes

    def _inside(self, start: Floats) -> Floats:
        inside: Floats = np.clip(start, *self.bounds)
        return inside

    def scale(self, parameters: Floats) -> float:
        """Robust scale of the residuals at these parameters; never exactly 0."""
        with np.errstate(over="ignore", invalid="ignore"):
            residuals = np.nan_to_num(self._residuals(parameters), nan=np.inf)
        return max(robust_scale(residuals, len(parameters)), 1e-9 * float(np.abs(self.y).max()), 1e-300)

    def solution(self, result: Any, scale: float | None) -> Solution:
        """scipy's result, polished and with its covariance. ``scale`` of the robust loss; None: plain squares."""
        parameters = result.x if np.any(result.active_mask) else self._polished(result.x, scale)
        residuals = self._residuals(parameters)
        degrees = len(residuals) - len(parameters)
        return Solution(
            parameters,
            covariance(self._plain_jacobian(parameters), residuals, scale),
            residuals,
            math.sqrt(float(residuals @ residuals) / degrees) if degrees else math.nan,
            self.scale(parameters) if scale is None else scale,
            degrees,
        )

    def _polished(self, parameters: Floats, scale: float | None) -> Floats:
        """The parameters after Gauss-Newton steps.

        A step is taken only if the next one is at most half as long. That ends the steps at the level of rounding, and
        where they do not lead to a minimum.
        """
        step, length = self._step(parameters, scale)
        for _ in range(_POLISHING):
            ahead = parameters + step
            if not np.array_equal(ahead, self._inside(ahead)):
                break
            step, next_length = self._step(ahead, scale)
            if not next_length <= 0.5 * length:  # NaN as well
                break
            parameters, length = ahead, next_length
        return parameters

    def _step(self, parameters: Floats, scale: float | None) -> tuple[Floats, float]:
        """((P,) Gauss-Newton step, its length with the Jacobian's columns scaled to length one); NaN without a step."""
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            residuals, jacobian = self._residuals(parameters), self._plain_jacobian(parameters)
            if scale is not None:  # J' psi = 0 by Newton's steps: psi is weight * r, its slope weight^3
                weight = soft_l1_weights(residuals, scale)
                residuals, jacobian = residuals / np.sqrt(weight), jacobian * weight[:, None] ** 1.5
            lengths = np.linalg.norm(jacobian, axis=0)
            if not (np.all(np.isfinite(lengths)) and np.all(lengths > 0.0) and np.all(np.isfinite(residuals))):
                return np.full_like(parameters, np.nan), math.nan
            scaled = np.linalg.lstsq(jacobian / lengths, residuals, rcond=None)[0]
            return scaled / lengths, float(np.linalg.norm(scaled))

    def _residuals(self, parameters: Floats) -> Floats:
        residuals: Floats = self.y - self.model(self.x, parameters)
        return residuals

    def _plain_jacobian(self, parameters: Floats) -> Floats:
        """The Jacobian of the model itself: scipy's result has it scaled if the loss is robust."""
        if not isinstance(self.jacobian, str):
            return self._slopes(parameters)
        again = least_squares(
            lambda p: self.model(self.x, p) - self.y, self._inside(parameters), self.jacobian, self.bounds, max_nfev=1
        )
        return np.asarray(again.jac)


def robust_scale(residuals: Floats, parameters: int) -> float:
    """Standard deviation of a normal distribution with the same median of the absolute residuals. (S,) -> scalar.

    The ``parameters`` - 1 smallest are left out, since fitting can make as many of them 0 (Street, Carroll and Ruppert
    1988).
    """
    ordered = np.sort(np.abs(residuals))
    return median_of_sorted(ordered[min(parameters - 1, len(ordered) - 1) :]) / _GAUSSIAN


def median_of_sorted(values: Floats) -> float:
    """Median of (S,) values in order; NaN if there is one among them. np.median would sort them once more."""
    last, middle = float(values[-1]), len(values) // 2
    if math.isnan(last):
        return math.nan
    upper = float(values[middle])
    return upper if len(values) % 2 else (float(values[middle - 1]) + upper) / 2.0


def soft_l1_weights(residuals: Floats, scale: float) -> Floats:
    """(S,) psi(r) / r: with these weights, weighted least squares solves the same problem."""
    weights: Floats = 1.0 / np.sqrt(1.0 + (residuals / (TURN * scale)) ** 2)
    return weights


def covariance(jacobian: Floats, residuals: Floats, scale: float | None) -> Floats:
    """(P, P) covariance of fitted parameters; inf where the samples do not determine them.

    Plain squares (``scale`` None): s^2 (J'J)^-1, s^2 = sum of squares / degrees. Soft-L1: that of an M-estimator,
    K^2 [sum psi^2 / degrees] / mean(psi')^2 (J'J)^-1 with K = 1 + (P/S) var(psi') / mean(psi')^2 for small samples
    (Huber and Ronchetti 2009, 7.6).
    """
    samples, parameters = jacobian.shape
    inverse = _inverse_normal(jacobian)
    if inverse is None or samples <= parameters:
        return np.full((parameters, parameters), np.inf)
    if scale is None:
        return np.asarray(float(residuals @ residuals) / (samples - parameters) * inverse)
    weight = soft_l1_weights(residuals, scale)
    psi, slope = residuals * weight, weight**3
    mean = float(slope.mean())
    correction = 1.0 + parameters / samples * float(slope.var()) / mean**2
    return np.asarray(correction**2 * float(psi @ psi) / (samples - parameters) / mean**2 * inverse)


def _inverse_normal(jacobian: Floats) -> Floats | None:
    """(J'J)^-1 by singular values, with columns scaled to length one; None where J does not have full rank."""
    lengths = np.linalg.norm(jacobian, axis=0)
    if not np.all(np.isfinite(lengths)) or not np.all(lengths > 0.0):
        return None
    try:
        _, singular, right = np.linalg.svd(jacobian / lengths, full_matrices=False)
    except np.linalg.LinAlgError:
        return None
    if singular[-1] <= singular[0] * np.finfo(np.float64).eps * len(jacobian):
        return None
    root = (right.T / singular) / lengths[:, None]
    inverse: Floats = root @ root.T
    return inverse
