"""Why a prediction does not count: each rule, at the number where it begins."""

from __future__ import annotations

import numpy as np
import pytest

from peaks_scheduler.power.judging import REASONS, Answers, judge
from peaks_scheduler.power.predictions import FIRST, monotone

GOOD = 100.0 + 100.0 * FIRST


def reason(raw: np.ndarray, known: tuple[float, float] = (np.nan, np.nan)) -> str:
    """Why this answer does not count; empty: it does."""
    came = np.array([raw])
    with np.errstate(invalid="ignore"):
        watts, change = monotone(came)
    found = judge(Answers(FIRST[None], came, watts, change, np.array([known]), ["its model of the layer file"]))
    return found[0].reason if found else ""


def with_point(i: int, watts: float) -> np.ndarray:
    changed = GOOD.copy()
    changed[i] = watts
    return changed


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (GOOD, ""),
        (with_point(3, np.nan), "not-a-number"),
        (with_point(20, np.inf), "not-a-number"),
        (with_point(0, -5.0), "too-low"),
        (with_point(0, 0.9), "too-low"),
        (GOOD * 101.0, "too-high"),
        # two points around 150 W of a rise of 100 W: each moves by half of what they fall
        (with_point(10, 194.0), "falling"),
        (with_point(10, 165.0), ""),
        (GOOD[::-1], "falling"),
        (np.full(21, 150.0), "flat"),
        (100.0 + 5.0 * FIRST, "flat"),
        (100.0 + 6.0 * FIRST, ""),
        (100.0 + 100.0 * np.maximum(FIRST - 0.5, 0.0), "flat"),
    ],
    ids=[
        "good", "NaN", "infinite", "negative", "below a watt", "above 20 kW", "falls far", "falls a little",
        "falls throughout", "the same at any use", "5 % of 105 W", "6 % of 106 W", "flat up to half load",
    ],
)  # fmt: skip
def test_nonsense_does_not_count(raw: np.ndarray, why: str) -> None:
    assert reason(raw) == why


@pytest.mark.parametrize(
    ("factor", "why"), [(10.0, "far"), (3.1, "far"), (2.9, ""), (0.35, ""), (0.32, "far"), (0.1, "far")]
)
def test_a_factor_of_three_from_what_is_known_is_too_far(factor: float, why: str) -> None:
    assert reason(GOOD * factor, known=(100.0, 200.0)) == why


def test_one_end_that_is_far_is_enough() -> None:
    assert reason(60.0 + 140.0 * FIRST, known=(200.0, 250.0)) == "far"


def test_each_rule_has_words_with_its_numbers() -> None:
    came = np.array([with_point(3, np.nan), GOOD * -1.0, GOOD * 101.0, GOOD[::-1], GOOD * 0 + 150.0, GOOD * 4.0])
    with np.errstate(invalid="ignore"):
        watts, change = monotone(came)
    known = np.full((6, 2), np.nan)
    known[5] = 100.0, 200.0
    found = judge(Answers(np.tile(FIRST, (6, 1)), came, watts, change, known, ["its last prediction"] * 6))
    assert tuple(each.reason for each in found.values()) == REASONS
    assert "1 numbers" in found[0].words
    assert "-200 W" in found[1].words
    assert "2.02e+04 W" in found[2].words
    assert "150 W at half" in found[4].words
    assert (
        "its last prediction, 100 W at no and 200 W at full load; the server answers 400 W and 800 W" in found[5].words
    )
