"""The delta method, on numbers that are done by hand: var(f) = g' C g."""

from __future__ import annotations

import numpy as np
import pytest

from peaks_scheduler.power.delta_method import standard_errors

# a + b has the variance 4 + 9 + 2 * 3, a - b has 4 + 9 - 2 * 3, and 2 a has 4 * 4
COVARIANCE = ((4.0, 3.0), (3.0, 9.0))


@pytest.mark.parametrize(
    ("gradient", "variance"),
    [((1.0, 1.0), 19.0), ((1.0, -1.0), 7.0), ((2.0, 0.0), 16.0), ((0.0, 0.0), 0.0)],
    ids=["sum", "difference", "multiple", "a constant"],
)
def test_the_error_of_a_number_follows_from_its_derivatives(gradient: tuple[float, ...], variance: float) -> None:
    assert standard_errors(COVARIANCE, np.array(gradient)[:, None]) == pytest.approx([variance**0.5])


def test_every_column_is_a_number_of_its_own() -> None:
    gradient = np.array([[1.0, 2.0], [1.0, 0.0]])
    assert standard_errors(COVARIANCE, gradient) == pytest.approx([19.0**0.5, 4.0])


def test_a_variance_that_rounding_makes_negative_counts_as_0() -> None:
    """The difference of two parameters that are known to be equal, with rounded digits of the covariance."""
    assert standard_errors(((1.0, 1.0), (1.0, 1.0 - 1e-15)), np.array([[1.0], [-1.0]])) == pytest.approx([0.0])
