"""How far to trust a fitted curve: figures, thresholds, a verdict and its reasons in words.

Owns the thresholds. One that is missed makes a fit only ``usable``, one that is missed by far gets it ``refused``;
every reason names the figure and what to do. The samples are judged first: what is no matter of the curve need not be
said of the curve again. A doubt whether anybody has measured the samples leaves a fit no more than ``usable``, however
good its figures. Assumes nothing of how the curve was found. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Verdict = Literal["good", "usable", "refused"]
Confidence = Literal["high", "low"]


@dataclass(frozen=True, slots=True)
class SampleFacts:
    """What the samples are. NaN: cannot be told, and does no harm."""

    samples: int  # that could be used
    dropped: int  # that could not: no numbers, or no measurement
    levels: int  # distinct load levels
    low: float  # [1] utilisation between which 98 % of the samples lie
    high: float  # [1]
    correlation: float  # of watts with CPU, without the samples far off the curve

    @property
    def all(self) -> int:
        """Samples, usable or not."""
        return self.samples + self.dropped

    @property
    def lost(self) -> float:
        """Share of all samples that could not be used."""
        return self.dropped / max(self.all, 1)

    @property
    def range(self) -> float:
        """[1] of utilisation."""
        return self.high - self.low


@dataclass(frozen=True, slots=True)
class CurveFacts:
    """How well a curve goes through its samples. NaN: cannot be told, and does no harm."""

    stray: float  # share of the samples that lie so far off the curve that the figures below are without them
    r2: float
    error: float  # root mean square error over the mean power
    held_back: float  # cross-validated root mean square error over the rise of the curve in the range of the samples
    rise: float  # that rise over its standard error
    width: float  # largest half-width of the 95 % interval of P(u) in that range, over that rise
    bend: float  # standard error of k2 over |k2|; NaN for curves without
    bounds: tuple[str, ...]  # parameters that the bounds have stopped


@dataclass(frozen=True, slots=True)
class Threshold:
    """One figure, and from where on it is good or refused."""

    figure: str  # a field or property of the facts
    good: float  # at least so much is good; at most, where ``refused`` is the larger
    refused: float  # less (or more) is refused
    words: str  # what is the matter: a format for the facts ``f``
    remedy: str

    def verdict(self, facts: Any) -> Verdict:
        value, least = float(getattr(facts, self.figure)), self.good > self.refused
        if math.isnan(value) or (value >= self.good if least else value <= self.good):
            return "good"
        return "refused" if (value < self.refused if least else value > self.refused) else "usable"

    def reason(self, facts: Any) -> str:
        return f"{self.words.format(f=facts)}: {self.remedy}"


TOO_GOOD = 0.001
"""[1] of the mean power: samples that lie closer to a curve than this were hardly measured. Watts that are read in
whole ones, as a BMC's are, are off by 0.29 W on average (1/sqrt(12)), which is that much of a server of 300 W; and what
else moves a server's power, temperature and fans, is more."""
TOO_GOOD_SAMPLES = 50
"""Fewer may be a table of levels, each the mean of minutes."""

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
    """What is thought of a fit."""

    verdict: Verdict
    reasons: tuple[str, ...]
    """In words, refusals first; at least one where the verdict is not good."""
    confidence: Confidence
    """``low``: refused, or it is in doubt whether the watts were measured at all."""


def judge(samples: SampleFacts, curve: CurveFacts | None, doubt: str = "") -> Judgement:
    """The worst of all thresholds, and those that were missed in words.

    ``curve`` None, or samples that are refused: only the samples are judged. ``doubt`` says why the watts are no
    measurement; empty: as far as anybody knows they are one.
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
        f"curve (a meter's own noise is above {TOO_GOOD:g}), as where watts are worked out of CPU use: {_METER}"
    )


def _missed(thresholds: Sequence[Threshold], facts: SampleFacts | CurveFacts) -> tuple[list[str], list[str]]:
    """(reasons to refuse, reasons for no more than usable)."""
    found: dict[Verdict, list[str]] = {"good": [], "usable": [], "refused": []}
    for threshold in thresholds:
        if (verdict := threshold.verdict(facts)) != "good":
            found[verdict].append(threshold.reason(facts))
    return found["refused"], found["usable"]
