"""Curves learned from the sum of the power of many nodes.

The truth is known, since the samples are made here: a curve for each kind, the sum over the nodes, and a meter's noise
that is correlated in time (each error is 0.7 of the one before plus a new one).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from scipy.signal import lfilter
from scipy.stats import binom

from peaks_scheduler.arrays import Floats
from peaks_scheduler.errors import ModelFitError
from peaks_scheduler.fitting.result import Fit
from peaks_scheduler.fitting.shared import SharedFit, fit_shared
from peaks_scheduler.fitting.shared_families import LINEAR, SQRT, SharedFamily
from peaks_scheduler.fitting.shared_samples import SharedSamples
from peaks_scheduler.power.curves import Linear

Truth = Callable[[Floats], Floats]

SEEDS = 200
LEVELS = np.array([0.0, 0.1, 0.3, 0.6, 1.0])
KNOTS = (0.0, 0.05, 0.2, 0.5, 0.9, 1.0)
SAME = 0.7  # of an error is still there in the next sample


def line(u: Floats) -> Floats:
    return 60.0 + 140.0 * u


def root(u: Floats) -> Floats:
    return 80.0 + 20.0 * u + 100.0 * np.sqrt(u)


def bent(u: Floats) -> Floats:
    """Straight between the knots that a piecewise curve has."""
    return np.interp(u, KNOTS, [50.0, 90.0, 110.0, 150.0, 190.0, 230.0])


def busy(rng: np.random.Generator, samples: int, nodes: int, most: float = 1.0) -> Floats:
    """(samples, nodes) use: a job lasts 15 samples in the mean, a third of the time a node is idle."""
    starts = rng.random((samples, nodes)) < 1 / 15
    level = most * rng.random((samples, nodes)) * (rng.random((samples, nodes)) < 2 / 3)
    last = np.maximum.accumulate(np.where(starts, np.arange(samples)[:, None], 0), axis=0)
    return np.take_along_axis(level, last, axis=0)


def noise(rng: np.random.Generator, samples: int, watts: float) -> Floats:
    return np.asarray(lfilter([np.sqrt(1.0 - SAME**2)], [1.0, -SAME], watts * rng.normal(size=samples + 50)))[50:]


def metered(
    seed: int, truths: dict[str, Truth], *, samples: int = 240, nodes: int = 10, watts: float = 8.0, most: float = 1.0
) -> SharedSamples:
    """A meter for ``nodes`` nodes of each kind, read every minute."""
    rng = np.random.default_rng(seed)
    use = {kind: busy(rng, samples, nodes, most) for kind in truths}
    total = sum((truth(use[kind]).sum(axis=1) for kind, truth in truths.items()), np.zeros(samples))
    return SharedSamples(total + noise(rng, samples, watts), use, 60.0 * np.arange(samples))


def only(found: SharedFit) -> Fit:
    (fit,) = found.kinds.values()
    return fit


def watts_at(fit: Fit, levels: Floats = LEVELS) -> Floats:
    assert fit.curve is not None
    return np.array([fit.curve.watts(float(u)) for u in levels])


# --- the truth is found ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("truth", "family"), [(line, LINEAR), (root, SQRT), (bent, SharedFamily("piecewise", KNOTS))])
def test_the_95_percent_interval_contains_the_truth_in_95_of_100_meters(truth: Truth, family: SharedFamily) -> None:
    hits = np.zeros(len(LEVELS))
    for seed in range(SEEDS):
        low, high = only(fit_shared(metered(seed, {"a": truth}), family)).interval(LEVELS)
        hits += (low <= truth(LEVELS)) & (truth(LEVELS) <= high)
    # fewer hits than this happen once in a thousand times if the coverage is 95 %
    assert hits.min() >= binom.ppf(1e-3, SEEDS, 0.95)


@pytest.mark.parametrize(("truth", "name"), [(line, "linear"), (root, "sqrt"), (bent, "piecewise")])
def test_the_samples_choose_the_family_of_the_truth(truth: Truth, name: str) -> None:
    found = fit_shared(metered(1, {"a": truth}, samples=1500))
    assert found.family is not None
    assert found.family.name == name


def test_enough_good_samples_are_good() -> None:
    assert only(fit_shared(metered(1, {"a": root}, samples=1500))).verdict == "good"


def test_the_errors_are_those_of_the_meter_divided_by_the_nodes() -> None:
    # 8 W of noise on the sum of 10 nodes; the standard error of an estimate from 1,500 samples is below 5 %
    fit = only(fit_shared(metered(1, {"a": line}, samples=1500), "linear"))
    assert fit.quality.rmse_watts == pytest.approx(0.8, rel=0.1)


def test_a_few_wrong_samples_hardly_move_the_curve() -> None:
    good = metered(1, {"a": line})
    watts = good.watts.copy()
    watts[::50] *= 3.0
    spoilt = only(fit_shared(SharedSamples(watts, good.use, good.time), "linear"))
    assert watts_at(spoilt) == pytest.approx(line(LEVELS), rel=0.02)


def test_each_kind_on_one_meter_gets_its_own_rise() -> None:
    found = fit_shared(metered(1, {"small": line, "big": lambda u: 150.0 + 300.0 * u}, samples=1500), "linear")
    rises = {kind: watts_at(fit)[-1] - watts_at(fit)[0] for kind, fit in found.kinds.items()}
    assert rises == pytest.approx({"small": 140.0, "big": 300.0}, rel=0.02)


def test_idle_power_of_two_kinds_is_told_apart_if_some_nodes_are_off_at_times() -> None:
    samples = metered(1, {"small": line, "big": lambda u: 150.0 + 300.0 * u}, samples=1500)
    use = {"small": samples.use["small"].copy(), "big": samples.use["big"]}
    off = np.s_[200:900, :6]
    watts = samples.watts.copy()
    watts[200:900] -= line(use["small"][off]).sum(axis=1)
    use["small"][off] = np.nan
    found = fit_shared(SharedSamples(watts, use, samples.time), "linear")
    idle = {kind: watts_at(fit)[0] for kind, fit in found.kinds.items()}
    assert idle == pytest.approx({"small": 60.0, "big": 150.0}, rel=0.05)


def test_with_a_half_life_the_curve_follows_a_change() -> None:
    before, after = metered(1, {"a": line}, samples=600), metered(2, {"a": lambda u: 30.0 + line(u)}, samples=600)
    use = {"a": np.vstack([before.use["a"], after.use["a"]])}
    both = SharedSamples(np.concatenate([before.watts, after.watts]), use, 60.0 * np.arange(1200))
    old, new = (watts_at(only(fit_shared(both, "linear", half_life=h)))[2] for h in (float("inf"), 3600.0))
    assert abs(new - 132.0) < 3.0 < abs(old - 132.0)  # 60 + 30 W, and 140 W * 0.3


# --- the curve can be one -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_a_curve_never_falls_however_noisy_the_meter_is(seed: int) -> None:
    fit = only(fit_shared(metered(seed, {"a": line}, samples=60, watts=300.0), "piecewise"))
    assert all(b >= a for a, b in pairwise(watts_at(fit, np.linspace(0.0, 1.0, 101))))


@pytest.mark.parametrize("c", [(80.0, 20.0, 50.0), (0.0, 0.0, 100.0), (35.0, 33.0, 107.0)])
def test_straight_pieces_are_within_a_thousandth_of_the_square_root(c: tuple[float, float, float]) -> None:
    curve, _ = SharedFamily("sqrt").curve(np.array(c))
    u = np.linspace(0.0, 1.0, 20_001)
    exact = c[0] + c[1] * u + c[2] * (2.0 * np.sqrt(u) - u)
    off = np.abs(np.array([curve.watts(float(each)) for each in u]) - exact).max()
    assert off < 1e-3 * exact[-1]


def test_a_square_root_without_a_bend_is_a_line() -> None:
    curve, _ = SharedFamily("sqrt").curve(np.array([60.0, 140.0, 0.0]))
    assert curve == Linear(60.0, 200.0)


# --- refused --------------------------------------------------------------------------------------------------------


def test_too_few_samples_are_refused() -> None:
    fit = only(fit_shared(metered(1, {"a": line}, samples=4)))
    assert (fit.verdict, fit.curve) == ("refused", None)
    assert "4 usable samples of 4, at least 5 are needed" in fit.reasons[0]


def test_a_small_range_of_use_is_refused() -> None:
    fit = only(fit_shared(metered(1, {"a": line}, samples=1500, most=0.1)))
    assert fit.verdict == "refused"
    assert "a curve beyond is a guess" in fit.reasons[0]


def test_kinds_whose_use_is_the_same_are_refused_by_name() -> None:
    one = metered(1, {"x": line})
    found = fit_shared(
        SharedSamples(2.0 * one.watts, {"x": one.use["x"], "y": one.use["x"].copy()}, one.time), "linear"
    )
    assert {fit.verdict for fit in found.kinds.values()} == {"refused"}
    assert "do not determine the curves of x, y: their use never changes apart" in found.kinds["x"].reasons[0]


def test_kinds_that_are_hard_to_tell_apart_are_named() -> None:
    one, rng = metered(1, {"x": line}, watts=60.0), np.random.default_rng(3)
    near = np.clip(one.use["x"] + rng.normal(0.0, 0.005, one.use["x"].shape), 0.0, 1.0)
    found = fit_shared(SharedSamples(2.0 * one.watts, {"x": one.use["x"], "y": near}, one.time), "linear")
    assert found.verdict == "refused"
    assert any("hard to tell apart" in reason for reason in found.kinds["x"].reasons)


def test_common_idle_power_makes_two_kinds_only_usable() -> None:
    found = fit_shared(metered(1, {"x": line, "y": root}, samples=1500))
    assert {fit.verdict for fit in found.kinds.values()} == {"usable"}
    assert "the idle power of x, y is known only together" in found.kinds["y"].reasons[-1]


def test_a_meter_that_never_changes_is_refused() -> None:
    good = metered(1, {"a": line})
    fit = only(fit_shared(SharedSamples(np.full(240, 900.0), good.use, good.time)))
    assert fit.reasons == ("power is 900 W in all samples, so it is not measured: take another series",)


def test_impossible_samples_are_counted_and_left_out() -> None:
    good = metered(1, {"a": line}, samples=1500)
    watts = good.watts.copy()
    watts[:300] = -1.0
    fit = only(fit_shared(SharedSamples(watts, good.use, good.time), "linear"))
    assert fit.quality.samples == 1200
    assert "300 of 1500 samples are no measurements" in fit.reasons[0]


def test_kilowatts_taken_for_watts_are_refused() -> None:
    good = metered(1, {"a": line})
    fit = only(fit_shared(SharedSamples(good.watts / 1000.0, good.use, good.time), "linear"))
    assert fit.verdict == "refused"
    assert "are these kilowatts" in fit.reasons[0]


def test_an_estimate_is_no_measurement() -> None:
    fit = only(fit_shared(metered(1, {"a": line}, samples=1500), doubt="its name says estimate"))
    assert (fit.verdict, fit.confidence) == ("usable", "low")


def test_an_unknown_model_is_an_error_that_knows_the_nearest() -> None:
    with pytest.raises(ModelFitError, match="did you mean 'sqrt'"):
        fit_shared(metered(1, {"a": line}), "sqr")


def test_times_that_go_back_are_an_error() -> None:
    good = metered(1, {"a": line})
    with pytest.raises(ModelFitError, match="rising times"):
        SharedSamples(good.watts, good.use, -60.0 * np.arange(240))
