"""Which curves are plausible for a machine. The bounds here are those of the documentation."""

from __future__ import annotations

import pytest

from peaks_scheduler.power.curves import Curve, Exponential, Linear
from peaks_scheduler.power.plausibility import implausible, plausible, too_flat, too_steep, usual


@pytest.mark.parametrize("watts", [1.0, 2.1, 45.0, 2148.0, 20_000.0])
def test_a_board_computer_and_a_shelf_of_blades_are_machines(watts: float) -> None:
    assert plausible(watts)
    assert not implausible(Linear(watts, watts))


@pytest.mark.parametrize("watts", [0.0, 0.99, 20_001.0, -5.0])
def test_less_than_a_watt_and_more_than_a_rack_are_not(watts: float) -> None:
    assert not plausible(watts)


@pytest.mark.parametrize(
    ("curve", "words"),
    [
        (Linear(0.02, 0.05), "0.05 W at full load: expected 1 to 20,000 W of a machine: are these kilowatts (50 W) or"),
        (Linear(0.02, 0.05), "or watt-hours (180 W)? Then say --power-unit kilowatts or watt-hours, or multiply by"),
        (Linear(5e-5, 1e-4), "are these kilowatt-hours (360 W)?"),
        (Linear(60e3, 90e3), "9e+04 W at full load: expected 1 to 20,000 W of a machine: are these milliwatts (90 W)?"),
        (Linear(0.2, 90.0), "0.2 W at no load: expected 1 to 20,000 W of a machine: is the idle power missing in it"),
        (Linear(0.0, 1e-12), "check the unit of the series"),
        (Exponential(25_000.0, 100.0, 0.5), "2.52e+04 W at full load"),
    ],
)
def test_a_curve_that_no_machine_has_is_told_with_the_likely_unit(curve: Linear | Exponential, words: str) -> None:
    assert words in implausible(curve)


def test_a_usual_server_is_within_narrower_bounds() -> None:
    assert usual(45.0, 2148.0)
    assert not usual(3.0, 12.0)
    assert not usual(100.0, 6000.0)


@pytest.mark.parametrize(
    ("curve", "flat", "steep"),
    [
        pytest.param(Exponential(471.7, -91.5, -7.186), False, False, id="for 0..1, read as such"),
        pytest.param(Exponential(471.7, -91.5, -0.07186), True, False, id="for percent, read as one for 0..1"),
        pytest.param(Exponential(471.7, -91.5, -718.6), False, True, id="for 0..1, read as one for percent"),
        # 44.7 W to 58 W: the least rise in SPECpower_ssj2008 is by 1.3
        pytest.param(Linear(44.7, 58.0), False, False, id="the flattest server"),
    ],
)
def test_a_curve_in_the_wrong_unit_of_cpu_is_too_flat_or_too_steep(curve: Curve, flat: bool, steep: bool) -> None:
    assert (too_flat(curve), too_steep(curve)) == (flat, steep)
