"""Means with their 95 % intervals over seeds. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean and half the width of its 95 % interval, which is 0 for a single value."""

    value: float
    half: float = 0.0

    def __str__(self) -> str:
        return self.text(1)

    def text(self, digits: int) -> str:
        value = number(self.value, digits)
        return f"{value} ± {self.half:.{digits}f}" if self.half else value


def mean(values: Iterable[float]) -> Mean:
    """Student's t: the values are independent and few. Raises StatisticsError for none."""
    found = list(values)
    if len(found) < 2:
        return Mean(statistics.fmean(found))
    from scipy.stats import t

    quantile = float(t.ppf(0.975, len(found) - 1))
    return Mean(statistics.fmean(found), quantile * statistics.stdev(found) / math.sqrt(len(found)))


def number(value: float, digits: int = 1) -> str:
    """The number in decimals, without the sign of a zero."""
    return f"{round(value, digits) + 0.0:.{digits}f}"


def percent_over(value: float, least: float) -> float:
    return 100.0 * (value / least - 1.0)


def percent_under(value: float, most: float) -> float:
    return 100.0 * (1.0 - value / most)
