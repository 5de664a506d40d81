"""Curves under present conditions: what air and cooling add, in the curve, its envelope, the arrays and the errors.

Envelopes are compared with the convex hull of 401 points of the curve, errors with curves that are drawn.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peaks_scheduler.arrays import Floats
from peaks_scheduler.power.adjusted import Adjusted
from peaks_scheduler.power.curves import Curve, Linear, Piecewise
from peaks_scheduler.power.hull import hull
from peaks_scheduler.power.models import PowerModel, Quality
from peaks_scheduler.power.temperature import TemperatureTerm, at_present
from peaks_scheduler.power.uncertainty import difference_errors, error_profile, rise_error
from tests.support.examples import examples
from tests.unit.power.test_curves import curves, found_to, rounding, table

GRID = np.linspace(0.0, 1.0, 401)
factors = st.floats(1.0, 3.0)
bases = st.floats(0.0, 100.0)
slopes = st.just(0.0) | st.floats(0.001, 200.0)
adjusted = st.builds(Adjusted, curves, factors, bases, slopes)
shares = st.none() | st.floats(0.0, 1.0)


def everywhere(curve: Curve) -> Floats:
    return np.array([curve.watts(u) for u in GRID.tolist()])


def largest_convex_below(curve: Curve, standby: float | None) -> Floats:
    """The envelope, by the convex hull of many points of the curve."""
    watts = everywhere(curve)
    if standby is not None:
        watts[0] = min(watts[0], standby)
    kept = hull(list(zip(GRID.tolist(), watts.tolist(), strict=True)))
    return np.interp(GRID, [u for u, _ in kept], [w for _, w in kept])


def exact_to(curve: Adjusted, u: float = 1.0) -> float:
    """Largest rounding error [W] of a value up to ``u``: of the fitted curve, and of four more operations."""
    return curve.factor * rounding(curve.fitted, u) + 8 * np.finfo(float).eps * abs(curve.watts(u))


@settings(max_examples=examples(50))
@given(adjusted, shares)
def test_the_envelope_is_the_largest_convex_function_below_the_curve(curve: Adjusted, share: float | None) -> None:
    standby = None if share is None else share * curve.watts(0.0)
    # between two points of the grid the hull is a chord, slightly above an envelope that bends there
    within = 0.5 * np.max(np.diff(everywhere(curve))) + curve.factor * found_to(curve.fitted) + exact_to(curve)
    assert everywhere(curve.envelope(standby)) == pytest.approx(largest_convex_below(curve, standby), rel=0, abs=within)


@given(adjusted, shares)
def test_on_its_chords_the_envelope_is_a_straight_line_and_beside_them_the_curve(
    curve: Adjusted, share: float | None
) -> None:
    standby = None if share is None else share * curve.watts(0.0)
    envelope, chords = curve.envelope(standby), curve.chords(standby)
    within = 4 * curve.factor * found_to(curve.fitted) + 4 * exact_to(curve)
    for start, end in chords:
        middle = (start + end) / 2
        assert envelope.watts(middle) == pytest.approx((envelope.watts(start) + envelope.watts(end)) / 2, abs=within)
    free = [u for u in np.linspace(0.001, 1.0, 97).tolist() if not any(a <= u <= b for a, b in chords)]
    assert [envelope.watts(u) for u in free] == pytest.approx([curve.watts(u) for u in free], abs=within)


@given(st.lists(st.tuples(adjusted, st.floats(0.0, 1.2), st.floats(0.0, 0.5)), min_size=1, max_size=8))
def test_n_different_nodes_are_evaluated_in_one_call(many: list[tuple[Adjusted, float, float]]) -> None:
    nodes = table(*(curve for curve, _, _ in many))
    u, step = (np.array([each[k] for each in many]) for k in (1, 2))
    for watts, rise, (curve, x, s) in zip(nodes.watts(u), nodes.rise(u, step), many, strict=True):
        within = exact_to(curve, x + s)
        assert watts == pytest.approx(curve.watts(x), rel=0, abs=2 * within)
        assert rise == pytest.approx(curve.watts(x + s) - curve.watts(x), rel=0, abs=4 * within)


@given(adjusted, st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.floats(0.0, 0.4))
def test_the_largest_rise_over_a_range_is_no_smaller_than_any_in_it(
    curve: Adjusted, one: float, other: float, step: float
) -> None:
    nodes, steps = table(curve), np.array([step])
    low, high = np.array([min(one, other)]), np.array([max(one, other)])
    seen = max(float(nodes.rise(low + share * (high - low), steps)[0]) for share in np.linspace(0, 1, 101))
    assert nodes.largest_rise(low, high, steps)[0] >= seen - 4 * exact_to(curve, 1.4)


def test_by_hand() -> None:
    # 1.5 * (100 + 60*0.5 + 10 + 8*0.5) = 216
    curve = Adjusted(Linear(100.0, 160.0), 1.5, 10.0, 8.0)
    assert curve.watts(0.5) == 216.0
    # off it draws 30 W of cooling and itself; at full load 1.5 * 178 = 267: half-way (30 + 267) / 2
    assert curve.envelope(30.0).watts(0.5) == pytest.approx(148.5)


# --- an unknown temperature -------------------------------------------------------------------------------------------

terms = st.builds(
    lambda reference, idle, more, span: TemperatureTerm(
        "inlet", reference, idle, idle + more, hottest=reference + span
    ),
    st.floats(15.0, 30.0),
    st.floats(0.0, 5.0),
    st.floats(0.0, 10.0),
    st.floats(-5.0, 20.0),
)


@settings(max_examples=examples(50))
@given(
    st.builds(lambda curve, term: PowerModel("m", curve, temperature=term), curves, terms),
    shares,
    st.floats(0.0, 1.0),
    st.floats(1.0, 2.0),
)
def test_an_unknown_temperature_is_never_cheaper_than_any_up_to_the_hottest_fitted_one(
    model: PowerModel, share: float | None, colder: float, overhead: float
) -> None:
    term = model.temperature
    assert term is not None
    assert term.hottest is not None
    standby = None if share is None else share * model.curve.watts(0.0)
    model = replace(model, standby_watts=standby)
    known = at_present(model, term.hottest - 30.0 * colder, overhead)
    unknown = at_present(model, math.nan, overhead)
    within = 4 * overhead * found_to(model.curve) + 1e-9
    for each in (lambda m: m.curve, lambda m: m.curve.envelope(m.standby_watts)):
        rises = np.diff(everywhere(each(unknown))) - np.diff(everywhere(each(known)))
        assert rises.min() >= -within


@pytest.mark.parametrize("nonsense", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_counts_as_unknown(nonsense: float) -> None:
    term = TemperatureTerm("inlet", 22.0, 1.0, 3.0, hottest=35.0)
    now = at_present(PowerModel("m", Linear(100.0, 160.0), temperature=term), nonsense, math.nan)
    assert (now.celsius, now.curve.watts(0.0), now.curve.watts(1.0)) == (37.0, 115.0, 205.0)


def test_where_the_file_does_not_say_how_hot_it_was_15_kelvins_above_the_reference_count() -> None:
    model = PowerModel("m", Linear(100.0, 160.0), temperature=TemperatureTerm("inlet", 20.0, 1.0, 3.0))
    assert at_present(model, math.nan, math.nan).celsius == 35.0


@pytest.mark.parametrize("celsius", [-40.0, 10.0, 22.0])
def test_colder_air_than_the_reference_saves_nothing(celsius: float) -> None:
    term = TemperatureTerm("inlet", 22.0, 1.0, 3.0, hottest=35.0)
    now = at_present(PowerModel("m", Linear(100.0, 160.0), temperature=term), celsius, math.nan)
    assert [now.curve.watts(u) for u in (0.0, 1.0)] == [100.0, 160.0]


@pytest.mark.parametrize("overhead", [math.nan, math.inf, 1.0, 0.5, 0.0, -2.0])
def test_no_overhead_makes_a_node_cheaper(overhead: float) -> None:
    model = PowerModel("m", Linear(100.0, 160.0), 5.0)
    assert at_present(model, 30.0, overhead) is model


def test_the_overhead_is_paid_for_standby_too() -> None:
    now = at_present(PowerModel("m", Linear(100.0, 160.0), 5.0), math.nan, 1.4)
    assert (now.standby_watts, now.overhead) == (7.0, 1.4)
    # switched off 7 W, at full load 224 W
    assert now.curve.envelope(now.standby_watts).watts(0.5) == pytest.approx(115.5)


# --- errors -----------------------------------------------------------------------------------------------------------

FIT = Quality(covariance=((1.0, -0.2, 0.0), (-0.2, 0.5, -0.1), (0.0, -0.1, 2.0)))
BENT = Piecewise((0.0, 0.4, 1.0), (60.0, 110.0, 240.0))
AIR = TemperatureTerm("inlet", 22.0, 1.0, 3.0, hottest=35.0)


def fitted(standby: float | None = None) -> PowerModel:
    return PowerModel("m", BENT, standby, FIT, temperature=AIR)


def drawn(curve: Piecewise) -> list[Curve]:
    covariance = np.array(FIT.covariance) * 1e-4  # so small that the curve changes in proportion
    draws = np.random.default_rng(5).multivariate_normal(curve.power, covariance, size=4000, method="cholesky")
    return [Piecewise(curve.cpu, tuple(each)) for each in draws.tolist()]


@pytest.mark.parametrize("envelope", [False, True], ids=["curve", "envelope"])
@pytest.mark.parametrize("standby", [None, 8.0], ids=["always on", "may be switched off"])
def test_the_error_of_a_rise_is_the_spread_of_curves_drawn_from_the_fit(envelope: bool, standby: float | None) -> None:
    model = at_present(fitted(standby), 30.0, 1.5)
    faces: list[Curve] = [Adjusted(each, 1.5, 8.0, 16.0) for each in drawn(BENT)]
    faces = [face.envelope(None if standby is None else 12.0) for face in faces] if envelope else faces
    for u, step in ((0.02, 0.05), (0.3, 0.3), (0.7, 0.3)):
        spread = 100 * np.std([face.watts(u + step) - face.watts(u) for face in faces])
        assert rise_error(model, u, step, envelope=envelope) == pytest.approx(spread, rel=0.06)


@pytest.mark.parametrize("standby", [None, 8.0], ids=["always on", "may be switched off"])
def test_no_rise_is_known_worse_than_the_arrays_bound(standby: float | None) -> None:
    model = at_present(fitted(standby), 30.0, 1.5)
    bound = error_profile(model).slope
    for u in np.linspace(0.0, 0.97, 40).tolist():
        for envelope in (False, True):
            assert rise_error(model, u, 0.03, envelope=envelope) <= bound * 0.03  # type: ignore[operator]


def difference(model: PowerModel, other: PowerModel) -> float:
    u, step = np.array([0.5, 0.5]), np.array([0.1, 0.1])
    errors = np.array([rise_error(each, 0.5, 0.1, envelope=False) for each in (model, other)])
    return float(difference_errors(errors, [model, other], u, step, 0, envelope=False)[1])


def test_one_fit_in_two_rooms_has_one_error() -> None:
    # both slopes come from the same points: in the difference their error cancels
    cold, warm = at_present(fitted(), 20.0, math.nan), at_present(fitted(), 30.0, math.nan)
    assert difference(cold, warm) == pytest.approx(0.0, abs=1e-12)


def test_of_one_fit_under_two_overheads_the_error_that_one_pays_more_is_left() -> None:
    plain, paid = at_present(fitted(), 20.0, 1.2), at_present(fitted(), 20.0, 1.5)
    own = rise_error(fitted(), 0.5, 0.1, envelope=False)
    assert own is not None
    assert difference(plain, paid) == pytest.approx(0.3 * own)


def test_two_fits_of_one_name_are_two() -> None:
    other = at_present(replace(fitted(), quality=replace(FIT)), 30.0, math.nan)
    cold = at_present(fitted(), 20.0, math.nan)
    own = rise_error(fitted(), 0.5, 0.1, envelope=False)
    assert own is not None
    assert difference(cold, other) == pytest.approx(math.sqrt(2.0) * own)
