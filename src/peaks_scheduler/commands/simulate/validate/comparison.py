"""Learns the hosts' curve from the past, predicts the power of all of them, and measures how close that comes.

Owns the figures. All predictions are forward: of the frozen model from the first span alone, of the refitted one from
what was measured before each refit (``fitting.rolling``). Nothing after a sample has any part in its prediction. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from peaks_scheduler.arrays import Floats
from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.fitting.result import Fit
from peaks_scheduler.fitting.rolling import Rolling, roll
from peaks_scheduler.fitting.shared import choose_family, fit_shared
from peaks_scheduler.fitting.shared_samples import SharedSamples, meter_of
from peaks_scheduler.simulation.accuracy import interval_means, mape, nad, rmsle, within

HOST = "host"
"""The one kind of node."""
FIVE_MINUTES = 300.0
_LEAST = 100  # samples before and after the freeze; fewer make no figure


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """What came of it."""

    frozen: Fit
    """The hosts' curve as it was learned from the first span, judged."""
    last: Fit
    """The curve from everything up to the last sample."""
    rolling: Rolling
    figures: dict[str, float | int]
    """By their names in the JSON output."""


def compare(
    samples: SharedSamples, freeze: float, every: float, progress: Callable[[int, int], None] | None = None
) -> Comparison:
    """Compare predictions and measurements after the first ``freeze`` seconds, refitting ``every`` seconds.

    Raises ConfigurationError where the samples are too few, or nothing can be learned from the first span.
    """
    assert samples.time is not None
    samples = samples.usable()
    assert samples.time is not None
    past = samples.time <= freeze
    before, after = int(past.sum()), int((~past).sum())
    if min(before, after) < _LEAST:
        raise ConfigurationError(
            f"--freeze {freeze / 3600.0:g}h: expected at least {_LEAST} samples before and after it, while work was "
            "measured; "
            f"got {before} and {after}: choose another span, or a longer measurement"
        )
    learned = samples.of(past)
    family = choose_family(meter_of(learned))
    if not (first := fit_shared(learned, family)).solution:
        raise ConfigurationError(f"--power: expected samples to learn from: {'; '.join(first.kinds[HOST].reasons)}")
    rolled = roll(meter_of(samples).columns(family), samples.watts, samples.time, freeze, every, progress)
    frozen = fit_shared(learned, family, half_life=rolled.frozen_half_life * 3600.0)
    last = fit_shared(samples, family, half_life=rolled.half_lives[-1] * 3600.0)
    return Comparison(frozen.kinds[HOST], last.kinds[HOST], rolled, _figures(samples.of(~past), rolled, every))


def _figures(samples: SharedSamples, rolled: Rolling, every: float) -> dict[str, float | int]:
    assert samples.time is not None
    watts, time = samples.watts, samples.time
    five = [interval_means(time, each, FIVE_MINUTES) for each in (rolled.refitted, watts)]
    return {
        "mape_frozen": mape(rolled.frozen, watts),
        "mape_refitted": mape(rolled.refitted, watts),
        "mape_5min": mape(*five),
        "coverage95": float(np.mean((rolled.low <= watts) & (watts <= rolled.high))),
        "under10": within(rolled.refitted, watts, 0.1),
        "nad": nad(rolled.refitted, watts),
        "rmsle": rmsle(rolled.refitted, watts),
        "mape_persistence": _persistence(time, watts, every),
        "energy_error_frozen": _energy_error(rolled.frozen, watts),
        "energy_error_refitted": _energy_error(rolled.refitted, watts),
        "interval_half_width_watts": float(np.mean(rolled.high - rolled.low) / 2.0),
        "samples": len(watts),
        "hours": float(time[-1] - time[0]) / 3600.0,
        "refits": len(rolled.half_lives),
    }


def _energy_error(predicted: Floats, watts: Floats) -> float:
    """[%] of the energy, above 0: predicted too much."""
    return 100.0 * (float(predicted.sum()) / float(watts.sum()) - 1.0)


def _persistence(time: Floats, watts: Floats, every: float) -> float:
    """[%] MAPE of the power measured ``every`` seconds before: what a prediction without a model comes to."""
    earlier = np.searchsorted(time, time - every, "right") - 1
    known = earlier >= 0
    return mape(watts[earlier[known]], watts[known])


def hours(half_life: float) -> float | None:
    """[h] for the report; None where nothing is forgotten."""
    return None if math.isinf(half_life) else half_life
