"""Figures of accuracy, by arithmetic."""

from __future__ import annotations

import numpy as np
import pytest

from peaks_scheduler.simulation.accuracy import interval_means, mape, nad, rmsle, within

MEASURED = np.array([100.0, 200.0, 400.0])
PREDICTED = np.array([110.0, 200.0, 300.0])


def test_mape_is_the_mean_of_the_relative_errors() -> None:
    assert mape(PREDICTED, MEASURED) == pytest.approx((10.0 + 0.0 + 25.0) / 3.0)


def test_nad_is_the_sum_of_the_errors_over_the_sum_of_the_power() -> None:
    assert nad(PREDICTED, MEASURED) == pytest.approx(100.0 * 110.0 / 700.0)


def test_rmsle_counts_a_half_and_a_double_alike() -> None:
    assert rmsle(np.array([50.0]), np.array([100.0])) == pytest.approx(np.log(2.0))
    assert rmsle(np.array([200.0]), np.array([100.0])) == pytest.approx(np.log(2.0))


def test_an_error_of_exactly_the_share_is_not_within_it() -> None:
    assert within(PREDICTED, MEASURED, 0.1) == pytest.approx(1.0 / 3.0)


def test_means_are_over_whole_intervals_only() -> None:
    times = np.array([30.0, 60.0, 90.0, 120.0, 150.0])  # two a minute; the last minute has one
    assert interval_means(times, np.array([1.0, 3.0, 5.0, 7.0, 100.0]), 60.0).tolist() == [2.0, 6.0]
