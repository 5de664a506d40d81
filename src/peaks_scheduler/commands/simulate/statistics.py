"""Mean and 95 % interval of a few values, by Student's t. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """The mean of values, and how far the true mean may be from it with probability ``LEVEL``."""

    mean: float
    half: float | None
    """None: a single value does not tell."""

    @property
    def low(self) -> float | None:
        return None if self.half is None else self.mean - self.half

    @property
    def high(self) -> float | None:
        return None if self.half is None else self.mean + self.half


def interval(values: Sequence[float]) -> Interval:
    """mean ± t * s / sqrt(n) for n independent values with standard deviation s. At least one value.

    The sums are exact before they are rounded, so the order of the values does not count.
    """
    from scipy.special import stdtrit

    count = len(values)
    mean = math.fsum(values) / count
    if count < 2:
        return Interval(mean, None)
    variance = math.fsum((value - mean) ** 2 for value in values) / (count - 1)
    return Interval(mean, float(stdtrit(count - 1, 0.5 + LEVEL / 2.0)) * math.sqrt(variance / count))
