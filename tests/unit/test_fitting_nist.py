"""Least squares against certified answers: NIST's nonlinear regression sets of exponential form.

Certified values are from ``tests/data/nist`` (11 digits). What float64 allows: Lanczos1 is data without noise, so its
residual deviation of 9e-14 and the standard deviations are rounding of the data; Lanczos3's three exponentials are so
much alike that the parameters have lost three digits.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from peaks_scheduler.errors import ModelFitError
from peaks_scheduler.fitting import Solution, least_squares_fit
from peaks_scheduler.power.curves import Floats

FOLDER = Path(__file__).parents[1] / "data" / "nist"

Formula = Callable[[Any, Any], Any]  # (x, b) -> y, also of complex numbers


@dataclass(frozen=True, slots=True)
class Certified:
    """One file."""

    starts: Floats  # (2, P)
    parameters: Floats  # (P,)
    deviations: Floats  # (P,)
    residual_deviation: float
    x: Floats  # (S,)
    y: Floats  # (S,)


def read(name: str) -> Certified:
    lines = (FOLDER / f"{name}.dat").read_text(encoding="ascii").splitlines()
    rows = [line.split("=")[1].split() for line in lines if line.lstrip().startswith("b") and " =" in line]
    table = np.array([row for row in rows if len(row) == 4], np.float64)
    residual = next(float(line.split(":")[1]) for line in lines if line.startswith("Residual Standard Deviation"))
    first = max(i for i, line in enumerate(lines) if line.startswith("Data:"))
    y, x = np.array([line.split() for line in lines[first + 1 :] if line.strip()], np.float64).T
    return Certified(table[:, :2].T, table[:, 2], table[:, 3], residual, x, y)


def lanczos(x: Any, b: Any) -> Any:
    return b[0] * np.exp(-b[1] * x) + b[2] * np.exp(-b[3] * x) + b[4] * np.exp(-b[5] * x)


def chwirut(x: Any, b: Any) -> Any:
    return np.exp(-b[0] * x) / (b[1] + b[2] * x)


def saturating(x: Any, b: Any) -> Any:
    return b[0] * (1.0 - np.exp(-b[1] * x))


# digits that are asked for: one less than were seen on one machine
FILES: dict[str, tuple[Formula, int, int]] = {
    #            formula as in the file, digits of the parameters and of the deviations
    "Misra1a": (saturating, 9, 8),
    "Chwirut1": (chwirut, 7, 8),
    "Chwirut2": (chwirut, 8, 8),
    "BoxBOD": (saturating, 7, 7),
    "Lanczos1": (lanczos, 9, 2),
    "Lanczos2": (lanczos, 9, 8),
    "Lanczos3": (lanczos, 6, 5),
    "MGH10": (lambda x, b: b[0] * np.exp(b[1] / (x + b[2])), 9, 8),
    "MGH17": (lambda x, b: b[0] + b[1] * np.exp(-x * b[3]) + b[2] * np.exp(-x * b[4]), 6, 6),
}
CASES = [pytest.param(name, start, id=f"{name}-start{start + 1}") for name in FILES for start in (0, 1)]


def solved(name: str, start: int) -> tuple[Certified, Solution]:
    certified = read(name)
    found = least_squares_fit(
        FILES[name][0], certified.x, certified.y, certified.starts[start], jacobian="cs", loss="linear"
    )
    return certified, found


@pytest.mark.parametrize(("name", "start"), CASES)
def test_certified_parameters_are_found_from_both_of_nists_starts(name: str, start: int) -> None:
    certified, found = solved(name, start)
    assert found.parameters == pytest.approx(certified.parameters, rel=10.0 ** -FILES[name][1])


@pytest.mark.parametrize(("name", "start"), CASES)
def test_certified_standard_deviations_come_with_them(name: str, start: int) -> None:
    certified, found = solved(name, start)
    digits = FILES[name][2]
    assert found.standard_errors == pytest.approx(certified.deviations, rel=10.0**-digits)
    assert found.residual_sd == pytest.approx(certified.residual_deviation, rel=10.0**-digits)


def test_the_best_of_several_starts_is_taken() -> None:
    certified = read("BoxBOD")
    # from 1, -9 the steps run away to a flat curve: a sum of squares of 9,771 against the certified 1,168
    starts = np.array([[1.0, -9.0], certified.starts[1]])
    found = least_squares_fit(saturating, certified.x, certified.y, starts, jacobian="cs")
    assert found.parameters == pytest.approx(certified.parameters, rel=1e-8)


def test_bounds_hold() -> None:
    certified = read("Misra1a")
    bounds = np.array([0.0, 0.0]), np.array([200.0, 1.0])  # the certified first parameter is 238.9
    found = least_squares_fit(saturating, certified.x, certified.y, certified.starts[1], bounds=bounds)
    assert found.parameters[0] == pytest.approx(200.0, rel=1e-6)


def test_soft_l1_is_not_led_astray_by_an_outlier() -> None:
    certified = read("Misra1a")
    y = certified.y.copy()
    y[6] += 30.0  # 300 residual deviations
    robust = least_squares_fit(saturating, certified.x, y, certified.starts[1], loss="soft_l1", tolerance=1e-12)
    plain = least_squares_fit(saturating, certified.x, y, certified.starts[1], tolerance=1e-12)
    assert robust.parameters == pytest.approx(certified.parameters, rel=0.02)
    assert plain.parameters != pytest.approx(certified.parameters, rel=0.1)


def test_fewer_samples_than_parameters_are_refused_in_words() -> None:
    with pytest.raises(ModelFitError, match="at least as many samples as parameters; got 1 for 2"):
        least_squares_fit(saturating, np.ones(1), np.ones(1), np.ones(2))


def test_a_model_without_numbers_is_refused_in_words() -> None:
    with pytest.raises(ModelFitError, match="gives numbers at the start"):
        least_squares_fit(lambda x, b: x * np.nan, np.ones(3), np.ones(3), np.ones(2))
