"""Many piecewise curves at once are what they are one by one."""

from __future__ import annotations

import gc
from dataclasses import replace

import numpy as np
import pytest

from peaks_scheduler.arrays import Floats
from peaks_scheduler.ledger.columns import Columns
from peaks_scheduler.ledger.power_columns import _PREPARED, prepare_predicted, write_model
from peaks_scheduler.power.adjusted import Adjusted
from peaks_scheduler.power.curves import Linear, Piecewise
from peaks_scheduler.power.hull import hull
from peaks_scheduler.power.models import PowerModel
from peaks_scheduler.power.predicted_curves import hulls, profiles
from peaks_scheduler.power.predictions import FIRST
from peaks_scheduler.power.uncertainty import _CHORDS, error_profile, rise_error
from tests.support.builders import ledger, node

N = 40


def rising(rng: np.random.Generator, count: int = N) -> tuple[Floats, Floats]:
    """Random grids of 30 points, and random curves on them that never fall."""
    inner = np.stack([rng.choice(np.arange(1, 400) / 400.0, 9, replace=False) for _ in range(count)])
    u = np.sort(np.concatenate([np.tile(np.linspace(0.0, 1.0, 21), (count, 1)), inner + 1e-5], axis=1), axis=1)
    return u, 80.0 + np.cumsum(rng.exponential(5.0, u.shape), axis=1)


def model(name: str, u: Floats, watts: Floats, errors: Floats, standby: float | None = None) -> PowerModel:
    curve = Piecewise(tuple(u.tolist()), tuple(watts.tolist()))
    return PowerModel(name, curve, standby, origin="predicted", sensor_errors=errors)


def test_hulls_have_the_corners_that_the_hull_of_each_has() -> None:
    u, watts = rising(np.random.default_rng(1))
    found = hulls(u, watts)
    for i in range(N):
        corners = hull(list(zip(u[i].tolist(), watts[i].tolist(), strict=True)))
        assert u[i][found.corners[i]].tolist() == [x for x, _ in corners]
        assert found.watts[i] == pytest.approx(np.interp(u[i], *zip(*corners, strict=True)))


def test_the_hull_of_a_straight_line_has_no_corners_of_rounding() -> None:
    assert hulls(FIRST[None], 123.4 + 56.7 * FIRST[None]).corners[0].sum() == 2


def test_an_error_that_grows_with_use_has_the_slope_of_its_growth() -> None:
    # two sensors: 3 W and 4 W more at full load than at none, so 5 W together
    errors = np.stack([np.stack([1.0 + 3.0 * FIRST, 4.0 * FIRST])])
    slope, sums = profiles(FIRST[None], errors)
    assert slope[0] == pytest.approx(5.0)
    assert sums[0] == pytest.approx(5.0 * FIRST)


@pytest.mark.parametrize(("standby", "at_none"), [(None, 2.0), (20.0, 0.0)], ids=["always on", "may be off"])
def test_the_errors_are_those_of_the_curve_and_of_its_hull(standby: float | None, at_none: float) -> None:
    rng = np.random.default_rng(2)
    (u,), (watts,) = rising(rng, 1)
    errors = 2.0 + np.concatenate([[0.0], np.cumsum(rng.exponential(1.0, 20))])
    each = model("n", u, watts, np.stack([np.interp(u, FIRST, errors)]), standby)
    alone, columns = error_profile(replace(each)), Columns()
    prepare_predicted([each])
    write_model(columns, columns.append(), each, each)
    first = watts[0] if standby is None else standby
    corners = np.array([x for x, _ in hull([(0.0, first), *zip(u[1:].tolist(), watts[1:].tolist(), strict=True)])])
    # an error that only grows is its own integral; what a node draws that is off has none
    below = np.interp(FIRST, corners, np.append(at_none, np.interp(corners[1:], FIRST, errors))) - at_none
    assert columns.slope_errors[:, :, 0] == pytest.approx(np.stack([errors - 2.0, below]))
    assert columns.slope_errors[0, :, 0] == pytest.approx(alone.sums[0])
    assert columns.single["slope_error"][0] >= alone.slope / 1.05


@pytest.mark.parametrize("standby", [None, 20.0], ids=["always on", "may be off"])
@pytest.mark.parametrize("factor", [1.0, 1.4], ids=["as it is", "with cooling"])
def test_the_arrays_are_those_of_each_model_alone(standby: float | None, factor: float) -> None:
    u, watts = rising(np.random.default_rng(3), 1)
    prepared, alone = (model(name, u[0], watts[0], np.zeros((1, 30)), standby) for name in ("n1", "n2"))
    prepare_predicted([prepared])
    columns = Columns()
    for fitted in (prepared, alone):
        now = fitted
        if factor != 1.0:
            off = None if standby is None else standby * factor
            now = replace(fitted, curve=Adjusted(fitted.curve, factor), standby_watts=off, overhead=factor)
        write_model(columns, columns.append(), now, fitted)
    for curves in columns.curves.values():
        assert curves.rows[:, 0] == pytest.approx(curves.rows[:, 1], rel=1e-9, abs=1e-6)


def test_the_error_of_a_decision_is_that_of_a_model_that_was_not_prepared() -> None:
    u, watts = rising(np.random.default_rng(4), 1)
    errors = np.random.default_rng(4).normal(1.0, 0.2, (2, 30))
    prepared, alone = (model(name, u[0], watts[0], errors) for name in ("n1", "n2"))
    prepare_predicted([prepared])
    assert rise_error(prepared, 0.3, 0.1, envelope=True) == rise_error(alone, 0.3, 0.1, envelope=True)


def test_an_equal_curve_with_other_errors_of_sensors_has_these() -> None:
    known = ledger(node("n1"))
    watts = 100.0 + 50.0 * FIRST + 50.0 * FIRST**2
    for change in (0.0, 3.0):  # [W] more at full load than at none
        predicted = model("n1", FIRST, watts, change * FIRST[None])
        prepare_predicted([predicted])
        known.power.predict([predicted], 0.0, np.inf)
        assert known.snapshot().slope_errors[0, -1, 0] == pytest.approx(change)


def test_what_was_prepared_outlives_an_equal_model_before() -> None:
    before, after = (model("n1", FIRST, 100.0 + 80.0 * FIRST**2, np.zeros((1, 21))) for _ in range(2))
    prepare_predicted([before])
    prepare_predicted([after])
    del before
    gc.collect()
    assert after in _PREPARED
    assert after in _CHORDS


def test_a_few_new_predictions_leave_the_other_costs_as_they_are() -> None:
    known = ledger(*(node(f"n{i}") for i in range(8)))
    u, watts = rising(np.random.default_rng(6), 12)
    known.power.predict([model(f"n{i}", u[i], watts[i], np.zeros((1, 30))) for i in range(8)], 0.0, np.inf)
    assert len(known.snapshot().rises.of(1000, np.full(8, 0.2), np.full(8, 0.1))) == 8
    known.power.predict([model("n3", u[9], watts[9], np.zeros((1, 30)))], 0.0, np.inf)
    rises = known.snapshot().rises.of(1000, np.full(8, 0.2), np.full(8, 0.1))
    assert rises.tolist() == known.snapshot().envelopes.rise(np.full(8, 0.2), np.full(8, 0.1)).tolist()


def test_a_node_that_gets_a_line_after_a_curve_costs_as_the_line() -> None:
    known = ledger(node("n1"), node("n2"))
    u, watts = rising(np.random.default_rng(7), 2)
    known.power.predict([model(f"n{i + 1}", u[i], watts[i], np.zeros((1, 30))) for i in range(2)], 0.0, np.inf)
    known.snapshot().rises.of(800, np.full(2, 0.2), np.full(2, 0.1))
    known.power.predict([PowerModel("n1", Linear(100.0, 300.0), origin="predicted")], 0.0, np.inf)
    assert known.snapshot().rises.of(800, np.full(2, 0.2), np.full(2, 0.1))[0] == pytest.approx(20.0)
