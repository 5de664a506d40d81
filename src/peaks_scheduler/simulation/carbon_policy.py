"""What the strategies ``carbon`` and ``carbon-delay`` know of the grid.

The coming intensity is taken from the trace itself: a forecast without error. ``carbon_planner`` says when a pod that
can wait starts. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from peaks_scheduler.errors import SimulationError
from peaks_scheduler.ledger.ledger import Ledger
from peaks_scheduler.scheduling.scoring.carbon import HORIZONS, NOW, UNIT

from .api_objects import EPOCH
from .carbon import CarbonIntensity, Grid, intensity_of
from .cluster import SimulatedNode

CARBON_DELAY = "carbon-delay"
CARBON_DELAY_MINIMISES = (
    "as carbon; a pod that can wait starts in the cleanest hours before its deadline (only in simulate)"
)
REFRESH = 900.0
"""[s] The means over coming hours move on at least so often."""


def live_strategy(name: str) -> str:
    """The strategy that places the pods of strategy ``name``."""
    return "carbon" if name == CARBON_DELAY else name


class CarbonSignals:
    """Tells the ledger the intensity of the nodes' regions whenever one changes, and every ``REFRESH``."""

    def __init__(self, nodes: Sequence[SimulatedNode], grid: Grid) -> None:
        self._regions = by_region(nodes, grid)
        self._names = {region: [node.name for node in nodes if node.region == region] for region in self._regions}
        self._times = np.unique(np.concatenate([each.times for each in self._regions.values()]))
        self._told = (-1, -1)

    def tell_again(self) -> None:
        """A node came back: the ledger has forgotten what it knew of it."""
        self._told = (-1, -1)

    def tell(self, ledger: Ledger, now: float) -> None:
        """Tell what holds at ``now`` [s], where that is news."""
        news = int(np.searchsorted(self._times, now, side="right")), int(now // REFRESH)
        if news == self._told:
            return
        self._told = news
        for signal, span in ((NOW, 0.0), *HORIZONS.items()):
            values = {
                name: grams
                for region, intensity in self._regions.items()
                for grams in (intensity.mean(now, now + span),)
                for name in self._names[region]
            }
            ledger.set_signal(signal, values, unit=UNIT, time=EPOCH + now)


def by_region(nodes: Sequence[SimulatedNode], grid: Grid) -> dict[str, CarbonIntensity]:
    """The intensity of each region that a node is in. Raises SimulationError where it is not known."""
    if not grid:
        raise SimulationError("the strategies carbon and carbon-delay need the grid's intensity: give --carbon FILE")
    regions = sorted({node.region for node in nodes})
    unknown = [region for region in regions if region not in grid and "" not in grid]
    if unknown:
        whose = f"the region {unknown[0]!r}" if unknown[0] else "the nodes without a region"
        add = "--carbon REGION=FILE" if unknown[0] else "their region, or a single --carbon FILE without region for all"
        raise SimulationError(f"no carbon intensity for {whose}: add {add}")
    return {region: intensity_of(grid, region) for region in regions}
