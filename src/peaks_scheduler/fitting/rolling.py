"""Predicts a meter's power hour by hour with parameters that are fitted again on the past alone, with intervals.

At each refit the parameters are learned from the samples before it and predict the samples up to the next refit.
Nothing of the future is used: not for the parameters, not for the choices below, not for the intervals.

- **Memory.** A sample's weight halves with every half-life of its age: nodes, fans and inlet air change slowly, so the
  last hours say more of the next hour than last week does. Which half-life is right differs from site to site. It is
  the one of ``HALF_LIVES`` with the smallest error of the predictions of the past ``JUDGED`` seconds. For parameters
  that are then frozen the error up to the end of the first span decides, and of half-lives about as good the shortest
  one: a frozen model cannot follow a level that has moved, so it begins with the latest.
- **Intervals.** The standard deviation of a new sample is that of noise and parameters (``NonNegative.deviations``).
  Residuals of a meter have heavy tails and drift for hours. So the interval is as many of these deviations wide as
  would have contained 95 % of the past predictions' errors (split conformal prediction on forward errors). After each
  refit the level is adjusted by the share that the last intervals missed (adaptive conformal inference, Gibbs and
  Candes 2021), which keeps the long-run coverage whatever the errors are like.

The first predictions are made within the first span, from a quarter of it on, as a rehearsal. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from peaks_scheduler.arrays import Floats, Ints

from .nonnegative import NonNegative, nonnegative_fit

HALF_LIVES = (3.0, 6.0, 12.0, 24.0, math.inf)
"""[h] to choose from. With less than 3 h too few different loads are remembered to know a curve."""
JUDGED = 86_400.0
"""[s] of past predictions that choose the half-life and the width: a day has every usual state of a site."""
REHEARSED = 0.25
"""Share of the first span that the first predictions are learned from."""
LEVEL = 0.95
_ALIKE = 0.05  # relative difference of two half-lives' errors that may be chance, for frozen parameters
_STEP = 0.05  # by how much a refit adjusts the level, for each unit of missed share
_LEAST_MISS, _MOST_MISS = 0.002, 0.3  # bounds of the adjusted level


@dataclass(frozen=True, slots=True, eq=False)
class Rolling:
    """Predictions for the V samples after the first span."""

    frozen: Floats
    """(V,) [W] by the parameters learned from the first span."""
    refitted: Floats
    """(V,) [W] by the parameters of the last refit before each sample."""
    low: Floats
    """(V,) [W] 95 % of the samples are expected between low
    and high, for the refitted predictions."""
    high: Floats
    """(V,) [W]"""
    parameters: Floats
    """(P,) of the frozen predictions."""
    last: NonNegative
    """The last refit."""
    frozen_half_life: float
    """[h]"""
    half_lives: tuple[float, ...]
    """[h] of each refit."""


def roll(
    columns: Floats,
    watts: Floats,
    time: Floats,
    freeze: float,
    every: float,
    progress: Callable[[int, int], None] | None = None,
) -> Rolling:
    """Predict the samples after the first ``freeze`` seconds, refitting ``every`` seconds.

    columns (S, P), watts (S,) [W], time (S,) [s] rising, counted from the start of the span.
    """
    first = int(np.searchsorted(time, freeze, "right"))
    edges = _edges(time, freeze, every)
    begin = int(np.argmax(edges >= first))
    runs = _Runs(columns, watts, time, edges)
    for i in range(len(edges) - 1):
        runs.step(i)
        if progress is not None:
            progress(i + 1, len(edges) - 1)
    frozen_half_life, parameters = runs.frozen(begin)
    chosen, low, high = runs.intervals(begin)
    where = np.arange(first, len(watts))
    return Rolling(
        columns[first:] @ parameters,
        runs.predicted[chosen[where], where],
        low[first:],
        high[first:],
        parameters,
        runs.fits[-1][chosen[-1]],
        HALF_LIVES[frozen_half_life],
        tuple(HALF_LIVES[chosen[edge]] for edge in edges[begin:-1]),
    )


def _edges(time: Floats, freeze: float, every: float) -> Ints:
    """(R + 1,) index of the first sample after each refit, and the number of samples; refits without samples to predict
    are left out. The first refit after the first span is at its end."""
    before = freeze - every * np.arange(int(freeze * (1.0 - REHEARSED) / every), -1, -1)
    after = np.arange(freeze + every, float(time[-1]), every)
    starts = np.searchsorted(time, np.concatenate([before, after]), "right")
    edges: Ints = np.unique(np.append(starts[(starts > 0) & (starts < len(time))], len(time)))
    return edges


class _Runs:
    """The predictions of every half-life at every refit."""

    def __init__(self, columns: Floats, watts: Floats, time: Floats, edges: Ints) -> None:
        self.columns, self.watts, self.time, self.edges = columns, watts, time, edges
        self.fits: list[list[NonNegative]] = []
        self.predicted = np.full((len(HALF_LIVES), len(watts)), np.nan)
        self.deviations = np.full_like(self.predicted, np.nan)

    def step(self, i: int) -> None:
        """Fit every half-life to the samples before the i-th refit, and predict those up to the next."""
        start, end = self.edges[i], self.edges[i + 1]
        age = (self.time[start - 1] - self.time[:start]) / 3600.0
        self.fits.append([])
        for h, half_life in enumerate(HALF_LIVES):
            weights = np.exp2(-age / half_life)
            before = self.fits[i - 1][h].parameters if i else None
            found = nonnegative_fit(self.columns[:start], self.watts[:start], self.time[:start], weights, before)
            self.fits[i].append(found)
            new = self.columns[start:end]
            self.predicted[h, start:end] = new @ found.parameters
            self.deviations[h, start:end] = found.deviations(new)

    def frozen(self, begin: int) -> tuple[int, Floats]:
        """(half-life, parameters) of the ``begin``-th refit. Each earlier one is judged up to there."""
        end = self.edges[begin]
        errors = [
            [_relative(self.columns[start:end] @ found.parameters, self.watts[start:end]) for found in self.fits[i]]
            for i, start in enumerate(self.edges[:begin])
        ]
        means = np.mean(errors, axis=0) if errors else np.ones(len(HALF_LIVES))
        best = int(np.argmax(means <= (1.0 + _ALIKE) * means.min()))
        return best, self.fits[begin][best].parameters

    def intervals(self, begin: int) -> tuple[Ints, Floats, Floats]:
        """((S,) half-life, (S,) low, (S,) high [W]) of the samples from the ``begin``-th refit on."""
        absolute = np.abs(self.watts - self.predicted)
        ratios = absolute / self.deviations
        chosen = np.zeros(len(self.watts), np.int64)
        low, high = np.full(len(self.watts), np.nan), np.full(len(self.watts), np.nan)
        miss = 1.0 - LEVEL
        for start, end in zip(self.edges[begin:-1], self.edges[begin + 1 :], strict=True):
            past = slice(self._oldest(int(start)), start)
            best = int(np.argmin(absolute[:, past].mean(axis=1))) if start > past.start else len(HALF_LIVES) - 1
            width = _width(ratios[best, past], miss) * self.deviations[best, start:end]
            chosen[start:end] = best
            low[start:end] = self.predicted[best, start:end] - width
            high[start:end] = self.predicted[best, start:end] + width
            missed = float((absolute[best, start:end] > width).mean())
            miss = min(max(miss + _STEP * (1.0 - LEVEL - missed), _LEAST_MISS), _MOST_MISS)
        return chosen, low, high

    def _oldest(self, start: int) -> int:
        """Index of the oldest prediction that is looked at from ``start`` on."""
        oldest = int(np.searchsorted(self.time, self.time[start - 1] - JUDGED, "right"))
        return min(max(oldest, int(self.edges[0])), start)


def _relative(predicted: Floats, watts: Floats) -> float:
    return float(np.mean(np.abs(predicted - watts) / watts))


def _width(ratios: Floats, miss: float) -> float:
    """How many deviations contain 1 - ``miss`` of the past errors; by the normal distribution without any."""
    return float(np.quantile(ratios, 1.0 - miss)) if ratios.size else 1.96
