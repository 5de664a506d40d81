"""Temperatures beside the samples: what is no reading, which one belongs to which sample, and other units."""

from __future__ import annotations

import math

import numpy as np
import pytest

from peaks_scheduler.fitting.celsius import celsius_at, missing, named_otherwise, other_unit, plausible
from peaks_scheduler.fitting.readings import Reading

NAN = math.nan


def at(times: list[float], values: list[float], asked: list[float]) -> list[float]:
    reading = Reading(np.array(times), np.array(values), "gauge")
    found: list[float] = celsius_at(reading, np.array(asked)).tolist()
    return found


@pytest.mark.parametrize("nonsense", [NAN, -128.0, 255.0, 127.0, math.inf, -math.inf, 85.0, 0.0])
def test_what_sensors_say_instead_of_nothing_is_no_reading(nonsense: float) -> None:
    """85 is what a sensor says when it was just switched on, 0 a byte without a reading: 20 kelvins off all others."""
    values = np.array([20.0, 21.0, 22.0, 23.0] * 10 + [nonsense])
    assert np.isnan(plausible(values)).tolist() == [False] * 40 + [True]


def test_a_warm_hour_is_no_failed_sensor() -> None:
    values = np.array([20.0] * 40 + [29.0])
    assert not np.isnan(plausible(values)).any()


def test_a_broken_sensor_has_no_reading_at_all() -> None:
    assert np.isnan(plausible(np.full(5, 255.0))).all()


def test_between_two_readings_the_temperature_is_on_their_line() -> None:
    assert at([0.0, 60.0, 120.0], [20.0, 22.0, 21.0], [30.0, 60.0, 90.0]) == pytest.approx([21.0, 22.0, 21.5])


def test_a_gap_is_not_bridged() -> None:
    times, values = [0.0, 60.0, 120.0, 600.0, 660.0], [20.0] * 5
    assert at(times, values, [300.0, 600.0, 630.0]) == pytest.approx([NAN, 20.0, 20.0], nan_ok=True)


def test_beyond_the_ends_the_last_reading_counts_for_three_steps() -> None:
    assert at([0.0, 60.0, 120.0], [20.0, 20.0, 21.0], [300.0, 301.0]) == pytest.approx([21.0, NAN], nan_ok=True)


def test_nonsense_between_two_readings_is_passed_over() -> None:
    assert at([0.0, 60.0, 120.0, 180.0], [20.0, 255.0, 22.0, 22.0], [60.0]) == pytest.approx([21.0])


@pytest.mark.parametrize(("times", "values"), [([], []), ([0.0], [NAN]), ([0.0], [-128.0])])
def test_no_reading_gives_no_temperature(times: list[float], values: list[float]) -> None:
    assert at(times, values, [0.0]) == pytest.approx([NAN], nan_ok=True)


def test_one_reading_counts_at_its_time_alone() -> None:
    assert at([60.0], [20.0], [60.0, 61.0]) == pytest.approx([20.0, NAN], nan_ok=True)


def test_samples_without_a_temperature_are_counted() -> None:
    assert missing(np.array([20.0, 21.0])) == ()
    assert missing(np.array([20.0, NAN, NAN])) == (
        "2 samples of 3 without a plausible temperature: not used for the term",
    )


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([295.0, 296.0], "about 295.5), which looks like kelvin (22 celsius)"),
        ([212.0, 255.0], "looks like Fahrenheit or tenths of a degree"),
        ([22_000.0, 23_000.0], "looks like thousandths of a degree"),
        ([560.0, 580.0], "looks like tenths of a degree"),
    ],
)
def test_values_that_are_all_above_a_hundred_are_of_another_unit(values: list[float], expected: str) -> None:
    assert expected in other_unit([np.array(values)])


@pytest.mark.parametrize("values", [[22.0, 295.0], [255.0, 255.0], [NAN], []])
def test_one_value_below_or_none_at_all_is_no_other_unit(values: list[float]) -> None:
    assert other_unit([np.array(values)]) == ""


@pytest.mark.parametrize("name", ["temp_f", "Inlet (F)", "inlet fahrenheit", "Inlet °F"])
def test_a_column_can_say_that_it_is_in_fahrenheit(name: str) -> None:
    assert named_otherwise(name) == "its name says Fahrenheit: convert it"


@pytest.mark.parametrize("name", ["inlet", "shelf", "Inlet (C)", "temp_celsius", "cpu1"])
def test_other_names_say_nothing(name: str) -> None:
    assert named_otherwise(name) == ""
