"""The figures of a fit that the judgement looks at. Pure."""

from __future__ import annotations

import math

import numpy as np

from peaks_scheduler.arrays import Floats, Mask
from peaks_scheduler.power.curves import Exponential, IdleExponential

from .judgement import CurveFacts, SampleFacts
from .result import Fit
from .samples import Samples, load_levels


def sample_facts(usable: Samples, dropped: int, near: Mask) -> SampleFacts:
    """Facts of S usable samples; ``dropped`` others were not. ``near`` (S,): not far off the curve."""
    count, ordered = len(usable), np.sort(usable.cpu)
    return SampleFacts(
        samples=count,
        dropped=dropped,
        levels=int(load_levels(usable.cpu).max()) + 1,
        low=float(ordered[count // 100]),
        high=float(ordered[-1 - count // 100]),
        correlation=_correlation(usable.cpu[near], usable.watts[near]),
    )


def curve_facts(fit: Fit, samples: SampleFacts, near: Mask, mean: float, stopped: tuple[str, ...]) -> CurveFacts:
    """Facts of a fit that has a curve. ``mean`` [W] power of the ``near`` samples, ``stopped`` parameters at bounds."""
    assert fit.curve is not None
    assert fit.quality.rmse_watts is not None
    assert fit.quality.r2 is not None
    rise = fit.curve.watts(samples.high) - fit.curve.watts(samples.low)
    return CurveFacts(
        stray=float((~near).mean()),
        r2=fit.quality.r2,
        error=_over(fit.quality.rmse_watts, mean),
        held_back=_over(fit.quality.cv_rmse_watts, rise),
        rise=_over(rise, _rise_error(fit, samples)),
        width=_over(_half_width(fit, samples), rise),
        bend=_bend(fit),
        bounds=stopped,
    )


def _over(a: float | None, b: float) -> float:
    """a / b; NaN where one is unknown or both are 0, inf where only b is 0 (or below)."""
    if a is None or math.isnan(a) or math.isnan(b) or a == b == 0.0:
        return math.nan
    return a / b if b > 0.0 else math.inf


def _rise_error(fit: Fit, samples: SampleFacts) -> float:
    """Standard error [W] of the rise over the range of the samples."""
    low, high = fit.rise_interval(samples.low, samples.range)
    return (high - low) / 2.0 / fit.quantile(0.95)


def _half_width(fit: Fit, samples: SampleFacts) -> float:
    """Largest half-width [W] of the 95 % interval within the range of the samples."""
    low, high = fit.interval(np.linspace(samples.low, samples.high, 11))
    return float(((high - low) / 2.0).max())


def _correlation(cpu: Floats, watts: Floats) -> float:
    """Pearson's correlation; 0 where one of the two does not vary."""
    if len(cpu) < 2 or float(np.ptp(cpu)) == 0.0 or float(np.ptp(watts)) == 0.0:
        return 0.0
    return float(np.corrcoef(cpu, watts)[0, 1])


def _bend(fit: Fit) -> float:
    """Standard error of k2 over |k2|; NaN for curves without k2."""
    if not isinstance(fit.curve, Exponential | IdleExponential) or fit.quality.covariance is None:
        return math.nan
    variance = fit.quality.covariance[-1][-1]  # k2 is the last parameter of both
    return math.sqrt(max(variance, 0.0)) / abs(fit.curve.k2)
