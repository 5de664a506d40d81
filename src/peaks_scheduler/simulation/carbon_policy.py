"""What the strategies ``carbon`` and ``carbon-delay`` know of the grid, and when a pod that can wait should start.

The coming intensity is taken from the trace itself: a forecast without error. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from peaks_scheduler.errors import SimulationError
from peaks_scheduler.ledger.ledger import Ledger

from .api_objects import EPOCH
from .carbon import CarbonIntensity, Grid, intensity_of
from .cluster import SimulatedNode
from .workload import Job

CARBON_DELAY = "carbon-delay"
SIGNAL = "carbonIntensity"
HORIZONS = {"": 0.0, "/1h": 3600.0, "/6h": 21_600.0, "/24h": 86_400.0}
"""Signal, after ``SIGNAL`` -> over how many coming seconds it is the mean."""


def live_strategy(name: str) -> str:
    """The strategy that places the pods of strategy ``name``."""
    return "carbon" if name == CARBON_DELAY else name


class CarbonSignals:
    """Tells the ledger the intensity of the nodes' regions whenever one changes."""

    def __init__(self, nodes: Sequence[SimulatedNode], grid: Grid) -> None:
        self._regions = _by_region(nodes, grid)
        self._names = {region: [node.name for node in nodes if node.region == region] for region in self._regions}
        self._times = np.unique(np.concatenate([each.times for each in self._regions.values()]))
        self._told = -2

    def tell(self, ledger: Ledger, now: float) -> None:
        """Tell what holds at ``now`` [s]."""
        step = int(np.searchsorted(self._times, now, side="right")) - 1
        if step == self._told:
            return
        self._told = step
        for suffix, span in HORIZONS.items():
            values = {
                name: grams
                for region, intensity in self._regions.items()
                for grams in (intensity.mean(now, now + span),)
                for name in self._names[region]
            }
            ledger.set_signal(SIGNAL + suffix, values, unit="gCO2/kWh", time=EPOCH + now)


def _by_region(nodes: Sequence[SimulatedNode], grid: Grid) -> dict[str, CarbonIntensity]:
    """The intensity of each region that a node is in. Raises SimulationError where it is not known."""
    if not grid:
        raise SimulationError("the strategies carbon and carbon-delay need the grid's intensity: give --carbon FILE")
    try:
        return {region: intensity_of(grid, region) for region in sorted({node.region for node in nodes})}
    except KeyError as error:
        raise SimulationError(f"no carbon intensity for the region {error}: add --carbon REGION=FILE") from error


def cleanest_start(nodes: Sequence[SimulatedNode], grid: Grid, job: Job) -> float:
    """When to start a job that can wait: the earliest time [s] at which some region is cleanest over the job's life.

    Only its arrival, its last moment and the times at which an intensity changes, or at which the job then would end,
    can be the best.
    """
    regions, first, last = _by_region(nodes, grid).values(), job.arrival_s, job.arrival_s + job.slack_s
    changes = np.concatenate([each.times for each in regions])
    starts = np.unique(np.concatenate([[first, last], changes, changes - job.duration_s]))
    starts = starts[(starts >= first) & (starts <= last)]
    areas = [each.integral(starts + job.duration_s) - each.integral(starts) for each in regions]
    return float(starts[int(np.argmin(np.min(areas, axis=0)))])
