"""Power curves of every kind: their values, their lower convex envelopes, and many of them at once.

The envelope is checked against what defines it, the largest convex function that is nowhere above the curve, by the
convex hull of 2,001 points of the curve.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peaks_scheduler.power.curves import Curve, Exponential, IdleExponential, Linear, Piecewise
from peaks_scheduler.power.hull import hull
from peaks_scheduler.power.table import CurveRows, CurveTable
from peaks_scheduler.power.validity import flaw
from tests.support.attainable import EPS

GRID = np.linspace(0.0, 1.0, 2001)
BISECTED = 1e-12  # [1] how near to its place the end of a chord of a convex exponential is found

bend = st.floats(-9.0, 9.0).filter(lambda k2: abs(k2) > 0.01)
span = st.floats(1.0, 400.0)
idle = st.floats(20.0, 200.0)


@st.composite
def exponentials(draw: st.DrawFn) -> Exponential:
    k2, rise, first = draw(bend), draw(span), draw(idle)
    k1 = rise / math.expm1(k2)
    return Exponential(first - k1, k1, k2)


@st.composite
def idle_exponentials(draw: st.DrawFn) -> IdleExponential:
    curve, knee = draw(exponentials()), draw(st.floats(0.02, 1.0))
    first = curve.watts(knee) * draw(st.floats(0.2, 1.0))
    return IdleExponential(first, curve.k0, curve.k1, curve.k2, knee)


@st.composite
def piecewise(draw: st.DrawFn) -> Piecewise:
    inner = draw(st.lists(st.integers(1, 99), max_size=9, unique=True))
    cpu = tuple(u / 100 for u in sorted({0, 100, *inner}))
    steps = draw(st.lists(st.floats(0.0, 80.0), min_size=len(cpu), max_size=len(cpu)))
    return Piecewise(cpu, tuple(float(w) for w in 20.0 + np.cumsum(steps)))


linears = st.builds(lambda first, rise: Linear(first, first + rise), idle, span)
curves = st.one_of(exponentials(), idle_exponentials(), piecewise(), linears)


def table(*many: Curve | None) -> CurveTable:
    rows = CurveRows(len(many))
    for i, curve in enumerate(many):
        rows.write(i, curve)
    return rows.view(len(many))


def everywhere(curve: Curve) -> np.ndarray:
    return np.array([curve.watts(float(u)) for u in GRID])


def rounding(curve: Curve, u: float = 1.0) -> float:
    """Largest rounding error [W] of a value up to ``u``: about 16 roundings (an exponential of 4 ulp, the others of
    half an ulp) of the largest intermediate number, which is k0 or k1 where a curve is nearly straight. The rounding
    error of an exponent is multiplied by the exponent."""
    if isinstance(curve, Exponential | IdleExponential):
        top = (1.0 + abs(curve.k2) * u) * abs(curve.k1) * math.exp(max(curve.k2 * u, 0.0))
        return 16 * EPS * (abs(curve.k0) + top + abs(curve.watts(0.0)))
    return 16 * EPS * max(curve.watts(1.0), curve.watts(u))


# --- one curve ------------------------------------------------------------------------------------


def test_the_line_from_idle_meets_the_exponential() -> None:
    # 30 + 120*exp(0.9*0.1) = 161.30; half-way there from 118 is 139.65
    curve = IdleExponential(118.0, 30.0, 120.0, 0.9, 0.1)
    assert [curve.watts(u) for u in (0.0, 0.05, 0.1)] == pytest.approx([118.0, 139.65, 161.30], abs=0.01)


@given(curves)
def test_no_curve_of_these_families_is_refused_and_none_falls(curve: Curve) -> None:
    assert flaw(curve) == ""
    assert np.all(np.diff(everywhere(curve)) >= -2 * rounding(curve))


@given(curves, st.lists(st.floats(0.0, 1.0), min_size=1, max_size=5))
def test_the_gradient_is_what_a_small_change_of_each_parameter_does(curve: Curve, where: list[float]) -> None:
    u = np.array(where)
    slopes = curve.gradient(u)
    assert slopes.shape == (len(curve.parameters), len(u))
    for p, row in enumerate(slopes):
        h = 1e-4 if p == bend_of(curve) else 1.0  # watts are straight in all but k2
        more, less = changed(curve, p, h), changed(curve, p, -h)
        numeric = [(more.watts(x) - less.watts(x)) / (2 * h) for x in where]
        assert row == pytest.approx(numeric, rel=0, abs=(rounding(more) + rounding(less)) / h + cut_off(curve, p, h))


def bend_of(curve: Curve) -> int:
    """Index of the parameter k2; -1 for curves without it."""
    return len(parameters(curve)) - 1 if isinstance(curve, Exponential | IdleExponential) else -1


def cut_off(curve: Curve, p: int, h: float) -> float:
    """Error of the difference quotient: h^2 / 6 of the third derivative by k2, k1 u^3 exp(k2 u), largest at u = 1."""
    if p != bend_of(curve) or not isinstance(curve, Exponential | IdleExponential):
        return 0.0
    return h**2 / 6 * abs(curve.k1) * math.exp(max(curve.k2, 0.0) + h)


def parameters(curve: Curve) -> list[float]:
    match curve:
        case Exponential():
            return [curve.k0, curve.k1, curve.k2]
        case IdleExponential():
            return [curve.idle, curve.k0, curve.k1, curve.k2]
        case Piecewise():
            return list(curve.power)
        case Linear():
            return [curve.idle, curve.max]


def changed(curve: Curve, p: int, by: float) -> Curve:
    values = parameters(curve)
    values[p] += by
    match curve:
        case Exponential():
            return Exponential(*values)
        case IdleExponential():
            return IdleExponential(*values, curve.knee)
        case Piecewise():
            return Piecewise(curve.cpu, tuple(values))
        case Linear():
            return Linear(*values)


# --- the envelope ---------------------------------------------------------------------------------


def largest_convex_below(curve: Curve, standby: float | None) -> np.ndarray:
    """The envelope, by the convex hull of many points of the curve."""
    watts = everywhere(curve)
    if standby is not None:
        watts[0] = min(watts[0], standby)
    kept = hull(list(zip(GRID.tolist(), watts.tolist(), strict=True)))
    return np.interp(GRID, [u for u, _ in kept], [w for _, w in kept])


@given(curves, st.none() | st.floats(0.0, 1.0))
def test_the_envelope_is_the_largest_convex_function_below_the_curve(curve: Curve, share: float | None) -> None:
    standby = None if share is None else share * curve.watts(0.0)
    envelope = curve.envelope(standby)
    # between two points of the grid the hull is a chord, slightly above an envelope that bends there
    chord = 0.5 * np.max(np.diff(everywhere(curve))) + found_to(curve)
    assert everywhere(envelope) == pytest.approx(largest_convex_below(curve, standby), rel=0, abs=chord)
    assert np.all(np.diff(everywhere(envelope), 2) >= -4 * found_to(curve))


def found_to(curve: Curve) -> float:
    """Largest error [W] of an envelope: its chord's end is as inexact as the bisection, on a curve of this slope at
    most, or as rounding makes it."""
    rise = curve.watts(1.0) - curve.watts(0.0)
    steepest = rise * (1.0 + abs(curve.k2)) if isinstance(curve, Exponential) else rise
    return 2 * BISECTED * steepest + 4 * rounding(curve)


@given(curves, st.none() | st.floats(0.0, 1.0))
def test_an_envelope_is_its_own_envelope(curve: Curve, share: float | None) -> None:
    envelope = curve.envelope(None if share is None else share * curve.watts(0.0))
    assert everywhere(envelope.envelope()) == pytest.approx(everywhere(envelope), rel=0, abs=found_to(curve))


@given(curves, st.none() | st.floats(0.0, 1.0))
def test_beside_its_chords_the_envelope_is_the_curve(curve: Curve, share: float | None) -> None:
    standby = None if share is None else share * curve.watts(0.0)
    chords, envelope = curve.chords(standby), curve.envelope(standby)
    assert all(a[1] <= b[0] for a, b in pairwise(chords))
    free = [u for u in GRID[1:].tolist() if not any(start <= u <= end for start, end in chords)]
    expected = [curve.watts(u) for u in free]
    assert [envelope.watts(u) for u in free] == pytest.approx(expected, rel=0, abs=found_to(curve))


def test_waking_a_node_that_may_be_switched_off_costs_its_share() -> None:
    # idle 100 W, 5 W when off, a slope of 60 W: the line from (0, 5) only meets the curve at full load, 155 W a unit
    curve = Linear(100.0, 160.0)
    assert curve.envelope(5.0) == Linear(5.0, 160.0)
    # a convex curve is met earlier, where its slope equals the line's
    convex = Exponential(60.0, 40.0, 1.5)
    woken = convex.envelope(5.0)
    assert isinstance(woken, IdleExponential)
    slope = convex.k1 * convex.k2 * math.exp(convex.k2 * woken.knee)
    # both slopes change by 90 W a unit there, so they differ by the error of the bisection; rounding is smaller
    assert slope == pytest.approx((convex.watts(woken.knee) - 5.0) / woken.knee, rel=0, abs=4 * 270.0 * BISECTED)


# --- many at once ---------------------------------------------------------------------------------


@given(st.lists(st.tuples(curves, st.floats(0.0, 1.2), st.floats(0.0, 0.5)), min_size=1, max_size=12))
def test_n_different_nodes_are_evaluated_in_one_call(many: list[tuple[Curve, float, float]]) -> None:
    nodes = table(*(curve for curve, _, _ in many))
    u, step = (np.array([each[k] for each in many]) for k in (1, 2))
    values = zip(nodes.watts(u), nodes.rise(u, step), many, strict=True)
    for watts, rise, (curve, x, s) in values:
        one = rounding(curve, x + s)
        assert watts == pytest.approx(curve.watts(x), rel=0, abs=2 * one)
        assert rise == pytest.approx(curve.watts(x + s) - curve.watts(x), rel=0, abs=4 * one)


@given(
    st.lists(st.tuples(curves, st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.floats(0.0, 0.4)), min_size=1, max_size=6)
)
def test_the_largest_rise_over_a_range_is_no_smaller_than_any_in_it(
    many: list[tuple[Curve, float, float, float]],
) -> None:
    nodes = table(*(curve for curve, *_ in many))
    low = np.array([min(a, b) for _, a, b, _ in many])
    high = np.array([max(a, b) for _, a, b, _ in many])
    step = np.array([s for *_, s in many])
    largest = nodes.largest_rise(low, high, step)
    seen = np.max([nodes.rise(low + share * (high - low), step) for share in np.linspace(0, 1, 401)], axis=0)
    assert np.all(largest >= seen - np.array([4 * rounding(curve, 1.4) for curve, *_ in many]))
    # and the maximum is reached, on a fine grid almost
    assert largest == pytest.approx(seen, rel=0.05, abs=0.05)


def test_a_node_without_a_curve_has_no_answer_and_disturbs_no_other() -> None:
    nodes = table(Linear(60.0, 240.0), None, Piecewise((0.0, 0.5, 1.0), (60.0, 90.0, 240.0)))
    u = np.array([0.2, 0.2, 0.4])
    assert nodes.rise(u, np.full(3, 0.2)) == pytest.approx([36.0, math.nan, 36.0], nan_ok=True)
    assert np.isnan(nodes.watts(u)).tolist() == [False, True, False]
    assert np.isnan(nodes.largest_rise(u, u + 0.1, np.full(3, 0.1))).tolist() == [False, True, False]


def test_rows_keep_their_nodes_when_curves_with_more_points_come_and_nodes_move() -> None:
    rows = CurveRows(2)
    rows.write(0, Linear(60.0, 240.0))
    rows.grow(2)
    rows.write(1, Piecewise((0.0, 0.1, 0.5, 1.0), (60.0, 90.0, 150.0, 240.0)))
    rows.write(2, Exponential(100.0, 20.0, 2.0))
    rows.move(2, 0)
    expected = [100.0 + 20.0 * math.exp(1.0), 150.0]
    assert rows.view(2).watts(np.array([0.5, 0.5])) == pytest.approx(expected)


def test_a_tiny_step_keeps_its_digits_on_every_kind_of_curve() -> None:
    curves: list[Curve] = [
        Exponential(471.7, -91.5, -7.186),
        IdleExponential(118.0, 30.0, 120.0, 0.9, 0.1),
        Linear(60.0, 240.0),
        Piecewise((0.0, 0.1, 0.5, 1.0), (60.0, 90.0, 150.0, 240.0)),
    ]
    slopes = [91.5 * 7.186 * math.exp(-7.186 * 0.3), 108.0 * math.exp(0.27), 180.0, 150.0]
    rises = table(*curves).rise(np.full(4, 0.3), np.full(4, 1e-9))
    assert rises == pytest.approx([slope * 1e-9 for slope in slopes], rel=1e-6)
