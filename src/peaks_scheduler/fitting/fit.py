"""``fit``: a power curve from samples, with what is known of it and whether to trust it.

Owns the order of things: sort out what is no measurement, choose the family, fit it, say how well the curve is known,
judge. Whatever the samples are, the answer is a ``Fit``: what cannot be fitted is refused with the reason, and only
arguments that make no sense raise. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from difflib import get_close_matches

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from peaks_scheduler.arrays import Floats
from peaks_scheduler.errors import ModelFitError
from peaks_scheduler.power.curves import Curve, Exponential, IdleExponential
from peaks_scheduler.power.models import Quality
from peaks_scheduler.power.plausibility import implausible
from peaks_scheduler.power.validity import flaw

from .choice import Candidate, candidate, choose, far_off, folds
from .covariances import autocorrelation, curve_covariance
from .engine import Solution, least_squares_fit
from .families import FAMILIES, Family, family
from .judgement import Confidence, CurveFacts, SampleFacts, Verdict, judge
from .samples import Samples, load_levels

MODELS = ("auto", "exponential", "idle-exponential", "piecewise", "linear")
Progress = Callable[[int, int], None]
"""Called with (steps done, steps in all) after every step; for long series of samples."""

_CHOICE_SAMPLES = 3000  # as many decide on the family; all of them on its parameters
_TOLERANCE = 1e-9  # of the fit, relative: far below any meter


@dataclass(frozen=True, slots=True)
class Fit:
    """A power curve learned from samples, how well it is known, and whether to trust it."""

    curve: Curve | None  # None where nothing could be fitted at all
    quality: Quality  # rmse, r2 (without samples far off), samples, cpu_min, cpu_max, cv_rmse_watts, covariance
    verdict: Verdict
    reasons: tuple[str, ...]  # in words; at least one when refused or only usable
    noise_watts: float  # [W] robust scale of the residuals; NaN where nothing was fitted
    degrees: int  # degrees of freedom of the residuals, for Student's t; 0: nothing is known
    confidence: Confidence = "low"  # low: refused, or it is in doubt whether the watts were measured

    def standard_error(self, u: Floats) -> Floats:
        """(M,) standard errors [W] of P(u) at M utilisations, by the delta method; NaN where nothing is known."""
        u = np.asarray(u, np.float64)
        if self.curve is None:
            return np.full(u.shape, math.nan)
        return self._errors(self.curve.gradient(u))

    def interval(self, u: Floats, level: float = 0.95) -> tuple[Floats, Floats]:
        """((M,) low, (M,) high) [W] between which P(u) lies with probability ``level``: delta method, Student's t.

        NaN where nothing was fitted, or no sample is left over to tell the noise from.
        """
        u = np.asarray(u, np.float64)
        middle = np.array([math.nan if self.curve is None else self.curve.watts(float(each)) for each in u])
        half = self._quantile(level) * self.standard_error(u)
        return middle - half, middle + half

    def rise_interval(self, u: float, step: float, level: float = 0.95) -> tuple[float, float]:
        """(low, high) [W] between which P(u + step) - P(u) lies with probability ``level``; NaN as in ``interval``."""
        if self.curve is None:
            return math.nan, math.nan
        before, after = self.curve.gradient(np.array([u, u + step])).T
        half = self._quantile(level) * float(self._errors((after - before)[:, None])[0])
        rise = self.curve.watts(u + step) - self.curve.watts(u)
        return rise - half, rise + half

    def _errors(self, gradient: Floats) -> Floats:
        if self.quality.covariance is None:
            return np.full(gradient.shape[1], math.nan)
        covariance = np.asarray(self.quality.covariance)
        errors: Floats = np.sqrt(np.maximum(np.einsum("im,ij,jm->m", gradient, covariance, gradient), 0.0))
        return errors

    def _quantile(self, level: float) -> float:
        return float(stdtrit(self.degrees, 0.5 + level / 2.0)) if self.degrees > 0 else math.nan


def fit(samples: Samples, model: str = "auto", *, doubt: str = "", progress: Progress | None = None) -> Fit:
    """The curve of family ``model`` that fits ``samples`` best, judged; ``auto`` chooses the family.

    Robust least squares (soft-L1); the covariance is that of the curve's own parameters. For samples in time order
    whose residuals are alike from one to the next, it is that of as many independent samples as they are worth, and so
    are the degrees of freedom: S(1 - r)/(1 + r), r the lag-1 autocorrelation where it is significant. The noise is
    taken to be of one size at all loads; where it is not, the intervals are right on average over the range.
    ``doubt`` says why the watts are no measurement, where they are none: then the fit is usable at best.

    Raises ModelFitError for an unknown ``model``.
    """
    if model not in MODELS:
        close = "".join(f"; did you mean {each}?" for each in get_close_matches(str(model), MODELS, 1))
        raise ModelFitError(f"model: expected one of {', '.join(MODELS)}; got {model!r}{close}")
    usable = samples.usable()
    dropped = len(samples) - len(usable)
    doubted = (f"no measurement: {doubt}",) if doubt else ()
    if trouble := _hopeless(usable, len(samples)):
        return _nothing(usable, trouble, *doubted)
    report = progress or _silent
    names = FAMILIES if model == "auto" else (model,)
    chosen = _chosen(usable.thinned(_CHOICE_SAMPLES), names, report)
    if isinstance(chosen, str):
        return _nothing(usable, chosen, *_about(usable, dropped, doubt))
    solution = _solution(chosen, usable)
    report(len(names) + 1, len(names) + 1)
    return _judged(chosen, solution, usable, dropped, doubt)


def _silent(done: int, total: int) -> None:
    """No progress is wanted."""


def _hopeless(usable: Samples, given: int) -> str:
    """Why nothing can be fitted to these; empty where something may be."""
    if len(usable) < 3:
        return (
            f"{len(usable)} usable samples of {given}, at least 3 are needed (a number each, CPU within 0..1, power "
            "within 0..100 kW): check the series and their units"
        )
    if float(np.ptp(usable.watts)) == 0.0:
        return f"power is {usable.watts[0]:g} W in all samples, so nobody measures it: take another series"
    if float(np.ptp(usable.cpu)) == 0.0:
        return f"CPU is {usable.cpu[0]:.1%} in all samples: check the series, or put load on the node"
    return ""


def _nothing(usable: Samples, *reasons: str) -> Fit:
    """No curve, for these reasons."""
    low, high = (float(usable.cpu.min()), float(usable.cpu.max())) if len(usable) else (None, None)
    quality = Quality(samples=len(usable), cpu_min=low, cpu_max=high)
    return Fit(None, quality, "refused", reasons, math.nan, 0)


def _about(usable: Samples, dropped: int, doubt: str) -> tuple[str, ...]:
    """What else is wrong with samples to which nothing was fitted."""
    return judge(_sample_facts(usable, dropped, np.ones(len(usable), np.bool_)), None, doubt).reasons


def _chosen(usable: Samples, names: tuple[str, ...], report: Progress) -> Candidate | str:
    """The family to fit, or in words why none can be."""
    fold, tried, reasons = folds(usable.cpu), [], []
    for done, name in enumerate(names, 1):
        ready = family(name, usable.cpu)
        if isinstance(ready, Family) and len(usable) <= ready.parameters:
            ready = f"{name} has {ready.parameters} parameters and there are {len(usable)} samples: collect more"
        if isinstance(ready, Family):
            tried.append(candidate(ready, usable.cpu, usable.watts, fold))
        else:
            reasons.append(ready)
        report(done, len(names) + 1)
    return choose(tried, usable.watts) if tried else reasons[0]


def _solution(chosen: Candidate, usable: Samples) -> Solution:
    kind = chosen.family
    return least_squares_fit(
        kind.watts,
        usable.cpu,
        usable.watts,
        chosen.scan.starts,
        jacobian=kind.jacobian,
        bounds=kind.bounds(usable.watts),
        loss="soft_l1",
        tolerance=_TOLERANCE,
    )


def _judged(chosen: Candidate, solution: Solution, usable: Samples, dropped: int, doubt: str) -> Fit:
    curve = chosen.family.curve(solution.parameters)
    if trouble := flaw(curve):
        remedy = f"expected {trouble}: measure over more of the node's load"
        return _nothing(usable, remedy, *_about(usable, dropped, doubt))
    ratio = autocorrelation(usable.time, solution.residuals)
    covariance = curve_covariance(curve, usable.cpu, solution, ratio)
    degrees = max(round(len(usable) * (1.0 - ratio) / (1.0 + ratio)) - chosen.family.parameters, 1)
    near = ~far_off(solution.residuals, solution.scale, usable.watts)
    residuals, watts = solution.residuals[near], usable.watts[near]
    quality = Quality(
        rmse_watts=math.sqrt(float(np.mean(residuals**2))),
        r2=_r2(residuals, watts),
        samples=len(usable),
        cpu_min=float(usable.cpu.min()),
        cpu_max=float(usable.cpu.max()),
        cv_rmse_watts=None if math.isnan(chosen.held_back) else chosen.held_back,
        covariance=covariance,
    )
    unjudged = Fit(curve, quality, "refused", (), solution.scale, degrees)
    stopped = chosen.family.at_bounds(solution.parameters, usable.watts)
    facts = _sample_facts(usable, dropped, near)
    found = judge(facts, _curve_facts(unjudged, facts, near, float(watts.mean()), stopped), doubt)
    if trouble := implausible(curve):
        found = replace(found, verdict="refused", reasons=(trouble, *found.reasons), confidence="low")
    quality = replace(quality, confidence="low") if found.confidence == "low" else quality
    return replace(unjudged, quality=quality, verdict=found.verdict, reasons=found.reasons, confidence=found.confidence)


def _r2(residuals: Floats, watts: Floats) -> float:
    """1 - variance left over variance there was; 0 where there was none."""
    total = float(((watts - watts.mean()) ** 2).sum())
    return 1.0 - float((residuals**2).sum()) / total if total > 0.0 else 0.0


# --- what the judgement looks at ------------------------------------------------------------------------------------


def _sample_facts(usable: Samples, dropped: int, near: NDArray[np.bool_]) -> SampleFacts:
    count, ordered = len(usable), np.sort(usable.cpu)
    return SampleFacts(
        samples=count,
        dropped=dropped,
        levels=int(load_levels(usable.cpu).max()) + 1,
        low=float(ordered[count // 100]),
        high=float(ordered[-1 - count // 100]),
        correlation=_correlation(usable.cpu[near], usable.watts[near]),
    )


def _curve_facts(
    fit: Fit, samples: SampleFacts, near: NDArray[np.bool_], mean: float, stopped: tuple[str, ...]
) -> CurveFacts:
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
    """a / b; NaN where either cannot be told, inf where only b is 0."""
    if a is None or math.isnan(a) or math.isnan(b) or a == b == 0.0:
        return math.nan
    return a / b if b > 0.0 else math.inf


def _rise_error(fit: Fit, samples: SampleFacts) -> float:
    low, high = fit.rise_interval(samples.low, samples.range)
    return (high - low) / 2.0 / fit._quantile(0.95)


def _half_width(fit: Fit, samples: SampleFacts) -> float:
    low, high = fit.interval(np.linspace(samples.low, samples.high, 11))
    return float(((high - low) / 2.0).max())


def _correlation(cpu: Floats, watts: Floats) -> float:
    """Pearson's; 0 where one of the two does not vary."""
    if len(cpu) < 2 or float(np.ptp(cpu)) == 0.0 or float(np.ptp(watts)) == 0.0:
        return 0.0
    return float(np.corrcoef(cpu, watts)[0, 1])


def _bend(fit: Fit) -> float:
    if not isinstance(fit.curve, Exponential | IdleExponential) or fit.quality.covariance is None:
        return math.nan
    variance = fit.quality.covariance[-1][-1]  # k2 is the last parameter of both
    return math.sqrt(max(variance, 0.0)) / abs(fit.curve.k2)
