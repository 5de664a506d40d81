"""``fit``: learns a power curve from samples and judges it.

Owns the order of the steps: drop samples that cannot be measurements, choose the family, fit it, compute the
covariance, judge. The result is always a ``Fit``: samples that cannot be fitted give a refused one with the reason.
Only an unknown model name raises. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from difflib import get_close_matches

import numpy as np

from peaks_scheduler.arrays import Floats, Mask
from peaks_scheduler.errors import ModelFitError
from peaks_scheduler.power.curves import Curve
from peaks_scheduler.power.models import Quality
from peaks_scheduler.power.plausibility import implausible
from peaks_scheduler.power.validity import flaw

from .covariances import Covariance, autocorrelation, curve_covariance
from .facts import curve_facts, sample_facts
from .families import FAMILIES, CurveFamily, family_for
from .family_choice import TriedFamily, choose_family, far_off, folds, try_family
from .judgement import judge
from .least_squares import Solution, least_squares_fit
from .result import Fit
from .samples import Samples

MODELS = ("auto", "exponential", "idle-exponential", "piecewise", "linear")
Progress = Callable[[int, int], None]
"""Called with (steps done, all steps) after every step; a fit of a long series takes seconds."""

Extended = Callable[[CurveFamily], CurveFamily]
CovarianceOf = Callable[[Curve, Floats, Solution, float], Covariance | None]

CHOICE_SAMPLES = 3000  # at most so many samples choose the family; all samples determine the parameters
TOLERANCE = 1e-9  # relative tolerance of the fit, far below the error of any meter


def fit(samples: Samples, model: str = "auto", *, doubt: str = "", progress: Progress | None = None) -> Fit:
    """The curve of family ``model`` that fits ``samples`` best, judged; ``auto`` chooses the family.

    Robust least squares (soft-L1). The covariance is that of the curve's own parameters. For samples in order of time
    with autocorrelated residuals, covariance and degrees of freedom are those of S(1 - r)/(1 + r) independent samples,
    r the lag-1 autocorrelation where it is significant. The noise is assumed to be of one size at all loads; where it
    is not, the intervals are right on average over the range. ``doubt`` says why the watts may be no measurement; with
    a doubt the fit is at most usable.

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
    chosen = chosen_family(usable.thinned(CHOICE_SAMPLES), names, report)
    if isinstance(chosen, str):
        return _nothing(usable, chosen, *_reasons(usable, dropped, doubt))
    solution = _solution(chosen, usable)
    report(len(names) + 1, len(names) + 1)
    return judged(chosen, solution, usable, dropped, doubt)


def _silent(done: int, total: int) -> None:
    """Report no progress."""


def _hopeless(usable: Samples, given: int) -> str:
    """Why no curve can be fitted to these samples; empty where one may."""
    if len(usable) < 3:
        return (
            f"{len(usable)} usable samples of {given}, at least 3 are needed (a number each, CPU within 0..1, power "
            "within 0..100 kW): check the series and their units"
        )
    if float(np.ptp(usable.watts)) == 0.0:
        return f"power is {usable.watts[0]:g} W in all samples, so it is not measured: take another series"
    if float(np.ptp(usable.cpu)) == 0.0:
        return f"CPU is {usable.cpu[0]:.1%} in all samples: check the series, or put load on the node"
    return ""


def _nothing(usable: Samples, *reasons: str) -> Fit:
    """A refused fit without a curve."""
    low, high = (float(usable.cpu.min()), float(usable.cpu.max())) if len(usable) else (None, None)
    quality = Quality(samples=len(usable), cpu_min=low, cpu_max=high)
    return Fit(None, quality, "refused", reasons, math.nan, 0)


def _reasons(usable: Samples, dropped: int, doubt: str) -> tuple[str, ...]:
    """What else is wrong with samples that no curve was fitted to."""
    return judge(sample_facts(usable, dropped, np.ones(len(usable), np.bool_)), None, doubt).reasons


def chosen_family(
    usable: Samples, names: tuple[str, ...], report: Progress = _silent, extended: Extended = lambda family: family
) -> TriedFamily | str:
    """The family to fit, or in words why none can be fitted. ``extended`` gives a family further linear parameters."""
    fold, tried, reasons = folds(usable.cpu), [], []
    for done, name in enumerate(names, 1):
        ready = family_for(name, usable.cpu)
        if isinstance(ready, CurveFamily) and len(usable) <= ready.parameters:
            ready = f"{name} has {ready.parameters} parameters and there are {len(usable)} samples: collect more"
        if isinstance(ready, CurveFamily):
            tried.append(try_family(extended(ready), usable.cpu, usable.watts, fold))
        else:
            reasons.append(ready)
        report(done, len(names) + 1)
    return choose_family(tried, usable.watts) if tried else reasons[0]


def _solution(chosen: TriedFamily, usable: Samples) -> Solution:
    """The chosen family fitted to all samples."""
    kind = chosen.family
    return least_squares_fit(
        kind.watts,
        usable.cpu,
        usable.watts,
        chosen.scan.starts,
        jacobian=kind.jacobian,
        bounds=kind.bounds(usable.watts),
        loss="soft_l1",
        tolerance=TOLERANCE,
    )


def judged(
    chosen: TriedFamily,
    solution: Solution,
    usable: Samples,
    dropped: int,
    doubt: str,
    covariance: CovarianceOf = curve_covariance,
) -> Fit:
    """The fit with its verdict. ``solution``: parameters of the chosen family for the ``usable`` samples;
    ``covariance`` as ``curve_covariance``."""
    curve = chosen.family.curve(solution.parameters)
    if trouble := flaw(curve):
        remedy = f"expected {trouble}: measure over more of the node's load"
        return _nothing(usable, remedy, *_reasons(usable, dropped, doubt))
    near = ~far_off(solution.residuals, solution.scale, usable.watts)
    unjudged = _unjudged(curve, chosen, solution, usable, near, covariance)
    stopped = chosen.family.at_bounds(solution.parameters, usable.watts)
    facts = sample_facts(usable, dropped, near)
    mean = float(usable.watts[near].mean())
    found = judge(facts, curve_facts(unjudged, facts, near, mean, stopped), doubt)
    if trouble := implausible(curve):
        found = replace(found, verdict="refused", reasons=(trouble, *found.reasons), confidence="low")
    quality = replace(unjudged.quality, confidence="low") if found.confidence == "low" else unjudged.quality
    return replace(unjudged, quality=quality, verdict=found.verdict, reasons=found.reasons, confidence=found.confidence)


def _unjudged(
    curve: Curve,
    chosen: TriedFamily,
    solution: Solution,
    usable: Samples,
    near: Mask,
    covariance: CovarianceOf,
) -> Fit:
    """The fit without a verdict. ``near`` (S,): the samples that are not far off the curve."""
    ratio = autocorrelation(usable.time, solution.residuals)
    degrees = max(round(len(usable) * (1.0 - ratio) / (1.0 + ratio)) - chosen.family.parameters, 1)
    residuals, watts = solution.residuals[near], usable.watts[near]
    quality = Quality(
        rmse_watts=math.sqrt(float(np.mean(residuals**2))),
        r2=_r2(residuals, watts),
        samples=len(usable),
        cpu_min=float(usable.cpu.min()),
        cpu_max=float(usable.cpu.max()),
        cv_rmse_watts=None if math.isnan(chosen.held_back) else chosen.held_back,
        covariance=covariance(curve, usable.cpu, solution, ratio),
    )
    return Fit(curve, quality, "refused", (), solution.scale, degrees)


def _r2(residuals: Floats, watts: Floats) -> float:
    """1 - variance of the residuals / variance of the watts; 0 where the watts do not vary."""
    total = float(((watts - watts.mean()) ** 2).sum())
    return 1.0 - float((residuals**2).sum()) / total if total > 0.0 else 0.0
