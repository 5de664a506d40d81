"""Which family: cross-validation over load levels, and the Bayesian information criterion among those that do well.

Owns the folds and the rule of choice. A level is held back with all its samples, since a sample's neighbours at the
same load would give its watts away. The lowest and the highest level are never held back: beyond the others nothing is
measured, and for idle there is no substitute. Pure.

For each fold every family is solved by weighted least squares with the robust weights of its scan, for all shapes at
once: the normal equations of a fold are those of all samples less those of the samples held back.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from peaks_scheduler.arrays import Floats, Ints

from .engine import soft_l1_weights
from .families import Family, Scan, normal, scan, solve
from .samples import load_levels

FAR_SCALES = 10.0
"""A sample is far off when it is beyond so many robust scales of the residuals,"""
FAR_SHARE = 0.2
"""and beyond this share of the median power."""
MAX_FOLDS = 10
MARGIN = 0.2
"""Families whose held-back error is within so much of the least do as well: about its standard error over 5 levels."""
_COARSE = 3  # knots
_EXACT = 1e-6  # of the highest power: errors below it are no difference between two families


@dataclass(frozen=True, slots=True)
class Candidate:
    """A family that was tried."""

    family: Family
    scan: Scan
    held_back: float  # [W] root mean square error on samples held back; NaN with fewer than three levels


def folds(cpu: Floats) -> Ints:
    """(S,) in which fold each sample is held back, -1 for never: one fold a level, adjacent levels together where
    there are more than ten."""
    levels = load_levels(cpu)
    inner = int(levels.max()) - 1
    if inner < 1:
        return np.full(len(cpu), -1)
    several = -(-inner // MAX_FOLDS)
    held: Ints = np.where((levels == 0) | (levels == inner + 1), -1, (levels - 1) // several)
    return held


def candidate(family: Family, cpu: Floats, watts: Floats, fold: Ints) -> Candidate:
    """The family scanned and cross-validated."""
    scanned = scan(family, cpu, watts)
    squares, products, total = normal(scanned.basis, scanned.weights, watts)
    errors = np.full(len(cpu), np.nan)
    for number in range(int(fold.max()) + 1):
        held = fold == number
        a, b, t = normal(scanned.basis[:, held], scanned.weights[held], watts[held])
        c, costs = solve(squares - a, products - b, total - t)
        best = int(np.argmin(costs))
        errors[held] = watts[held] - scanned.basis[best][held] @ np.maximum(c[best], 0.0)
    near = ~far_off(scanned.residuals, scanned.scale, watts)
    return Candidate(family, scanned, _root_mean_square(errors[near]))


def far_off(residuals: Floats, scale: float, watts: Floats) -> NDArray[np.bool_]:
    """(S,) samples that no error of a meter explains: they would hide how well the curve fits the others."""
    limit = max(FAR_SCALES * scale, FAR_SHARE * float(np.median(watts)))
    far: NDArray[np.bool_] = np.abs(residuals) > limit
    return far


def _root_mean_square(errors: Floats) -> float:
    """Of those that are known."""
    known = errors[np.isfinite(errors)]
    return math.sqrt(float(np.mean(known**2))) if known.size else math.nan


def choose(candidates: Sequence[Candidate], watts: Floats) -> Candidate:
    """The best by the criterion among those that predict the levels held back about as well as the best does.

    The criterion prefers the simpler family unless the samples speak against it. The robust scale in it is one for all,
    that of the best predictor: each family's own would differ by chance. Straight pieces between three knots are no
    candidate beside others: few curves are like that, and few levels do not show it.
    """
    candidates = [each for each in candidates if len(each.family.knots) != _COARSE] or candidates
    least = _EXACT * float(watts.max())
    errors = [math.inf if math.isnan(each.held_back) else max(each.held_back, least) for each in candidates]
    near = [each for each, error in zip(candidates, errors, strict=True) if error <= min(errors) * (1.0 + MARGIN)]
    scale = candidates[int(np.argmin(errors))].scan.scale
    return min(near, key=lambda each: _criterion(each, scale, watts))


def _criterion(candidate: Candidate, scale: float, watts: Floats) -> float:
    """Bayesian information criterion of the robust loss: the fit's error, and a price on every parameter."""
    residuals = candidate.scan.residuals
    near = residuals[~far_off(residuals, scale, watts)]
    mean = float(np.mean(soft_l1_weights(near, scale) * near**2)) if near.size else math.inf
    floor = (_EXACT * float(watts.max())) ** 2
    return len(watts) * math.log(max(mean, floor)) + candidate.family.parameters * math.log(len(watts))
