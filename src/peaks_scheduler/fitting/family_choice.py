"""Chooses the family of curve: cross-validation over load levels, then the Bayesian information criterion.

Owns the folds and the rule of choice. A load level is held back with all its samples, since other samples at the same
load would give its watts away. The lowest and the highest level are never held back: without them the prediction would
be an extrapolation. Pure.

In each fold every family is solved by weighted least squares with the robust weights of its scan, for all shapes at
once: the normal equations of a fold are those of all samples minus those of the samples held back.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from peaks_scheduler.arrays import Floats, Ints

from .families import CurveFamily, Scan, normal, scan, solve
from .least_squares import soft_l1_weights
from .samples import load_levels

FAR_SCALES = 10.0
"""A sample is far off the curve if its residual exceeds both so many robust scales of the residuals ..."""
FAR_SHARE = 0.2
"""... and this share of the median power."""
MAX_FOLDS = 10
MARGIN = 0.2
"""Families whose held-back error is at most this share above the least count as equally good. It is about the standard
error of that error over 5 levels."""
_COARSE = 3  # knots
_EXACT = 1e-6  # share of the highest power: errors below it do not distinguish two families


@dataclass(frozen=True, slots=True)
class TriedFamily:
    """A family with its scan and its error in the cross-validation."""

    family: CurveFamily
    scan: Scan
    held_back: float  # [W] root mean square error on held-back samples; NaN with fewer than three levels


def folds(cpu: Floats) -> Ints:
    """(S,) number of the fold in which each sample is held back, -1 for never.

    One fold for each level; with more than ten levels, neighbouring levels share a fold.
    """
    levels = load_levels(cpu)
    inner = int(levels.max()) - 1
    if inner < 1:
        return np.full(len(cpu), -1)
    several = -(-inner // MAX_FOLDS)
    held: Ints = np.where((levels == 0) | (levels == inner + 1), -1, (levels - 1) // several)
    return held


def try_family(family: CurveFamily, cpu: Floats, watts: Floats, fold: Ints) -> TriedFamily:
    """Scan and cross-validate a family. cpu (S,) [fraction], watts (S,) [W], fold (S,) from ``folds``."""
    scanned = scan(family, cpu, watts)
    squares, products, total = normal(scanned.basis, scanned.weights, watts)
    errors = np.full(len(cpu), np.nan)
    held_back = [fold == number for number in range(int(fold.max()) + 1)]
    parts = [normal(scanned.basis[:, held], scanned.weights[held], watts[held]) for held in held_back]
    if parts:
        # all folds are solved at once, F of them
        a, b, t = (np.array(each) for each in zip(*parts, strict=True))
        c, costs = solve(squares - a, products - b, (total - t)[:, None])
        for held, rises, best in zip(held_back, c, np.argmin(costs, axis=-1), strict=True):
            errors[held] = watts[held] - scanned.basis[best][held] @ np.maximum(rises[best], 0.0)
    near = ~far_off(scanned.residuals, scanned.scale, watts)
    return TriedFamily(family, scanned, _root_mean_square(errors[near]))


def far_off(residuals: Floats, scale: float, watts: Floats) -> NDArray[np.bool_]:
    """(S,) samples further off than a meter's error explains: they would hide how well the curve fits the others."""
    limit = max(FAR_SCALES * scale, FAR_SHARE * float(np.median(watts)))
    far: NDArray[np.bool_] = np.abs(residuals) > limit
    return far


def _root_mean_square(errors: Floats) -> float:
    """Root mean square of the finite errors; NaN if there is none."""
    known = errors[np.isfinite(errors)]
    return math.sqrt(float(np.mean(known**2))) if known.size else math.nan


def choose_family(tried: Sequence[TriedFamily], watts: Floats) -> TriedFamily:
    """The best family by the criterion, among those that predict held-back levels about as well as the best does.

    The criterion prefers the simpler family unless the samples speak against it. All families are compared with one
    robust scale, that of the best predictor: their own scales would differ by chance. Straight pieces between three
    knots are chosen only where nothing else was tried: few curves are like that, and few levels cannot show it.
    """
    tried = [each for each in tried if len(each.family.knots) != _COARSE] or tried
    least = _EXACT * float(watts.max())
    errors = [math.inf if math.isnan(each.held_back) else max(each.held_back, least) for each in tried]
    near = [each for each, error in zip(tried, errors, strict=True) if error <= min(errors) * (1.0 + MARGIN)]
    scale = tried[int(np.argmin(errors))].scan.scale
    return min(near, key=lambda each: _criterion(each, scale, watts))


def _criterion(tried: TriedFamily, scale: float, watts: Floats) -> float:
    """Bayesian information criterion of the robust loss: the error of the fit plus a penalty for each parameter."""
    residuals = tried.scan.residuals
    near = residuals[~far_off(residuals, scale, watts)]
    mean = float(np.mean(soft_l1_weights(near, scale) * near**2)) if near.size else math.inf
    floor = (_EXACT * float(watts.max())) ** 2
    return len(watts) * math.log(max(mean, floor)) + tried.family.parameters * math.log(len(watts))
