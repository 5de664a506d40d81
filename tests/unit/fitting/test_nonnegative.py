"""Robust least squares with parameters that are never negative, against other implementations and by arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import lsq_linear

from peaks_scheduler.fitting.nonnegative import bounded, nonnegative_fit

RNG = np.random.default_rng(7)
COLUMNS = np.column_stack([np.ones(400), RNG.random((400, 3))])


@pytest.mark.parametrize("truth", [(5.0, 1.0, 2.0, 3.0), (5.0, -1.0, 2.0, -3.0), (-5.0, 1.0, 2.0, 3.0)])
def test_the_solution_is_that_of_scipys_bounded_least_squares(truth: tuple[float, ...]) -> None:
    y = COLUMNS @ np.array(truth) + RNG.normal(size=400)
    weights = RNG.random(400)
    root = np.sqrt(weights)
    other = lsq_linear(COLUMNS * root[:, None], y * root, (0.0, np.inf), tol=1e-14).x
    assert bounded(COLUMNS, y, weights) == pytest.approx(other, abs=1e-6)


def test_columns_that_depend_on_one_another_are_solved_all_the_same() -> None:
    twice = np.column_stack([COLUMNS, COLUMNS[:, 1]])
    y = COLUMNS @ np.array([5.0, 1.0, 2.0, 3.0])
    assert twice @ bounded(twice, y, np.ones(400)) == pytest.approx(y)


def test_the_errors_are_those_of_the_textbook_where_no_bound_holds() -> None:
    y = COLUMNS @ np.array([5.0, 4.0, 4.0, 4.0]) + RNG.normal(size=400)
    found = nonnegative_fit(COLUMNS, y)
    textbook = np.sqrt(np.diag(np.linalg.inv(COLUMNS.T @ COLUMNS)))  # noise of 1; soft-L1 costs 3 % of the precision
    assert np.sqrt(np.diag(found.covariance)) == pytest.approx(1.015 * textbook, rel=0.15)


def test_undetermined_parameters_have_infinite_errors() -> None:
    twice = np.column_stack([COLUMNS, COLUMNS[:, 1]])
    assert np.isinf(nonnegative_fit(twice, COLUMNS @ np.array([5.0, 1.0, 2.0, 3.0])).covariance).all()


def test_forgotten_samples_do_not_count() -> None:
    y = np.where(np.arange(400) < 200, 100.0, 7.0)
    weights = np.where(np.arange(400) < 200, 1e-6, 1.0)
    found = nonnegative_fit(np.ones((400, 1)), y, weights=weights)
    assert found.parameters == pytest.approx([7.0])
    assert len(found.residuals) == 200
