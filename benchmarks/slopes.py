"""Does a quantity grow? The slope of its samples by Theil and Sen, with an interval. Pure.

Owns the verdict ``flat`` and why its limits are what they are. Samples of one minute hang together, so each minute
counts once, with its median. The interval is the one of Kendall's test (Sen, 1968, doi:10.1080/01621459.1968.10480934):
it assumes that the minutes are independent, and nothing about their distribution.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Slope:
    """Growth an hour, in units of the quantity, and its interval."""

    value: float
    low: float
    high: float

    def flat(self, least: float) -> bool:
        """Is there no growth of ``least`` an hour or more? Growth that the interval does not show is none."""
        return self.low <= 0.0 or self.value < least


def slope(minutes: Sequence[float], values: Sequence[float]) -> Slope:
    """The slope of ``values`` at ``minutes`` [min]. Raises ValueError for less than three minutes: no interval."""
    from scipy.stats import theilslopes

    times, middles = by_minute(minutes, values)
    if len(times) < 3:
        raise ValueError(f"expected samples of three minutes at least, got {len(times)}")
    found = theilslopes(middles, times, CONFIDENCE)
    return Slope(*(60.0 * float(each) for each in (found.slope, found.low_slope, found.high_slope)))


def by_minute(minutes: Sequence[float], values: Sequence[float]) -> tuple[list[float], list[float]]:
    """The median time and value of each minute that has samples; ``minutes`` in order."""
    groups = [list(each) for _, each in groupby(zip(minutes, values, strict=True), key=lambda sample: int(sample[0]))]
    times = [statistics.median(at for at, _ in group) for group in groups]
    return times, [statistics.median(value for _, value in group) for group in groups]
