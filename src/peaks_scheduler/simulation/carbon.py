"""Carbon intensity of the grid: what a kilowatt-hour costs in grams of CO2, by region and time. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from peaks_scheduler.arrays import Floats


@dataclass(frozen=True, slots=True, eq=False)
class CarbonIntensity:
    """Intensity of one region. Each value holds from its time to the next; the first also before, the last after."""

    times: Floats
    """(T,) [s] from the start of the simulation, rising."""
    grams: Floats
    """(T,) [gCO2/kWh]."""
    total: Floats = field(init=False)
    """(T,) [g s/kWh] integral from the first time to each."""

    def __post_init__(self) -> None:
        areas = np.diff(self.times) * self.grams[:-1]
        object.__setattr__(self, "total", np.concatenate([[0.0], np.cumsum(areas)]))

    def at(self, time: float) -> float:
        """Intensity [gCO2/kWh] at this time."""
        return float(self.grams[max(int(np.searchsorted(self.times, time, side="right")) - 1, 0)])

    def integral(self, until: Floats) -> Floats:
        """(M,) [g s/kWh] integral of the intensity from the first time to each of M times; negative before it."""
        place = np.maximum(np.searchsorted(self.times, until, side="right") - 1, 0)
        integral: Floats = self.total[place] + (until - self.times[place]) * self.grams[place]
        return integral

    def mean(self, start: float, end: float) -> float:
        """Mean intensity [gCO2/kWh] from ``start`` to ``end``, which may be the same."""
        if end <= start:
            return self.at(start)
        first, last = self.integral(np.array([start, end]))
        return float(last - first) / (end - start)


Grid = Mapping[str, CarbonIntensity]
"""Intensity by region; the region "" stands for every region that is not named."""


def intensity_of(grid: Grid, region: str) -> CarbonIntensity:
    """The intensity of a region. Raises KeyError where the grid has neither it nor the region ""."""
    return grid[region] if region in grid else grid[""]
