"""What a curve is learned from: pairs of CPU utilisation and watts, and the load levels they were taken at.

Owns ``Samples``, which of them can be used at all, and what a load level is. Assumes that both series were brought to
the same instants and units before. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from peaks_scheduler.arrays import Floats, Ints
from peaks_scheduler.errors import ModelFitError
from peaks_scheduler.power.curves import MAX_WATTS

MAX_CPU = 1.5
"""A sample beyond it is no measurement of a fraction; a little above 1 is rounding of the meters."""
LEVEL_WIDTH = 0.05
"""Samples within so much of the lowest one of a load level belong to it; less where the whole range is narrow."""
_LEVELS = 20  # about so many levels has a continuous series


@dataclass(frozen=True, slots=True)
class Samples:
    """S measurements of one node; sample i is the same instant in every array."""

    cpu: Floats  # (S,) [1] utilisation, a fraction 0..1 (a little above 1 is measurement); NaN = not measured
    watts: Floats  # (S,) [W] NaN = not measured
    time: Floats | None = None  # (S,) [s] ascending; None: no order in time (a table of levels)

    def __post_init__(self) -> None:
        for name in ("cpu", "watts") if self.time is None else ("cpu", "watts", "time"):
            array = np.asarray(getattr(self, name), np.float64)
            if array.ndim != 1 or array.shape != np.shape(self.cpu):
                raise ModelFitError(
                    f"samples: expected one number for each of the {np.size(self.cpu)} values of cpu; got {name} of "
                    f"shape {array.shape}: join the series first"
                )
            object.__setattr__(self, name, array)
        if self.time is not None and not np.all(np.diff(self.time) >= 0.0):
            raise ModelFitError("samples: expected times in ascending order; got some that go back: sort the samples")

    def __len__(self) -> int:
        return len(self.cpu)

    def usable(self) -> Samples:
        """Those that can be measurements: CPU in [0, 1.5], watts in [0, 100 kW], no NaN."""
        with np.errstate(invalid="ignore"):
            good = (self.cpu >= 0.0) & (self.cpu <= MAX_CPU) & (self.watts >= 0.0) & (self.watts <= MAX_WATTS)
        return self.of(good if self.time is None else good & np.isfinite(self.time))

    def thinned(self, most: int) -> Samples:
        """Every so many-th of them, so that there are no more than ``most``."""
        step = -(-len(self) // most)
        return self.of(np.arange(len(self)) % step == 0)

    def of(self, which: NDArray[np.bool_]) -> Samples:
        """Those that the mask keeps."""
        return Samples(self.cpu[which], self.watts[which], None if self.time is None else self.time[which])


def load_levels(cpu: Floats) -> Ints:
    """(S,) number of the load level of each sample, 0 the lowest.

    A level is all samples within 5 % of full load (or a twentieth of the range that there is, where that is less) of
    its lowest one: the levels of a table are found as they are, a continuous series falls into some 20 of them.
    """
    width = min(LEVEL_WIDTH, float(np.ptp(cpu)) / _LEVELS)
    order = np.argsort(cpu, kind="stable")
    ordered = cpu[order]
    levels = np.empty(len(cpu), np.int64)
    start = level = 0
    while start < len(cpu):
        # a hair less, so that a table in steps of exactly that width keeps its levels
        end = int(np.searchsorted(ordered, ordered[start] + width * (1.0 - 1e-9), side="right"))
        levels[order[start:end]] = level
        start, level = end, level + 1
    return levels
