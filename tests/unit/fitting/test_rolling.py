"""Power predicted hour by hour: from the past alone, and with intervals that hold.

A meter is read every two minutes for two days, with the first day as the first span: 720 samples a day.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import lfilter

from peaks_scheduler.arrays import Floats
from peaks_scheduler.fitting.rolling import Rolling, roll

DAY, HOUR, STEP = 86_400.0, 3600.0, 120.0
FIRST = 720  # samples of a day
TIME = STEP * np.arange(1, 2 * FIRST + 1)


def made(seed: int, *, same: float = 0.5, drift: float = 0.0) -> tuple[Floats, Floats]:
    """((S, 2) columns of 10 nodes, (S,) watts): 60 W + 90 W * use each, noise of 5 W correlated in time, and a level
    that wanders by ``drift`` a sample."""
    rng = np.random.default_rng(seed)
    use = 5.0 + 4.0 * np.sin(np.arange(len(TIME)) / 40.0) + rng.random(len(TIME))
    noise = np.asarray(lfilter([np.sqrt(1.0 - same**2)], [1.0, -same], 5.0 * rng.normal(size=len(TIME))))
    columns = np.column_stack([np.full(len(TIME), 10.0), use])
    return columns, columns @ np.array([60.0, 90.0]) + noise + np.cumsum(drift * rng.normal(size=len(TIME)))


def rolled(columns: Floats, watts: Floats) -> Rolling:
    return roll(columns, watts, TIME, DAY, HOUR)


def test_a_true_model_predicts_to_within_the_noise() -> None:
    columns, watts = made(1)
    found = rolled(columns, watts)
    assert np.std(found.refitted - watts[FIRST:]) == pytest.approx(5.0, rel=0.15)


def test_there_is_a_refit_for_every_hour_after_the_first_span() -> None:
    assert len(rolled(*made(1)).half_lives) == 24


def test_nothing_of_the_future_changes_a_prediction_or_an_interval() -> None:
    columns, watts = made(1, drift=1.0)
    other = watts.copy()
    other[FIRST + 300 :] *= 1.5  # from hour 10 of the second day on
    a, b = rolled(columns, watts), rolled(columns, other)
    for name in ("frozen", "refitted", "low", "high"):
        assert np.array_equal(getattr(a, name)[:300], getattr(b, name)[:300]), name


def test_the_frozen_predictions_never_see_the_second_day() -> None:
    columns, watts = made(1)
    other = np.where(np.arange(len(watts)) < FIRST, watts, 2.0 * watts)
    assert np.array_equal(rolled(columns, watts).frozen, rolled(columns, other).frozen)


@pytest.mark.parametrize("drift", [0.0, 2.0])
def test_95_of_100_samples_lie_in_their_interval(drift: float) -> None:
    inside = []
    for seed in range(12):
        columns, watts = made(seed, drift=drift)
        found = rolled(columns, watts)
        inside.append(np.mean((found.low <= watts[FIRST:]) & (watts[FIRST:] <= found.high)))
    # the mean of 12 days; its standard error is below 1 %, as the days differ by less than 3.5 %
    assert np.std(inside) < 0.035
    assert 0.92 < np.mean(inside) < 0.98


def test_a_level_that_wanders_is_followed_by_a_short_memory() -> None:
    columns, watts = made(1, drift=3.0)
    found = rolled(columns, watts)
    assert np.mean(np.abs(found.refitted - watts[FIRST:])) < 0.5 * np.mean(np.abs(found.frozen - watts[FIRST:]))
    assert max(found.half_lives) <= 6.0
