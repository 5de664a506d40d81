"""The samples that a curve is learned from: pairs of CPU utilisation and watts, and their load levels.

Owns ``Samples``, which samples are usable, and what a load level is. Assumes that both series were brought to the same
instants and units before. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from peaks_scheduler.arrays import Floats, Ints
from peaks_scheduler.errors import ModelFitError
from peaks_scheduler.power.curves import MAX_WATTS

MAX_CPU = 1.5
"""The largest plausible utilisation. A little above 1 is a measurement error; more is another unit."""
LEVEL_WIDTH = 0.05
"""Width of a load level [fraction of full load]; less where the whole range is narrow."""
_LEVELS = 20  # about so many levels for a continuous series


@dataclass(frozen=True, slots=True)
class Samples:
    """S measurements of one node; sample i is the same instant in every array."""

    cpu: Floats  # (S,) [1] utilisation, a fraction 0..1 (a little above 1: measurement error); NaN = not measured
    watts: Floats  # (S,) [W] NaN = not measured
    time: Floats | None = None  # (S,) [s] ascending; None: not ordered in time (a table of levels)
    celsius: Floats | None = None  # (S,) temperature of the node's air; NaN = not known; None: not asked for

    def __post_init__(self) -> None:
        optional = (name for name in ("time", "celsius") if getattr(self, name) is not None)
        for name in ("cpu", "watts", *optional):
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
        """The samples that can be measurements: CPU in [0, 1.5], watts in [0, 100 kW], no NaN."""
        with np.errstate(invalid="ignore"):
            good = (self.cpu >= 0.0) & (self.cpu <= MAX_CPU) & (self.watts >= 0.0) & (self.watts <= MAX_WATTS)
        return self.of(good if self.time is None else good & np.isfinite(self.time))

    def thinned(self, most: int) -> Samples:
        """Every n-th sample, so that there are at most ``most``."""
        step = -(-len(self) // most)
        return self.of(np.arange(len(self)) % step == 0)

    def of(self, which: NDArray[np.bool_]) -> Samples:
        """The samples that the (S,) mask keeps."""
        time, celsius = (None if each is None else each[which] for each in (self.time, self.celsius))
        return Samples(self.cpu[which], self.watts[which], time, celsius)


def load_levels(cpu: Floats) -> Ints:
    """(S,) number of the load level of each sample, 0 for the lowest. cpu (S,) [fraction].

    A level holds all samples within 5 % of full load of its lowest sample (or within a twentieth of the range of the
    samples, if that is less). So the levels of a table are kept, and a continuous series is cut into about 20 levels.
    """
    width = min(LEVEL_WIDTH, float(np.ptp(cpu)) / _LEVELS)
    order = np.argsort(cpu, kind="stable")
    ordered = cpu[order]
    levels = np.empty(len(cpu), np.int64)
    start = level = 0
    while start < len(cpu):
        # slightly less, so that a table in steps of exactly that width keeps its levels
        end = int(np.searchsorted(ordered, ordered[start] + width * (1.0 - 1e-9), side="right"))
        levels[order[start:end]] = level
        start, level = end, level + 1
    return levels
