"""What the strategies ``carbon`` and ``carbon-delay`` know of the grid, and when a pod that can wait should start.

The coming intensity is taken from the trace itself: a forecast without error. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from peaks_scheduler.arrays import Floats
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
        self._regions = by_region(nodes, grid)
        self._names = {region: [node.name for node in nodes if node.region == region] for region in self._regions}
        self._times = np.unique(np.concatenate([each.times for each in self._regions.values()]))
        self._told = -2

    def tell_again(self) -> None:
        """A node came back: the ledger has forgotten what it knew of it."""
        self._told = -2

    def tell(self, ledger: Ledger, now: float) -> None:
        """Tell what holds at ``now`` [s], where that is news."""
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


def by_region(nodes: Sequence[SimulatedNode], grid: Grid) -> dict[str, CarbonIntensity]:
    """The intensity of each region that a node is in. Raises SimulationError where it is not known."""
    if not grid:
        raise SimulationError("the strategies carbon and carbon-delay need the grid's intensity: give --carbon FILE")
    try:
        return {region: intensity_of(grid, region) for region in sorted({node.region for node in nodes})}
    except KeyError as error:
        raise SimulationError(f"no carbon intensity for the region {error}: add --carbon REGION=FILE") from error


SAME = 1e-9
"""Areas whose ratio differs by less are the same: sums of many intensities have no more digits."""


def cleanest_start(regions: Sequence[CarbonIntensity], job: Job) -> float:
    """When to start a job that can wait: the earliest time [s] at which one of the regions is cleanest over the job's
    life.

    Only its arrival, its last moment and the times at which an intensity changes, or at which the job then would end,
    can be the best.
    """
    first, last, life = job.arrival_s, job.arrival_s + job.slack_s, job.duration_s
    changes = [_between(each.times, first, last) for each in regions]
    changes += [_between(each.times, first + life, last + life) - life for each in regions]
    starts = np.clip(np.unique(np.concatenate([[first, last], *changes])), first, last)
    areas = np.min([each.integral(starts + life) - each.integral(starts) for each in regions], axis=0)
    return float(starts[int(np.argmax(areas <= np.min(areas) * (1.0 + SAME)))])


def _between(times: Floats, first: float, last: float) -> Floats:
    """Those of the rising ``times`` from ``first`` to ``last``."""
    begin, end = np.searchsorted(times, [first, last], side="left").tolist()
    return times[begin : end + 1]
