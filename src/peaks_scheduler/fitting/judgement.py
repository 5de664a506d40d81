"""Judges a fitted curve: figures, thresholds, a verdict, and its reasons in words.

Owns the thresholds. A figure that misses its threshold makes a fit only ``usable``; one that misses it by far makes the
fit ``refused``. Every reason names the figure and what to do. The samples are judged first; if they are refused, the
curve is not judged. If it is doubtful whether the watts were measured, the fit is at most ``usable``, however good its
figures are. Does not depend on how the curve was found. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

Verdict = Literal["good", "usable", "refused"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
"""The better one first."""
Confidence = Literal["high", "low"]


@dataclass(frozen=True, slots=True)
class SampleFacts:
    """Figures of the samples. A figure that is NaN is not known and counts as good."""

    samples: int  # usable samples
    dropped: int  # unusable ones: no numbers, or no measurement
    levels: int  # distinct load levels
    low: float  # [1] 98 % of the samples have a utilisation between low
    high: float  # [1] and high
    correlation: float  # of watts with CPU, without the samples far off the curve

    @property
    def all(self) -> int:
        """Number of samples, usable or not."""
        return self.samples + self.dropped

    @property
    def lost(self) -> float:
        """Share of all samples that were not usable."""
        return self.dropped / max(self.all, 1)

    @property
    def range(self) -> float:
        """Range of utilisation [1]."""
        return self.high - self.low


@dataclass(frozen=True, slots=True)
class CurveFacts:
    """Figures of a curve. "Rise": of the curve over the range of the samples. NaN is not known and counts as good."""

    stray: float  # share of samples far off the curve; r2 and error are without them
    r2: float
    error: float  # root mean square error / mean power
    held_back: float  # cross-validated root mean square error / rise
    rise: float  # rise / its standard error
    width: float  # largest half-width of the 95 % interval of P(u) in the range / rise
    bend: float  # standard error of k2 / |k2|; NaN for curves without k2
    bounds: tuple[str, ...]  # parameters that lie at a bound, in words


@dataclass(frozen=True, slots=True)
class Threshold:
    """The limits of one figure. If good > refused, large values are good; else small values are."""

    figure: str  # a field or property of the facts
    good: float  # this value or better is good
    refused: float  # a worse value is refused; values in between are usable
    words: str  # the problem: a format string for the facts ``f``
    remedy: str

    def verdict(self, facts: Any) -> Verdict:
        value, least = float(getattr(facts, self.figure)), self.good > self.refused
        if math.isnan(value) or (value >= self.good if least else value <= self.good):
            return "good"
        return "refused" if (value < self.refused if least else value > self.refused) else "usable"

    def reason(self, facts: Any) -> str:
        return f"{self.words.format(f=facts)}: {self.remedy}"


TOO_GOOD = 0.001
"""Relative error, of the mean power. Samples with a smaller error were hardly measured: whole watts, as a BMC reports,
are off by 0.29 W (1/sqrt(12)), which is this much of 300 W. Temperature and fans change a server's power by more."""
TOO_GOOD_SAMPLES = 50
"""Fewer samples may be a table of levels, each the mean of minutes, and may have a small error."""

_WHOLE = "measure over more of the node's load, best by a load test from idle to full"
_MORE = "collect more samples"
_SERIES = "check that both series are of the same node and instants, and their units"
_METER = "take a meter (IPMI, Redfish, RAPL, a PDU) if the node has one"
_OTHERS = "average over longer intervals, or look for other loads (GPU, disks)"
_BENDS = "a straight line (linear) may do, or collect more samples"

# fmt: off
OF_SAMPLES = (
    #         figure         good  refused
    Threshold("samples",        8,    5, "{f.samples} samples only", _MORE),
    Threshold("lost",         0.1,  0.5, "{f.dropped} of {f.all} samples are no measurements "
                                         "(no number, or not within 0..1 of CPU and 0..100 kW)", _SERIES),
    Threshold("high",         0.6,  0.3, "measured between {f.low:.1%} and {f.high:.1%} of load only, "
                                         "a curve beyond is a guess", _WHOLE),
    Threshold("range",        0.5, 0.25, "the load varies by {f.range:.1%} of full load only", _WHOLE),
    Threshold("levels",         5,    2, "{f.levels} load levels only", _WHOLE),
    Threshold("correlation",  0.6,  0.3, "no clear positive correlation between CPU and power "
                                         "(r = {f.correlation:.2f})", _SERIES),
)
OF_CURVES = (
    Threshold("stray",      0.005,  0.2, "{f.stray:.1%} of the samples lie far off the curve "
                                         "(they hardly bend it; error and R2 are without them)", _SERIES),
    Threshold("r2",           0.8,  0.3, "the curve explains {f.r2:.0%} of the variance of power only (R2)", _OTHERS),
    Threshold("error",        0.1,  0.3, "the samples scatter by {f.error:.0%} of the mean power", _OTHERS),
    Threshold("held_back",   0.15,  0.5, "load levels held back are predicted to within {f.held_back:.0%} of the "
                                         "curve's rise only", "measure at more load levels, or take another model"),
    Threshold("rise",         4.0,  2.0, "the rise of power with load is only {f.rise:.1f} standard errors", _MORE),
    Threshold("width",       0.15,  0.5, "the 95 % interval of the curve is ±{f.width:.0%} of its rise", _MORE),
    Threshold("bend",     1.0, math.inf, "whether the curve bends up or down is not settled "
                                         "(the standard error of k2 is {f.bend:.1f} times k2)", _BENDS),
)
# fmt: on
"""Each in the order in which the reasons are given."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict on a fit."""

    verdict: Verdict
    reasons: tuple[str, ...]
    """In words, reasons to refuse first; at least one unless the verdict is good."""
    confidence: Confidence
    """``low``: refused, or it is doubtful whether the watts were measured at all."""


def judge(samples: SampleFacts, curve: CurveFacts | None, doubt: str = "") -> Judgement:
    """The worst verdict of all thresholds, with a reason for each threshold that is missed.

    If ``curve`` is None or the samples are refused, only the samples are judged. ``doubt`` says why the watts may be no
    measurement; empty for no doubt.
    """
    refused, usable = _missed(OF_SAMPLES, samples)
    doubts = [f"no measurement: {doubt}: {_METER}"] if doubt else []
    if curve is not None and not refused:
        refused, more = _missed(OF_CURVES, curve)
        usable += more
        if curve.bounds:
            usable.append(f"the samples do not settle {', '.join(curve.bounds)} (stopped by its bound): {_WHOLE}")
        if samples.samples >= TOO_GOOD_SAMPLES and curve.error < TOO_GOOD:
            doubts.append(_too_good(samples, curve))
    verdict: Verdict = "refused" if refused else "usable" if usable or doubts else "good"
    return Judgement(verdict, (*refused, *doubts, *usable), "low" if refused or doubts else "high")


def _too_good(samples: SampleFacts, curve: CurveFacts) -> str:
    return (
        f"too good to be measured: {samples.samples} samples lie within {curve.error:.2g} of the mean power of the "
        f"curve (a meter's own noise is above {TOO_GOOD:g}), as if watts were computed from CPU use: {_METER}"
    )


def _missed(thresholds: Sequence[Threshold], facts: SampleFacts | CurveFacts) -> tuple[list[str], list[str]]:
    """(reasons to refuse, reasons for only usable)."""
    found: dict[Verdict, list[str]] = {"good": [], "usable": [], "refused": []}
    for threshold in thresholds:
        if (verdict := threshold.verdict(facts)) != "good":
            found[verdict].append(threshold.reason(facts))
    return found["refused"], found["usable"]
