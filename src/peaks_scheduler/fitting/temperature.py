"""``fit_with_temperature``: learns a power curve together with what the node draws more when its air is warm.

    P(u, T) = P(u) + (a + b*u) * max(T - reference, 0)        a >= 0, b >= 0

Owns the order of the steps, the reasons for which there is no term, and the joint covariance. ``term_choice`` decides
whether a term earns its place. Where it does, curve and term are fitted together, because a curve fitted alone is
biased by temperatures that went with the load: the family of the curve is chosen once more on the watts without the
term, then one robust least squares problem has all parameters, for a hinge its reference too. The curve is then P(u) at
the reference. Where there is no term, the plain fit stays as it is. Pure.

The covariance is the sandwich of an M-estimator (Huber and Ronchetti 2009, 6.3), right for noise whose size differs
between loads, times (1 + r)/(1 - r) for residuals with lag-1 autocorrelation r. A bound that holds (a or b is 0) makes
the true errors smaller, never larger.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from peaks_scheduler.arrays import Floats
from peaks_scheduler.errors import ModelFitError
from peaks_scheduler.power.curves import Curve
from peaks_scheduler.power.temperature import TemperatureTerm

from .celsius import plausible
from .covariances import autocorrelation
from .families import FAMILIES, CurveFamily
from .family_choice import TriedFamily, try_family
from .fit import CHOICE_SAMPLES, TOLERANCE, Progress, chosen_family, fit, judged
from .judgement import VERDICTS
from .least_squares import Solution, least_squares_fit, soft_l1_weights
from .result import Fit
from .samples import Samples
from .term_choice import ChosenTerm, WarmFamily, choose_term

LEAST_SAMPLES = 50
"""Samples with a plausible temperature: five for each block of the cross-validation."""
LEAST_RANGE = 3.0
"""[K] from the 5th to the 95th percentile of the temperatures."""
MOST_CORRELATION = 0.95
"""Of temperature and CPU use: above it the samples do not tell which of both costs the watts."""
_SETTLED = 2.0  # standard errors that the term at the mean load is away from 0
_MOST_PER_KELVIN = 0.2  # share of the highest power: the bound of a and b
_TURNS = 2  # most choices of the term
_NEAR = 3.0  # [K] around the best quantile in which the reference of a hinge may be


@dataclass(frozen=True, slots=True)
class TemperatureFit:
    """What was learned about the temperature of one node."""

    term: TemperatureTerm | None
    """None: refused."""
    reasons: tuple[str, ...] = ()
    """In words; at least one where the term is refused."""
    errors: tuple[float, float] | None = None
    """[W/K] standard errors at no load and at full load."""
    reference_error: float | None = None
    """[K] standard error of the reference; None: it was not fitted, or there is no term."""
    quantile: float = math.nan
    """How many standard errors a 95 % interval reaches to each side (Student's t)."""
    samples: int = 0
    """With a plausible temperature."""
    coolest: float | None = None
    hottest: float | None = None
    """[celsius] of these samples."""
    covariance: tuple[tuple[float, ...], ...] | None = None
    """Of the curve's parameters, a, b, and the reference of a hinge."""

    @property
    def verdict(self) -> Literal["good", "refused"]:
        return "refused" if self.term is None else "good"

    def interval(self, load: Literal["idle", "full"]) -> tuple[float, float] | None:
        """(low, high) [W/K]: the term at this load lies between them with probability 95 %. None without a term."""
        if self.term is None or self.errors is None:
            return None
        value, error = (self.term.idle, self.errors[0]) if load == "idle" else (self.term.full, self.errors[1])
        return value - self.quantile * error, value + self.quantile * error


def fit_with_temperature(
    samples: Samples, model: str = "auto", *, signal: str = "inlet", doubt: str = "", progress: Progress | None = None
) -> tuple[Fit, TemperatureFit]:
    """The curve of family ``model`` and the term of temperature that fit ``samples`` best, both judged.

    ``samples`` have ``celsius``; those without a plausible one count for the curve only, and only while there is no
    term. ``doubt`` as in ``fit``. Raises ModelFitError for an unknown ``model`` or samples without ``celsius``.
    """
    if samples.celsius is None:
        raise ModelFitError("temperature: expected samples with celsius; got none: join the series first")
    plain = fit(samples, model, doubt=doubt, progress=progress)
    usable = replace(samples, celsius=plausible(samples.celsius)).usable()
    warm = usable.of(np.isfinite(usable.celsius))  # type: ignore[arg-type]
    about = _about(warm)
    if trouble := _hopeless(plain, warm, len(usable)):
        return plain, replace(about, reasons=(trouble,))
    names = FAMILIES if model == "auto" else (model,)
    some = warm.thinned(CHOICE_SAMPLES)
    chosen = _chosen(some, names)
    if isinstance(chosen, str):
        return plain, replace(about, reasons=(chosen,))
    return _Problem(warm, *chosen, about).outcome(plain, signal, len(samples) - len(usable), doubt)


def _chosen(some: Samples, names: tuple[str, ...]) -> tuple[ChosenTerm, TriedFamily] | str:
    """The term, and the family of curves with it; or why there is no term.

    The family is chosen anew beside the term, and then the term once more beside that family: a curve that was chosen
    without the term may have bent after the temperatures.
    """
    first = chosen_family(some, names)
    if isinstance(first, str):
        return f"no curve for the samples with a temperature: {first}"
    for _ in range(_TURNS):
        choice = choose_term(first.family, first.scan, some.cpu, some.watts, _celsius(some), some.time)
        if choice.reason:
            return choice.reason
        tried, curves = _beside_term(some, names, choice)
        if curves == first.family:
            break
        first = try_family(curves, some.cpu, some.watts, np.full(len(some), -1))
    return choice, tried


def _beside_term(some: Samples, names: tuple[str, ...], choice: ChosenTerm) -> tuple[TriedFamily, CurveFamily]:
    """The family that is best beside the term of the choice; with the term, and the curve's alone."""
    assert choice.best.reference is not None
    warm = np.maximum(_celsius(some) - choice.best.reference, 0.0)

    def extended(kind: CurveFamily) -> WarmFamily:
        return WarmFamily(kind.name, kind.knots, kind.shaped, kind, warm)

    tried = chosen_family(some, names, extended=extended)
    # a family could be fitted to these samples before
    assert not isinstance(tried, str)
    assert isinstance(tried.family, WarmFamily)
    return tried, tried.family.curves


def _celsius(samples: Samples) -> Floats:
    assert samples.celsius is not None
    return samples.celsius


def _about(warm: Samples) -> TemperatureFit:
    """What is known of the temperatures before anything is fitted."""
    if not len(warm):
        return TemperatureFit(None)
    celsius = _celsius(warm)
    return TemperatureFit(None, samples=len(warm), coolest=float(celsius.min()), hottest=float(celsius.max()))


def _hopeless(plain: Fit, warm: Samples, usable: int) -> str:
    """Why these samples can have no term; empty where they may."""
    if plain.curve is None:
        return "there is no curve that a term could be added to"
    if len(warm) < LEAST_SAMPLES:
        return (
            f"{len(warm)} of {usable} samples have a plausible temperature, at least {LEAST_SAMPLES} are needed: "
            "check the sensor and the times of both series"
        )
    low, high = np.quantile(_celsius(warm), [0.05, 0.95])
    if high - low < LEAST_RANGE:
        return (
            f"the temperature varies by {high - low:.1f} K only ({low:.1f} to {high:.1f} celsius, 5th to 95th "
            f"percentile), at least {LEAST_RANGE:g} K are needed: measure over days with cooler and warmer air"
        )
    correlation = _correlation(warm)
    if abs(correlation) > MOST_CORRELATION:
        return (
            f"temperature and CPU use go together (correlation {correlation:.2f}, at most {MOST_CORRELATION:g}), so "
            "nothing tells which of both costs the watts: measure busy and idle hours at the same temperature"
        )
    return ""


def _correlation(samples: Samples) -> float:
    """Pearson's of temperature and CPU use."""
    if float(np.ptp(samples.cpu)) == 0.0:
        return 0.0
    return float(np.corrcoef(samples.cpu, _celsius(samples))[0, 1])


@dataclass(frozen=True, slots=True)
class _Problem:
    """The joint fit of curve and term to S samples. Parameters: those of the family, a, b, and of a hinge the
    reference."""

    samples: Samples
    choice: ChosenTerm
    tried: TriedFamily
    about: TemperatureFit

    @property
    def family(self) -> CurveFamily:
        """Of the curve alone."""
        assert isinstance(self.tried.family, WarmFamily)
        return self.tried.family.curves

    @property
    def extra(self) -> int:
        """Number of parameters of the term."""
        return 3 if self.choice.hinge else 2

    @property
    def _reference(self) -> float:
        """[celsius] Of a hinge the quantile; else the coolest of all samples."""
        reference = self.choice.best.reference if self.choice.hinge else self.about.coolest
        assert reference is not None
        return reference

    def outcome(self, plain: Fit, signal: str, dropped: int, doubt: str) -> tuple[Fit, TemperatureFit]:
        """Fit, and judge both."""
        family, solution = self.family, self._solution()
        a, b = (float(each) for each in solution.parameters[family.parameters :][:2])
        reference = float(solution.parameters[-1]) if self.choice.hinge else self._reference
        own = solution.parameters[: family.parameters]
        joint = _joint(family.curve(own), self.samples, a, b, reference, self.choice.hinge, solution)
        if joint is None:
            why = "the samples do not determine curve and term together: measure over more of load and temperature"
            return plain, replace(self.about, reasons=(why,))
        term = TemperatureTerm(signal, reference, a, a + b, self.about.coolest, self.about.hottest)
        found = self._found(term, joint)
        if trouble := _unsettled(found, joint, float(self.samples.cpu.mean())):
            return plain, replace(self.about, reasons=(trouble,))
        base, slope = np.array([term.above(float(each)) for each in _celsius(self.samples)]).T
        cold = replace(self.samples, watts=np.maximum(self.samples.watts - base - slope * self.samples.cpu, 0.0))
        of_curve = tuple(tuple(row[: -self.extra]) for row in joint.tolist()[: -self.extra])
        curve = judged(
            replace(self.tried, family=family),
            replace(solution, parameters=own),
            cold,
            dropped,
            doubt,
            covariance=lambda *_: of_curve,
        )
        if curve.curve is None:
            return plain, replace(self.about, reasons=curve.reasons)
        if VERDICTS.index(curve.verdict) > VERDICTS.index(plain.verdict):
            why = f"with the term the curve is only {curve.verdict}: {'; '.join(curve.reasons)}"
            return plain, replace(self.about, reasons=(why,))
        return curve, replace(found, quantile=curve.quantile(0.95))

    def _found(self, term: TemperatureTerm, joint: Floats) -> TemperatureFit:
        """The term with its errors."""
        of_term = joint[-self.extra :, -self.extra :]
        at_loads = np.array([[1.0, 0.0], [1.0, 1.0]])
        idle, full = np.sqrt(np.maximum(np.diag(at_loads @ of_term[:2, :2] @ at_loads.T), 0.0)).tolist()
        return replace(
            self.about,
            term=term,
            errors=(idle, full),
            reference_error=math.sqrt(max(float(of_term[2, 2]), 0.0)) if self.choice.hinge else None,
            covariance=tuple(tuple(row) for row in joint.tolist()),
        )

    def _solution(self) -> Solution:
        """Robust least squares over all parameters together, from the scan with the term of the choice."""
        family, watts = self.family, self.samples.watts
        own, x = family.parameters, np.vstack([self.samples.cpu, _celsius(self.samples)])
        fixed, hinge = self._reference, self.choice.hinge
        c, shapes = np.split(self.tried.scan.starts, [family.rises + 2], axis=1)
        references = np.full((len(c), 1 if hinge else 0), fixed)
        starts = np.column_stack([c[:, : family.rises], shapes, c[:, family.rises :], references])
        low, high = family.bounds(watts)
        most = _MOST_PER_KELVIN * float(watts.max())
        near = (max(float(x[1].min()), fixed - _NEAR), min(float(np.quantile(x[1], 0.9)), fixed + _NEAR))
        bounds = (
            np.array([*low, 0.0, 0.0, *([near[0]] if hinge else [])]),
            np.array([*high, most, most, *([near[1]] if hinge else [])]),
        )

        def model(x: Floats, p: Floats) -> Floats:
            warm = np.maximum(x[1] - (p[own + 2] if hinge else fixed), 0.0)
            found: Floats = family.watts(x[0], p[:own]) + (p[own] + p[own + 1] * x[0]) * warm
            return found

        def jacobian(x: Floats, p: Floats) -> Floats:
            reference = float(p[own + 2]) if hinge else fixed
            columns = _term_columns(x[0], x[1], float(p[own]), float(p[own + 1]), reference, hinge)
            return np.column_stack([family.jacobian(x[0], p[:own]), columns])

        return least_squares_fit(
            model,
            x,
            watts,
            starts,
            jacobian=jacobian,
            bounds=bounds,
            loss="soft_l1",
            tolerance=TOLERANCE,
        )


def _term_columns(u: Floats, celsius: Floats, a: float, b: float, reference: float, hinge: bool) -> Floats:
    """(S, 2 or 3) derivatives of the term by a, b, and the reference."""
    warm = np.maximum(celsius - reference, 0.0)
    by_reference = [-(a + b * u) * (celsius > reference)] if hinge else []
    return np.column_stack([warm, u * warm, *by_reference])


def _joint(
    curve: Curve, samples: Samples, a: float, b: float, reference: float, hinge: bool, solution: Solution
) -> Floats | None:
    """(P, P) covariance of the curve's own parameters and the term's; None where the samples do not determine them."""
    columns = _term_columns(samples.cpu, _celsius(samples), a, b, reference, hinge)
    with np.errstate(over="ignore", invalid="ignore"):
        jacobian = np.column_stack([curve.gradient(samples.cpu).T, columns])
        lengths = np.linalg.norm(jacobian, axis=0)
    if not np.all(np.isfinite(lengths)) or not np.all(lengths > 0.0) or len(samples) <= len(lengths):
        return None
    scaled = jacobian / lengths
    weight = soft_l1_weights(solution.residuals, solution.scale)
    bread = (scaled * (weight**3)[:, None]).T @ scaled
    if float(np.linalg.eigvalsh(bread)[0]) <= len(lengths) * np.finfo(np.float64).eps:
        return None
    meat = (scaled * ((weight * solution.residuals) ** 2)[:, None]).T @ scaled
    inverse = np.linalg.inv(bread)
    ratio = autocorrelation(samples.time, solution.residuals)
    larger = (1.0 + ratio) / (1.0 - ratio) * len(samples) / (len(samples) - len(lengths))
    found: Floats = larger * inverse @ meat @ inverse / np.outer(lengths, lengths)
    return (found + found.T) / 2.0 if np.all(np.isfinite(found)) else None


def _unsettled(found: TemperatureFit, joint: Floats, load: float) -> str:
    """Why a fitted term is not known well enough; empty where it is. ``load``: the mean CPU use."""
    assert found.term is not None
    own = len(joint) - (2 if found.reference_error is None else 3)
    at = np.array([1.0, load])
    value = found.term.idle + (found.term.full - found.term.idle) * load
    error = math.sqrt(max(float(at @ joint[own : own + 2, own : own + 2] @ at), 0.0))
    if value > _SETTLED * error:
        return ""
    return (
        f"temperature explains nothing for certain: {value:.3g} ± {error:.2g} W/K at the mean load, the standard error "
        "is too large: collect more samples, over more of the temperatures"
    )
