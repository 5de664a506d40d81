"""``fit_with_temperature``: the term that is learned, its intervals, and the reasons for which there is none.

The machines are curves and terms by arithmetic (``benchmarks.temperature_fits``), with 2 % noise, a week of five
minutes, and air that is warm when the load is high.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.signal import lfilter
from scipy.special import bdtr, bdtrc

from benchmarks.temperature_fits import CURVES, NONE, TERMS, inside, machine
from peaks_scheduler.arrays import Floats
from peaks_scheduler.errors import ModelFitError
from peaks_scheduler.fitting.samples import Samples
from peaks_scheduler.fitting.temperature import TemperatureFit, fit_with_temperature

SEEDS = 24


def week(seed: int = 0, curve: str = "linear", term: str = "whole range", **more: float) -> Samples:
    return machine(seed, CURVES[curve], TERMS[term], **more)


def heat(samples: Samples, model: str = "linear") -> TemperatureFit:
    return fit_with_temperature(samples, model)[1]


def reason(samples: Samples, model: str = "linear") -> str:
    found = heat(samples, model)
    assert (found.term, found.verdict) == (None, "refused")
    return found.reasons[0]


def celsius(samples: Samples) -> Floats:
    assert samples.celsius is not None
    return samples.celsius


def test_the_intervals_have_the_true_watts_per_kelvin_in_95_of_100_machines() -> None:
    """Of 24 intervals fewer than 20 have it with a probability of 0.006 if 95 of 100 do, more with 0.03 if 60 do."""
    least = 20
    assert float(bdtr(least - 1, SEEDS, 0.95)) < 0.007
    assert float(bdtrc(least - 1, SEEDS, 0.60)) < 0.03
    true = TERMS["whole range"]
    idle, full = np.array([inside(heat(week(seed)), true) for seed in range(SEEDS)]).sum(axis=0)
    assert idle >= least
    assert full >= least


@pytest.mark.parametrize("curve", CURVES)
def test_the_curve_is_the_one_at_the_reference(curve: str) -> None:
    samples = week(3, curve)
    found, warm = fit_with_temperature(samples)
    assert warm.term is not None
    assert found.curve is not None
    assert warm.term.reference == float(celsius(samples).min())
    for u in (0.2, 0.5, 0.8):
        assert found.curve.watts(u) == pytest.approx(float(CURVES[curve](np.array([u]))[0]), rel=0.01)


def test_a_curve_alone_is_biased_by_the_temperature() -> None:
    """The machine above is 3 K warmer than its coolest hour on average: more than 3 * 1.1 W at half load."""
    samples = week(3)
    from peaks_scheduler.fitting.fit import fit

    alone, beside = fit(samples, "linear").curve, fit_with_temperature(samples, "linear")[0].curve
    assert alone is not None
    assert beside is not None
    assert alone.watts(0.5) - beside.watts(0.5) > 3.0


def test_fans_that_step_in_are_a_hinge_with_its_reference() -> None:
    true = TERMS["hinge"]
    found = heat(week(5, term="hinge"))
    assert found.term is not None
    assert found.reference_error is not None
    assert abs(found.term.reference - true.reference) < 4.0 * found.reference_error < 1.0
    low, high = found.interval("full") or (math.nan, math.nan)
    assert low - 1.0 < true.full < high + 1.0


def test_a_straight_term_has_no_reference_to_be_found() -> None:
    assert heat(week(5)).reference_error is None


def test_the_covariance_is_of_curve_and_term_together() -> None:
    found, warm = fit_with_temperature(week(2), "linear")
    assert warm.covariance is not None
    assert warm.errors is not None
    joint = np.array(warm.covariance)  # idle, max, a, b
    assert joint.shape == (4, 4)
    assert warm.errors[0] == pytest.approx(math.sqrt(joint[2, 2]))
    assert warm.errors[1] == pytest.approx(math.sqrt(joint[2, 2] + joint[3, 3] + 2.0 * joint[2, 3]))
    assert found.quality.covariance == tuple(tuple(row[:2]) for row in joint[:2].tolist())


def test_no_term_is_taken_where_temperature_costs_nothing() -> None:
    taken = [seed for seed in range(SEEDS) if heat(machine(seed, CURVES["linear"], NONE)).term is not None]
    assert len(taken) <= 4  # at 5 % more than that have a probability of 0.006


def test_where_no_term_is_taken_the_plain_fit_stays() -> None:
    from peaks_scheduler.fitting.fit import fit

    samples = machine(1, CURVES["linear"], NONE)
    found, warm = fit_with_temperature(samples, "linear")
    assert warm.reasons[0].startswith("temperature explains nothing: the error on held-back samples is")
    assert found.curve == fit(samples, "linear").curve


@pytest.mark.parametrize("seed", range(8))
def test_less_than_three_kelvins_are_refused(seed: int) -> None:
    assert "K only (" in reason(week(seed, swing=2.0))


def test_the_range_is_that_of_nearly_all_samples_and_not_of_a_few() -> None:
    samples = week(0, swing=2.0)
    few = celsius(samples).copy()
    few[:20] += 6.0
    assert "at least 3 K are needed" in reason(replace(samples, celsius=few))


def test_air_that_warms_with_the_load_is_refused() -> None:
    samples = week(0)
    assert "temperature and CPU use go together (correlation 1.00" in reason(
        replace(samples, celsius=18.0 + 6.0 * samples.cpu)
    )


def test_too_few_temperatures_are_refused() -> None:
    samples = week(0)
    few = np.full(len(samples), math.nan)
    few[:49] = celsius(samples)[:49]
    assert "49 of 2016 samples have a plausible temperature, at least 50 are needed" in reason(
        replace(samples, celsius=few)
    )


@pytest.mark.parametrize("nonsense", [math.nan, -128.0, 255.0])
def test_nonsense_does_not_count(nonsense: float) -> None:
    samples = week(0)
    broken = celsius(samples).copy()
    broken[::3] = nonsense
    found = heat(replace(samples, celsius=broken))
    assert found.samples == 1344  # two thirds of 2016
    assert found.verdict == "good"
    assert found.hottest is not None
    assert found.hottest < 30.0


def test_power_that_falls_with_warmth_has_another_cause() -> None:
    samples = week(0)
    cheaper = replace(samples, watts=samples.watts - 4.0 * (celsius(samples) - 18.0))
    assert reason(cheaper).startswith("power falls as the temperature rises, and a node must not get cheaper")


def test_samples_without_times_are_judged_by_blocks_of_temperature() -> None:
    assert heat(replace(week(0), time=None)).verdict == "good"


def test_wrong_samples_hardly_matter() -> None:
    samples = week(1)
    wrong = samples.watts.copy()
    wrong[::50] += 300.0
    before, after = heat(samples).term, heat(replace(samples, watts=wrong)).term
    assert before is not None
    assert after is not None
    assert after.full == pytest.approx(before.full, abs=0.3)


def test_a_load_that_does_not_vary_gives_neither_curve_nor_term() -> None:
    samples = replace(week(0), cpu=np.full(2016, 0.3))
    assert reason(samples) == "there is no curve that a term could be added to"


def test_samples_without_celsius_are_an_error() -> None:
    with pytest.raises(ModelFitError, match="expected samples with celsius"):
        fit_with_temperature(replace(week(0), celsius=None))


def test_celsius_of_another_length_are_an_error() -> None:
    with pytest.raises(ModelFitError, match="got celsius of shape"):
        replace(week(0), celsius=np.zeros(3))


def test_slow_noise_widens_the_intervals() -> None:
    """Noise with lag-1 autocorrelation 0.9 has the errors of one in 19 samples: sqrt(19) = 4.4 times as large."""
    samples, random = week(4), np.random.default_rng(4)
    slow = lfilter([math.sqrt(1.0 - 0.81)], [1.0, -0.9], random.standard_normal(len(samples)))
    true = TERMS["whole range"]
    warm = celsius(samples) - celsius(samples).min()
    clean = CURVES["linear"](samples.cpu) + (true.idle + (true.full - true.idle) * samples.cpu) * warm
    fast, wide = (heat(replace(samples, watts=clean + 3.0 * noise)) for noise in (random.standard_normal(2016), slow))
    assert fast.errors is not None
    assert wide.errors is not None
    assert 3.0 < wide.errors[1] / fast.errors[1] < 6.0
