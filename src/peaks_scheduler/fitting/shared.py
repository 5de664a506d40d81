"""``fit_shared``: learns the curve of each kind of node from the sum of the power of many nodes.

One meter for many machines and each machine's CPU use are enough where the machines of a kind are alike: the sum is
linear in the parameters of the kinds' curves (``shared_samples``, ``shared_families``), and parameters that are never
negative make curves that never fall (``nonnegative``). Owns the order of the steps and the choice of the family. The
result is a ``Fit`` for each kind, judged by the thresholds of any fit (``judgement``), with reasons of its own where
kinds cannot be told apart. Errors and noise are those of the sum, divided by the number of nodes. Pure.

Families are compared by contiguous blocks of time that are held back: samples close in time are alike, so single ones
would tell nothing. The simplest family counts whose error is at most ``MARGIN`` above the least.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from peaks_scheduler.arrays import Floats, Mask
from peaks_scheduler.errors import ModelFitError
from peaks_scheduler.power.models import Quality
from peaks_scheduler.power.plausibility import implausible
from peaks_scheduler.text.words import few, nearest

from .family_choice import MARGIN, far_off
from .judgement import CurveFacts, SampleFacts, Verdict, judge
from .nonnegative import FORGOTTEN, NonNegative, independent, nonnegative_fit
from .result import Fit
from .samples import load_levels
from .shared_families import MODELS, SharedFamily, families_for
from .shared_samples import Meter, SharedSamples, meter_of

BLOCKS = 6  # held back one after the other
LEAST = 5  # samples; fewer determine nothing
ALIKE = 0.98  # correlation of two kinds' summed use, from which on they are named as hard to tell apart
_CHOICE_SAMPLES = 6000  # at most so many choose the family
_LEVEL_SAMPLES = 20_000  # at most so many of the nodes' values are counted into load levels


@dataclass(frozen=True, slots=True, eq=False)
class SharedFit:
    """The curves behind one meter."""

    kinds: Mapping[str, Fit]
    family: SharedFamily | None = None
    """None: nothing could be fitted."""
    solution: NonNegative | None = None
    meter: Meter | None = None

    @property
    def verdict(self) -> Verdict:
        """The worst of the kinds' verdicts."""
        order: tuple[Verdict, ...] = ("good", "usable", "refused")
        return max((fit.verdict for fit in self.kinds.values()), key=order.index)


def fit_shared(
    samples: SharedSamples,
    model: str | SharedFamily = "auto",
    *,
    half_life: float = math.inf,
    doubt: str = "",
) -> SharedFit:
    """The curve of every kind of node on the meter.

    half_life   [s] of age by which a sample's weight halves; only for samples with times
    doubt       why the watts may be no measurement; empty for no doubt

    Raises ModelFitError for an unknown ``model``; samples that cannot be fitted give refused fits with the reason.
    """
    if isinstance(model, str) and model not in MODELS:
        raise ModelFitError(f"model: expected one of {', '.join(MODELS)}; got {model!r}{nearest(model, MODELS)}")
    usable = samples.usable()
    dropped = len(samples) - len(usable)
    usable, weights = _remembered(usable, half_life)
    if trouble := _hopeless(usable, len(samples)):
        return SharedFit({kind: _nothing(trouble, len(usable)) for kind in samples.use})
    meter = meter_of(usable)
    chosen = choose_family(meter, model) if isinstance(model, str) else model
    columns = meter.columns(chosen)
    solution = nonnegative_fit(columns, usable.watts, usable.time, weights)
    judged = _Judged(meter, chosen, solution, held_back(columns, usable.watts), dropped, doubt)
    return SharedFit({kind: judged.fit(k) for k, kind in enumerate(meter.kinds)}, chosen, solution, meter)


def _remembered(samples: SharedSamples, half_life: float) -> tuple[SharedSamples, Floats]:
    """The samples that are not forgotten, and the weight of each."""
    if samples.time is None or not len(samples):
        return samples, np.ones(len(samples))
    weights = np.exp2((samples.time - samples.time[-1]) / half_life)
    kept = weights >= FORGOTTEN
    return samples.of(kept), weights[kept]


def choose_family(meter: Meter, model: str = "auto") -> SharedFamily:
    """The simplest family that predicts blocks of time held back about as well as the best one does."""
    step = -(-len(meter.samples) // _CHOICE_SAMPLES)
    thin = meter if step == 1 else meter_of(meter.samples.of(slice(None, None, step)))
    everything = np.concatenate([u.ravel() for u in thin.samples.use.values()])
    families = families_for(model, everything)
    if len(families) == 1:
        return families[0]
    systems = {family: thin.columns(family) for family in families}
    known = {f: held_back(c, thin.samples.watts) for f, c in systems.items() if independent(c)}
    if not known:
        return families[0]
    limit = min(known.values()) * (1.0 + MARGIN)
    return next(family for family, error in known.items() if error <= limit)


def held_back(columns: Floats, watts: Floats) -> float:
    """[W] root mean square error of the sum on blocks of time held back; NaN with fewer than two samples a block.

    A sample far off counts with the error from which on it is far off: a few wrong ones must not decide.
    """
    blocks = min(BLOCKS, len(watts) // 2)
    if blocks < 2:
        return math.nan
    block = np.arange(len(watts)) * blocks // len(watts)
    errors = np.empty(len(watts))
    for number in range(blocks):
        held = block == number
        parameters = nonnegative_fit(columns[~held], watts[~held]).parameters
        errors[held] = watts[held] - columns[held] @ parameters
    limit = max(10.0 * float(np.median(np.abs(errors))), 1e-9 * float(watts.max()))
    return math.sqrt(float(np.mean(np.minimum(np.abs(errors), limit) ** 2)))


def _hopeless(usable: SharedSamples, given: int) -> str:
    """Why nothing can be fitted to these samples; empty where something may."""
    if len(usable) < LEAST:
        return (
            f"{len(usable)} usable samples of {given}, at least {LEAST} are needed (a number each, CPU within 0..1, "
            "power above 0 and at most 100 kW a node): check the series, their times and units"
        )
    if float(np.ptp(usable.watts)) == 0.0:
        return f"power is {usable.watts[0]:g} W in all samples, so it is not measured: take another series"
    if all(float(np.ptp(np.nansum(u, axis=1))) == 0.0 for u in usable.use.values()):
        return "the use of all nodes together never changes: check the series, or put load on some nodes"
    return ""


def _nothing(reason: str, samples: int) -> Fit:
    return Fit(None, Quality(samples=samples), "refused", (reason,), math.nan, 0)


@dataclass(frozen=True, slots=True, eq=False)
class _Judged:
    """What the fits of the kinds have in common."""

    meter: Meter
    family: SharedFamily
    solution: NonNegative
    held: float
    dropped: int
    doubt: str

    def fit(self, k: int) -> Fit:
        """The k-th kind's curve with errors, verdict and reasons."""
        matrix = self.meter.matrix(k, self.family, self.solution.parameters)
        curve, of_curve = self.family.curve(matrix @ self.solution.parameters)
        full = of_curve @ matrix
        covariance = full @ self.solution.covariance @ full.T if np.all(np.isfinite(self.solution.covariance)) else None
        quality = self._quality(k, covariance)
        bare = Fit(curve, quality, "refused", (), self.solution.scale / self._nodes, self.solution.degrees)
        facts = self._sample_facts(k)
        found = judge(facts, self._curve_facts(bare, facts, k), self.doubt)
        own = [] if covariance is not None else [self._inseparable()]
        own += [trouble] if (trouble := implausible(curve)) else []
        softer = self._softer(k, found.verdict)
        verdict: Verdict = "refused" if own else "usable" if softer and found.verdict == "good" else found.verdict
        confidence = "low" if verdict == "refused" else found.confidence
        kept = replace(quality, confidence="low") if confidence == "low" else quality
        reasons = (*own, *found.reasons, *softer)
        return Fit(curve, kept, verdict, reasons, bare.noise_watts, bare.degrees, confidence)

    @property
    def _nodes(self) -> float:
        return float(self.meter.counts.sum(axis=1).mean())

    @property
    def _near(self) -> Mask:
        return ~far_off(self.solution.residuals, self.solution.scale, self.meter.samples.watts)

    def _quality(self, k: int, covariance: Floats | None) -> Quality:
        near, watts = self._near, self.meter.samples.watts
        residuals = self.solution.residuals[near]
        total = float(((watts[near] - watts[near].mean()) ** 2).sum())
        use = list(self.meter.samples.use.values())[k]
        return Quality(
            rmse_watts=math.sqrt(float(np.mean(residuals**2))) / self._nodes,
            r2=1.0 - float(residuals @ residuals) / total if total > 0.0 else 0.0,
            samples=len(watts),
            cpu_min=float(np.nanmin(use)),
            cpu_max=float(np.nanmax(use)),
            cv_rmse_watts=None if math.isnan(self.held) else self.held / self._nodes,
            covariance=None if covariance is None else tuple(tuple(map(float, row)) for row in covariance),
        )

    def _sample_facts(self, k: int) -> SampleFacts:
        use = list(self.meter.samples.use.values())[k]
        known = np.sort(use[np.isfinite(use)])
        levels = load_levels(known[:: -(-known.size // _LEVEL_SAMPLES)])
        return SampleFacts(
            samples=len(self.meter.samples),
            dropped=self.dropped,
            levels=int(levels.max()) + 1,
            low=float(known[known.size // 100]),
            high=float(known[-1 - known.size // 100]),
            correlation=self._correlation(k),
        )

    def _correlation(self, k: int) -> float:
        """Of this kind's part of the measured watts with its summed use."""
        _, others = self.meter.share_of_watts(k, self.family, self.solution.parameters)
        near = self._near
        own = (self.meter.samples.watts - others)[near]
        summed = np.nansum(list(self.meter.samples.use.values())[k], axis=1)[near]
        if len(own) < 2 or float(np.ptp(own)) == 0.0 or float(np.ptp(summed)) == 0.0:
            return 0.0
        return float(np.corrcoef(own, summed)[0, 1])

    def _curve_facts(self, fit: Fit, facts: SampleFacts, k: int) -> CurveFacts:
        assert fit.curve is not None
        near, quality = self._near, fit.quality
        own, _ = self.meter.share_of_watts(k, self.family, self.solution.parameters)
        span = float(np.ptp(np.quantile(own, [0.01, 0.99])))
        rise = fit.curve.watts(facts.high) - fit.curve.watts(facts.low)
        low, high = fit.interval(np.linspace(facts.low, facts.high, 11))
        least, most = fit.rise_interval(facts.low, facts.range)
        return CurveFacts(
            stray=float((~near).mean()),
            r2=quality.r2 or 0.0,
            error=(quality.rmse_watts or 0.0) * self._nodes / float(self.meter.samples.watts[near].mean()),
            held_back=self.held / span if span > 0.0 else math.nan,
            rise=_over(rise, (most - least) / 2.0 / fit.quantile(0.95)),
            width=_over(float(((high - low) / 2.0).max()), rise),
            bend=math.nan,
            bounds=(),
        )

    def _inseparable(self) -> str:
        return (
            f"the samples do not determine the curves of {few(self.meter.kinds)}: their use never changes apart: "
            "measure while some kinds or nodes are idle and others are not, or give nodes that are alike one kind"
        )

    def _softer(self, k: int, verdict: Verdict) -> list[str]:
        """Reasons for only usable that come of several kinds on one meter."""
        if len(self.meter.kinds) == 1:
            return []
        reasons = []
        alike = self._alike(k)
        if alike and verdict != "good":
            reasons.append(
                f"its use rises and falls with that of {few(alike)}, so the two are hard to tell apart: measure while "
                "one of them is idle, or give nodes that are alike one kind"
            )
        if not self.meter.apart:
            reasons.append(
                f"the idle power of {few(self.meter.kinds)} is known only together, and divided in proportion to their "
                "rises (the power that a placement costs does not depend on it): measure while the nodes of one kind "
                "are off, or give each kind a meter"
            )
        return reasons

    def _alike(self, k: int) -> list[str]:
        """The kinds whose summed use correlates with this one's."""
        sums = [np.nansum(u, axis=1) for u in self.meter.samples.use.values()]
        moving = [j for j, each in enumerate(sums) if j != k and float(np.ptp(each)) > 0.0]
        if float(np.ptp(sums[k])) == 0.0:
            return []
        return [self.meter.kinds[j] for j in moving if abs(np.corrcoef(sums[j], sums[k])[0, 1]) >= ALIKE]


def _over(a: float, b: float) -> float:
    """a / b; NaN where one is unknown, inf where only b is 0."""
    if math.isnan(a) or math.isnan(b) or a == b == 0.0:
        return math.nan
    return a / b if b > 0.0 else math.inf
