"""What a fit gives: the curve, how well it is known, and the verdict. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from peaks_scheduler.arrays import Floats
from peaks_scheduler.power.curves import Curve
from peaks_scheduler.power.delta_method import standard_errors
from peaks_scheduler.power.models import Quality

from .judgement import Confidence, Verdict


@dataclass(frozen=True, slots=True)
class Fit:
    """A power curve learned from samples, with its errors and a verdict on it."""

    curve: Curve | None  # None where nothing could be fitted at all
    quality: Quality  # rmse and r2 are without the samples far off the curve
    verdict: Verdict
    reasons: tuple[str, ...]  # in words; at least one unless the verdict is good
    noise_watts: float  # [W] robust scale of the residuals; NaN where nothing was fitted
    degrees: int  # degrees of freedom of the residuals, for Student's t; 0 where nothing was fitted
    confidence: Confidence = "low"  # low: refused, or it is doubtful whether the watts were measured

    def standard_error(self, u: Floats) -> Floats:
        """(M,) standard errors [W] of P(u) at M utilisations, by the delta method; NaN without a covariance."""
        u = np.asarray(u, np.float64)
        if self.curve is None:
            return np.full(u.shape, math.nan)
        return self._errors(self.curve.gradient(u))

    def interval(self, u: Floats, level: float = 0.95) -> tuple[Floats, Floats]:
        """((M,) low, (M,) high) [W]: P(u) lies between them with probability ``level``. Delta method, Student's t.

        NaN where nothing was fitted, or where there are too few samples to estimate the noise.
        """
        u = np.asarray(u, np.float64)
        middle = np.array([math.nan if self.curve is None else self.curve.watts(float(each)) for each in u])
        half = self.quantile(level) * self.standard_error(u)
        return middle - half, middle + half

    def rise_interval(self, u: float, step: float, level: float = 0.95) -> tuple[float, float]:
        """(low, high) [W]: P(u + step) - P(u) lies between them with probability ``level``. NaN as in ``interval``."""
        if self.curve is None:
            return math.nan, math.nan
        before, after = self.curve.gradient(np.array([u, u + step])).T
        half = self.quantile(level) * float(self._errors((after - before)[:, None])[0])
        rise = self.curve.watts(u + step) - self.curve.watts(u)
        return rise - half, rise + half

    def _errors(self, gradient: Floats) -> Floats:
        if self.quality.covariance is None:
            return np.full(gradient.shape[1], math.nan)
        return standard_errors(self.quality.covariance, gradient)

    def quantile(self, level: float) -> float:
        """How many standard errors an interval of probability ``level`` reaches to each side (Student's t)."""
        return float(stdtrit(self.degrees, 0.5 + level / 2.0)) if self.degrees > 0 else math.nan
