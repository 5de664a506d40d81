"""The instants of a range query, and a series at these instants.

How several series on one grid are combined is in ``replicas.py`` and ``power_history/sums.py``. Pure: numpy.
"""

from dataclasses import dataclass

import numpy as np

from peaks_scheduler.arrays import Floats

from .answers import Series


@dataclass(frozen=True, slots=True)
class Grid:
    """The instants of a range query: ``start``, ``start + step``, ... up to ``end`` [s]."""

    start: float
    end: float
    step: float

    @property
    def times(self) -> Floats:
        """(T,) [s]"""
        count = int((self.end - self.start) / self.step + 1e-9) + 1
        return np.array([self.start + self.step * i for i in range(count)])

    def row(self, series: Series, size: int) -> Floats:
        """(T,) the series at each of ``size`` instants, NaN where it has no finite value."""
        row = np.full(size, np.nan)
        at = np.rint((series.times - self.start) / self.step).astype(int)
        known = np.isfinite(series.values) & (at >= 0) & (at < size)
        row[at[known]] = series.values[known]
        return row
