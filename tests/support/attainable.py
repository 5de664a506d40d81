"""How near a right program must come: bounds computed from the problem, never from what one machine has shown.

Owns the error that float64 allows a least-squares fit (from the condition of the problem), the error of a formula, and
the counts that a right program meets by chance (from the binomial). Each holds for every BLAS, processor and library.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.stats import binom, norm

from peaks_scheduler.arrays import Floats

EPS = float(np.finfo(np.float64).eps)
NEVER = 1e-6
"""Chance that a right program fails a test that draws samples: with its seeds fixed, once in a million changes of a
library's random numbers."""

Formula = Callable[[Any, Any], Any]  # (x, b) -> y, also of complex numbers

ROUNDINGS = 18.0
"""[eps] Rounding of one formula, relative to the largest numbers on the way. Three exponentials of 4 ulp each, which is
what numpy allows its vector code, and a dozen operations of half an ulp each."""

CONTRACTION = 0.25
"""A Gauss-Newton step is at most so long as the one before it, for NIST's sets near their solutions: a matter of the
residuals and the curvature. BoxBOD, whose residuals are the largest, has 0.22."""

STOPPED = 1.0 / ((1.0 - CONTRACTION) * (0.5 - CONTRACTION))
"""The steps end when one is more than half of the one before, which is less than rounding / (0.5 - contraction); what
is left of the way is less than that step / (1 - contraction)."""


def slopes(formula: Formula, x: Floats, b: Floats) -> Floats:
    """(S, P) derivatives by complex steps: no difference is taken, so no digits are lost."""
    steps = 1e-30j * np.diag(np.abs(b))
    return np.column_stack([np.imag(formula(x, b + step)) / step.imag.max() for step in steps])


def formula_errors(formula: Formula, x: Floats, b: Floats) -> Floats:
    """(S,) rounding of a formula's values. A rounding on the way does what a change of a parameter or of the result by
    the same part would do."""
    return ROUNDINGS * EPS * (np.abs(formula(x, b)) + np.abs(slopes(formula, x, b)) @ np.abs(b))


def parameter_errors(formula: Formula, x: Floats, y: Floats, b: Floats) -> Floats:
    """(P,) how far from the least-squares parameters ``b`` a fit may end in float64.

    The parameters solve J'r = 0. Rounding of r moves them by J+ dr, that of J by (J'J)^-1 dJ' r (Bjorck 1996, 1.4): so
    an ill-conditioned problem, which has a large J+, is allowed more.
    """
    jacobian, residuals = slopes(formula, x, b), y - formula(x, b)
    of_formula = formula_errors(formula, x, b)
    of_slopes = np.abs(jacobian) * (of_formula / np.abs(formula(x, b)))[:, None]
    inverse = _pseudo_inverse(jacobian)
    of_residuals = of_formula + 0.5 * EPS * np.abs(y)  # y is decimal in the file
    step = np.abs(inverse) @ of_residuals + np.abs(inverse @ inverse.T) @ (of_slopes.T @ np.abs(residuals))
    return np.asarray(STOPPED * step)


def residual_error(formula: Formula, x: Floats, y: Floats, b: Floats) -> float:
    """Of the residual standard deviation, absolute. It is at its least, so errors of b count in squares only."""
    of_residuals = formula_errors(formula, x, b) + 0.5 * EPS * np.abs(y)
    return float(np.linalg.norm(of_residuals) / np.sqrt(len(x) - len(b)))


def slope_errors(formula: Formula, x: Floats, b: Floats, moved: Floats) -> Floats:
    """(P,) of the parameters' standard deviations in residual deviations, relative, where b is known to ``moved``."""
    jacobian = slopes(formula, x, b)
    by_b = [np.abs(_deviations(slopes(formula, x, b + moved * one)) / _deviations(jacobian) - 1.0)
            for one in np.eye(len(b))]  # fmt: skip
    # rounding of the slopes, and the singular values' own of some eps a row, over the smallest of columns of length one
    scaled = jacobian / np.linalg.norm(jacobian, axis=0)
    part = (formula_errors(formula, x, b) / np.abs(formula(x, b)))[:, None] * scaled
    least = np.linalg.svd(scaled, compute_uv=False)[-1]
    by_slopes = 2.0 * (np.linalg.norm(part) + len(x) * EPS) / least
    return np.asarray(np.sum(by_b, axis=0) + by_slopes)


def half_unit(values: Floats | float, digits: int) -> Floats:
    """What rounding to so many significant digits may have changed."""
    return np.asarray(0.5 * 10.0 ** (np.floor(np.log10(np.abs(values))) + 1 - digits))


def _pseudo_inverse(jacobian: Floats) -> Floats:
    lengths = np.linalg.norm(jacobian, axis=0)
    return np.asarray(np.linalg.pinv(jacobian / lengths) / lengths[:, None])


def _deviations(jacobian: Floats) -> Floats:
    return np.asarray(np.linalg.norm(_pseudo_inverse(jacobian), axis=1))


# --- chance -----------------------------------------------------------------------------------------


def hits(trials: int, share: float, comparisons: int = 1) -> tuple[float, float]:
    """(least, most) hits of ``trials`` that each hit with the chance ``share``; a right program is outside in any of
    ``comparisons`` with a chance of NEVER at most."""
    tail = NEVER / comparisons / 2.0
    return float(binom.ppf(tail, trials, share)), float(binom.isf(tail, trials, share))


def deviations(comparisons: int = 1) -> float:
    """So many standard deviations a normal figure keeps to, in all of ``comparisons``, but with a chance of NEVER."""
    return float(norm.isf(NEVER / comparisons / 2.0))


def spread_error(draws: int, comparisons: int = 1) -> float:
    """Relative error of a standard deviation taken from so many draws of a normal law: 1 / sqrt(2 draws) of it is one
    deviation."""
    return deviations(comparisons) / float(np.sqrt(2.0 * draws))
