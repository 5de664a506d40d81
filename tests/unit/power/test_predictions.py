"""From predicted watts to a curve: where a node is asked, how a curve that falls is mended, how hot processors get."""

from __future__ import annotations

import numpy as np
import pytest

from peaks_scheduler.arrays import Floats
from peaks_scheduler.power.curves import Linear, Piecewise
from peaks_scheduler.power.models import PowerModel
from peaks_scheduler.power.predictions import (
    FIRST,
    MOST_POINTS,
    at_points,
    bends,
    denser,
    following,
    monotone,
    needs_points,
    predicted_model,
    rising,
)
from peaks_scheduler.power.scope import Scope

# --- the grid


def test_a_parabola_is_off_by_half_the_change_of_its_slope() -> None:
    # u*u at 0, 0.5, 1: slopes 0.5 and 1.5, the true one in the middle is 1
    u = np.array([0.0, 0.5, 1.0])
    assert bends(u, u * u) == pytest.approx([0.5 / 0.5, 0.5 / 1.5])


def test_a_straight_line_needs_no_more_points() -> None:
    assert not needs_points(FIRST[None], 100.0 + 80.0 * FIRST[None])[0]


def test_a_corner_on_a_point_needs_no_more_points() -> None:
    watts = 100.0 + 80.0 * FIRST + 200.0 * np.maximum(FIRST - 0.3, 0.0)
    assert not needs_points(FIRST[None], watts[None])[0]


def test_a_corner_between_two_points_is_surrounded() -> None:
    def power(u: Floats) -> Floats:
        watts: Floats = 100.0 + 80.0 * u + 200.0 * np.maximum(u - 0.32, 0.0)
        return watts

    grid = FIRST
    for _ in range(6):
        grid = denser(grid, power(grid))
    right = np.searchsorted(grid, 0.32)
    assert grid[right] - grid[right - 1] < 0.01
    assert np.all((grid[np.isin(grid, FIRST, invert=True)] > 0.25) & (grid[np.isin(grid, FIRST, invert=True)] < 0.4))


@pytest.mark.parametrize("bent", [-2.0, -1.0, 1.0, 2.0])
def test_with_denser_points_jumps_are_within_a_percent(bent: float) -> None:
    def power(u: Floats | float) -> Floats:
        watts: Floats = 100.0 + 150.0 * np.expm1(bent * np.asarray(u)) / np.expm1(bent)
        return watts

    assert needs_points(FIRST[None], power(FIRST)[None])[0]
    grid = denser(FIRST, power(FIRST))
    curve = Piecewise(tuple(grid.tolist()), tuple(power(grid).tolist()))
    starts = np.linspace(0.0, 0.989, 500)
    # pods of a hundredth of the node
    jumps = [curve.watts(u + 0.01) - curve.watts(u) for u in starts]
    assert np.abs(jumps / (power(starts + 0.01) - power(starts)) - 1.0).max() < 0.01


def test_a_grid_never_has_more_points_than_that_and_keeps_the_old_ones() -> None:
    steep = 100.0 + 200.0 * (1.0 - np.exp(-20.0 * FIRST))
    grid = denser(FIRST, steep)
    assert len(grid) == MOST_POINTS
    assert set(FIRST.tolist()) <= set(grid.tolist())
    assert not needs_points(grid[None], grid[None])[0]


def test_a_sensor_is_asked_at_the_first_points_and_counts_in_between() -> None:
    u = np.array([[0.0, 0.025, 0.05, 1.0]])
    values = np.arange(21.0)[None, None]
    assert at_points(u, values)[0, 0].tolist() == [0.0, 0.5, 1.0, 20.0]


# --- repair


@pytest.mark.parametrize(
    ("came", "mended", "change"),
    [
        ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], 0.0),
        ([1.0, 3.0, 2.0, 4.0], [1.0, 2.5, 2.5, 4.0], 0.5),
        ([3.0, 2.0, 1.0], [2.0, 2.0, 2.0], 1.0),
        ([1.0, 5.0, 4.0, 3.0, 9.0], [1.0, 4.0, 4.0, 4.0, 9.0], 1.0),
    ],
    ids=["rises", "one step falls", "falls throughout", "two steps fall"],
)
def test_a_curve_that_falls_is_changed_as_little_as_can_be(
    came: list[float], mended: list[float], change: float
) -> None:
    watts, changes = monotone(np.array([came]))
    assert watts[0].tolist() == mended
    assert changes[0] == change


def test_it_is_what_another_program_finds() -> None:
    from scipy.optimize import isotonic_regression

    came = np.random.default_rng(5).normal(100.0, 20.0, (50, 21)) + 80.0 * FIRST
    watts, _ = monotone(came)
    assert watts == pytest.approx(np.array([isotonic_regression(row).x for row in came]))


def test_what_is_no_number_is_not_mended() -> None:
    came = np.array([[1.0, np.nan, 0.5], [3.0, np.inf, 1.0], [2.0, 1.0, 3.0]])
    watts, _ = monotone(came)
    assert np.isnan(watts[0, 1])
    assert watts[2].tolist() == [1.5, 1.5, 3.0]


def test_a_curve_that_falls_and_then_rises_has_no_free_piece() -> None:
    # 90 W from end to end: each third of the load costs at least 1.5 W
    watts, change = rising(np.array([[0.0, 1 / 3, 2 / 3, 1.0]]), np.array([[110.0, 100.0, 140.0, 200.0]]))
    assert watts[0] == pytest.approx([104.25, 105.75, 140.0, 200.0])
    assert change == pytest.approx([5.75])


def test_a_curve_that_does_not_fall_stays_as_it_is() -> None:
    watts, change = rising(np.array([[0.0, 0.5, 1.0]]), np.array([[100.0, 100.0, 200.0]]))
    assert (watts.tolist(), change.tolist()) == ([[100.0, 100.0, 200.0]], [0.0])


def test_what_a_repair_rises_by_does_not_set_where_points_are_needed() -> None:
    # 0 and 2 W on the first two tenths: off by 1, of a tenth of the mean slope of 100
    assert bends(np.array([0.0, 0.1, 0.2, 1.0]), np.array([0.0, 0.0, 0.2, 100.0]))[0] == pytest.approx(0.1)


# --- the temperature of a processor


def test_above_the_air_it_is_proportional_to_the_power() -> None:
    # 30 K above the air at 150 W: 20 K at 100 W, 40 K at 200 W
    ratio = np.array([[100.0, 150.0, 200.0]]) / 150.0
    assert following(np.array([25.0]), np.array([55.0]), ratio)[0] == pytest.approx([45.0, 55.0, 65.0])


def test_it_slows_itself_down_before_it_burns() -> None:
    assert following(np.array([30.0]), np.array([70.0]), np.array([[1.0, 5.0]]))[0].tolist() == [70.0, 100.0]


def test_one_colder_than_its_air_stays_as_it_is() -> None:
    assert following(np.array([30.0]), np.array([28.0]), np.array([[0.5, 2.0]]))[0].tolist() == [28.0, 28.0]


# --- the model


def test_what_a_prediction_cannot_know_comes_from_the_next_layer() -> None:
    below = PowerModel("rack=r1", Linear(90.0, 200.0), standby_watts=6.0, scope="platform")
    model = predicted_model("n1", (0.0, 1.0), (100.0, 200.0), 25.0, np.zeros((1, 2)), below)
    assert (model.name, model.origin, model.celsius) == ("n1", "predicted", 25.0)
    assert (model.standby_watts, model.scope) == (6.0, "platform")


@pytest.mark.parametrize("scope", ["package", "estimate"])
def test_a_model_of_a_part_of_the_machine_says_nothing_of_the_whole(scope: Scope) -> None:
    below = PowerModel("n1", Linear(10.0, 60.0), standby_watts=2.0, scope=scope)
    model = predicted_model("n1", (0.0, 1.0), (100.0, 200.0), None, np.zeros((0, 2)), below)
    assert (model.standby_watts, model.scope) == (None, None)
