"""CPU and power series are joined: counters, gauges, and everything that can be wrong with them.

The load is a made-up profile of which the mean over any interval can be worked out; power is a straight line of it, so
that a mean of power is the line of the mean use, and every sample that comes out must lie on that line.
"""

from __future__ import annotations

import numpy as np
import pytest

from peaks_scheduler.arrays import Floats
from peaks_scheduler.fitting.alignment import Aligned, align, screened
from peaks_scheduler.fitting.readings import Kind, Reading, kind_of

START = 1_700_000_000.0
IDLE, SPAN = 100.0, 200.0  # [W]


def load(times: Floats) -> Floats:
    """Use as a fraction: two slow waves between 0.1 and 0.9."""
    return 0.5 + 0.25 * np.sin((times - START) / 400.0) + 0.15 * np.sin((times - START) / 173.0)


def load_seconds(times: Floats) -> Floats:
    """The integral of the use since START."""
    s = times - START
    return 0.5 * s + 100.0 * (1.0 - np.cos(s / 400.0)) + 25.95 * (1.0 - np.cos(s / 173.0))


def steps(count: int, every: float, first: float = 0.0) -> Floats:
    return START + first + every * np.arange(count)


def cpu(times: Floats, kind: Kind = "counter") -> Reading:
    return Reading(times, load_seconds(times) if kind == "counter" else load(times), kind)


def power(times: Floats, kind: Kind = "counter", late: float = 0.0) -> Reading:
    """Power as a straight line of the use ``late`` seconds before."""
    then = times - late
    if kind == "gauge":
        return Reading(times, IDLE + SPAN * load(then), kind)
    return Reading(times, 5e6 + IDLE * (then - START) + SPAN * load_seconds(then), kind)


def off_the_line(aligned: Aligned) -> float:
    """The largest distance [W] of a sample from the line that all samples should lie on."""
    return float(np.abs(aligned.samples.watts - IDLE - SPAN * aligned.samples.cpu).max())


# --- what is joined -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("of_power", ["counter", "gauge"])
@pytest.mark.parametrize("of_cpu", ["counter", "gauge"])
def test_counters_and_gauges_of_the_same_instants_go_together(of_cpu: Kind, of_power: Kind) -> None:
    times = steps(200, 15.0)
    aligned = align(cpu(times, of_cpu), power(times, of_power))
    # a gauge is a straight line between its samples: over 15 s of these waves that is 0.02 W off the true mean
    assert off_the_line(aligned) < 0.05
    assert len(aligned.samples) >= 199
    assert aligned.lag == 0.0
    assert aligned.notes == ()


def test_two_counters_give_exact_means() -> None:
    times = steps(200, 60.0)
    assert off_the_line(align(cpu(times), power(times))) < 1e-6


@pytest.mark.parametrize(("of_cpu", "of_power"), [("counter", "gauge"), ("gauge", "counter"), ("gauge", "gauge")])
def test_series_that_were_read_at_other_instants_and_steps_are_averaged_over_the_longer_step(
    of_cpu: Kind, of_power: Kind
) -> None:
    aligned = align(cpu(steps(800, 5.0), of_cpu), power(steps(130, 30.0, first=7.0), of_power))
    assert off_the_line(aligned) < 0.2
    assert 128 <= len(aligned.samples) <= 130


def test_steps_that_vary_do_not_matter_to_counters() -> None:
    # steps as an old Kepler's samples had them: 15, 15, 21, 15, 18, 3 s
    irregular = START + np.cumsum(np.tile([15.0, 15.0, 21.0, 15.0, 18.0, 3.0], 40))
    aligned = align(cpu(irregular), power(irregular))
    assert off_the_line(aligned) < 1e-6
    # the 3 s belong to an interval of 18 s
    assert np.diff(aligned.samples.time).min() >= 15.0


def test_rows_out_of_order_give_the_same_samples() -> None:
    times = steps(100, 60.0)
    mixed = np.random.default_rng(1).permutation(times)
    aligned, straight = align(cpu(mixed), power(mixed)), align(cpu(times), power(times))
    np.testing.assert_array_equal(aligned.samples.cpu, straight.samples.cpu)
    np.testing.assert_array_equal(aligned.samples.watts, straight.samples.watts)
    assert any("not in order of time" in note for note in aligned.notes)


# --- what is left out -------------------------------------------------------------------------------------------------


def test_an_interval_with_a_reset_is_left_out_and_said() -> None:
    times = steps(100, 60.0)
    restarted = power(times)
    values = restarted.values - np.where(np.arange(100) >= 40, restarted.values[40] - 1.0, 0.0)
    aligned = align(cpu(times), Reading(times, values, "counter"))
    assert len(aligned.samples) == 98
    assert off_the_line(aligned) < 1e-6
    assert any("power: 1 counter reset" in note for note in aligned.notes)


def test_gaps_are_never_bridged() -> None:
    times = steps(100, 60.0)
    holey = times[np.r_[0:30, 50:100]]
    aligned = align(cpu(times, "gauge"), power(holey))
    assert off_the_line(aligned) < 1.0
    inside = (aligned.samples.time > times[29]) & (aligned.samples.time <= times[50])
    assert not inside.any()
    assert any("power: 1 gap, not bridged" in note for note in aligned.notes)


@pytest.mark.parametrize("kind", ["counter", "gauge"])
def test_a_power_series_that_is_cut_off_gives_no_samples_beyond_its_end(kind: Kind) -> None:
    times = steps(100, 60.0)
    aligned = align(cpu(times), power(times[:60], kind))
    assert aligned.samples.time.max() == times[59]


def test_energy_that_an_exporter_only_repeats_is_left_out() -> None:
    times = steps(100, 15.0)
    # the exporter measures every 60 s and is scraped every 15 s
    looked = START + np.floor((times - START) / 60.0) * 60.0
    stale = Reading(times, power(looked).values, "counter")
    aligned = align(cpu(times), stale)
    assert aligned.samples.watts.min() > IDLE
    assert off_the_line(aligned) < 1e-6
    assert any("75 samples that only repeat the one before" in note for note in aligned.notes)


def test_the_last_samples_of_a_stopped_energy_counter_do_not_count_as_zero_watts() -> None:
    times = steps(50, 15.0)
    values = power(times).values.copy()
    values[-3:] = values[-4]
    aligned = align(cpu(times), Reading(times, values, "counter"))
    assert aligned.samples.watts.min() > IDLE
    assert len(aligned.samples) == 46


def test_a_cpu_that_rests_is_a_measurement() -> None:
    times = steps(40, 60.0)
    busy = np.repeat([0.0, 0.5, 0.0, 1.0], 10)  # over the interval before each sample
    used = Reading(times, np.cumsum(busy * 60.0), "counter")
    drawn = Reading(times, np.cumsum((IDLE + SPAN * busy) * 60.0), "counter")
    aligned = align(used, drawn)
    assert (aligned.samples.cpu == 0.0).sum() == 19
    assert off_the_line(aligned) < 1e-6


def test_a_cpu_counter_that_stood_still_and_caught_up_is_not_idle() -> None:
    times = steps(100, 15.0)
    values = load_seconds(times).copy()
    values[50] = values[49]
    aligned = align(Reading(times, values, "counter"), power(times))
    # the use is spread evenly over the 30 s; a resting counter would be 100 W off
    assert off_the_line(aligned) < 1.0
    assert aligned.samples.cpu.min() > 0.1


def test_a_gauge_that_is_frozen_amid_a_lively_series_is_left_out() -> None:
    times = steps(200, 15.0)
    noisy = power(times, "gauge").values + np.random.default_rng(2).normal(0.0, 0.5, 200)
    noisy[80:110] = noisy[80]
    aligned = align(cpu(times, "gauge"), Reading(times, noisy, "gauge"))
    assert off_the_line(aligned) < 3.0  # of 0.5 W noise; the frozen stretch would be 60 W off
    assert any("29 samples that only repeat" in note for note in aligned.notes)


def test_a_gauge_in_whole_watts_may_stay_the_same() -> None:
    times = steps(200, 15.0)
    whole = np.round(power(times, "gauge").values / 20.0) * 20.0
    aligned = align(cpu(times, "gauge"), Reading(times, whole, "gauge"))
    assert len(aligned.samples) == 200


def test_missing_values_are_left_out_and_counted() -> None:
    times = steps(100, 60.0)
    values = power(times, "gauge").values.copy()
    values[[3, 50, 51]] = np.nan
    aligned = align(cpu(times, "gauge"), Reading(times, values, "gauge"))
    assert len(aligned.samples) == 97
    assert any("power: 3 samples without a value" in note for note in aligned.notes)


@pytest.mark.parametrize("kind", ["counter", "gauge"])
def test_a_time_that_comes_twice_counts_once(kind: Kind) -> None:
    times = steps(60, 60.0)
    twice = np.concatenate([times, times[:5]])
    aligned = align(cpu(times, kind), power(twice, kind))
    assert np.all(np.diff(aligned.samples.time) > 0.0)
    assert off_the_line(aligned) < 1e-6
    assert any("5 samples at a time that another one has" in note for note in aligned.notes)


@pytest.mark.parametrize("count", [0, 1])
def test_a_series_without_samples_gives_none_and_says_so(count: int) -> None:
    aligned = align(cpu(steps(50, 60.0)), power(steps(count, 60.0)))
    assert len(aligned.samples) == 0
    assert "fewer than two samples" in aligned.notes[-1]


def test_series_of_different_days_give_no_samples_and_say_how_far_they_are_apart() -> None:
    aligned = align(cpu(steps(50, 60.0)), power(steps(50, 60.0, first=7200.0)))
    assert len(aligned.samples) == 0
    # from the CPU's last sample, 2940 s after START, to the first of power
    assert any("not measured at the same time (1.2 h" in note for note in aligned.notes)


def test_samples_that_say_nothing_are_left_out_and_those_that_cannot_be_are_counted() -> None:
    use = np.array([0.1, 0.2, -0.1, 7.0, 0.3, 0.4, np.nan])
    watts = np.array([100.0, 110.0, 100.0, 100.0, 0.0, 2e5, 100.0])
    samples, notes = screened(use, watts)
    np.testing.assert_array_equal(samples.cpu, [0.1, 0.2, -0.1, 7.0, 0.4])
    np.testing.assert_array_equal(samples.usable().cpu, [0.1, 0.2])
    assert notes == (
        "1 sample without a value for both CPU and power, left out",
        "1 sample with 0 W or less, left out: a running node draws power",
        "3 samples with a CPU use below 0 or above 150%, or above 100,000 W: no measurements",
    )


# --- lag --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("late", [-60.0, 60.0, 120.0])
@pytest.mark.parametrize("kind", ["counter", "gauge"])
def test_power_that_follows_late_is_put_back_in_time(kind: Kind, late: float) -> None:
    times = steps(200, 60.0)
    aligned = align(cpu(times, kind), power(times, kind, late=late))
    assert aligned.lag == late
    assert off_the_line(aligned) < 1e-3
    assert any("rank correlation 1.00 instead of" in note for note in aligned.notes)


def test_series_without_a_relation_are_not_shifted() -> None:
    times, random = steps(300, 60.0), np.random.default_rng(3)
    aligned = align(
        Reading(times, random.uniform(0.0, 1.0, 300), "gauge"),
        Reading(times, random.uniform(100.0, 110.0, 300), "gauge"),
    )
    assert aligned.lag == 0.0


def test_a_lag_that_noise_might_have_made_is_not_applied() -> None:
    """Slow load and much noise: neighbouring lags fit about equally well."""
    times = steps(200, 60.0)
    slow = 0.5 + 0.4 * np.sin((times - START) / 4000.0)
    for seed in range(20):
        noise = np.random.default_rng(seed).normal(0.0, 20.0, 200)
        aligned = align(Reading(times, slow, "gauge"), Reading(times, IDLE + SPAN * slow + noise, "gauge"))
        assert aligned.lag == 0.0


# --- kinds ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (np.cumsum(np.full(50, 7000.0)), "counter"),
        (np.concatenate([np.cumsum(np.full(30, 7000.0)), np.cumsum(np.full(30, 7000.0))]), "counter"),
        (np.repeat(np.cumsum(np.full(30, 7000.0)), 3), "counter"),
        (np.linspace(100.0, 900.0, 50), "gauge"),  # a ramp of load
        (np.array([117.0, 139.0, 149.0, 159.0, 160.0, 170.0, 172.0, 176.0, 178.0]), "gauge"),
        (2000.0 + 500.0 * np.sin(np.arange(100) / 7.0), "gauge"),
        (np.full(100, 5000.0), "gauge"),
        (np.zeros(0), "gauge"),
        (np.full(3, np.nan), "gauge"),
    ],
    ids=["rises", "starts anew", "repeats", "ramp", "few levels", "waves", "constant", "nothing", "missing"],
)
def test_a_counter_is_told_from_a_gauge(values: Floats, kind: str) -> None:
    assert kind_of(values) == kind
