"""When should a pod that can wait start? A plan over the coming hours, for the strategy ``carbon-delay``.

All pods cannot start in the one cleanest hour: nodes fill up, and the last ones to come would draw more watts for each
core, or wait. So the plan keeps how many cores each region will have in use in each hour, and a pod takes the hours
where it adds the least CO2: the intensity times the watts that one more core costs there at that load. The coming
intensity is taken from the trace itself, a forecast without error; watts are what the scheduler believes. Only the time
is taken from the plan: where the pod runs is decided when it starts. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from peaks_scheduler.arrays import Floats

from .bound import Bound, bound
from .carbon import CarbonIntensity
from .case import Case
from .cluster import SimulatedNode
from .levels import levelled
from .workload import Job

HOUR = 3600.0
"""[s] of a slot."""
_FULL = 10.0
"""A region without room costs as many times the dearest of its watts: pods would wait for one that has room."""


class CarbonPlanner:
    """Plans jobs one after another, in the order in which they arrive.

    Args:
        case: whose nodes and jobs are planned for.
        regions: intensity of each region that a node is in.
    """

    def __init__(self, case: Case, regions: Mapping[str, CarbonIntensity]) -> None:
        ends = (job.arrival_s + job.slack_s + job.duration_s for job in case.jobs)
        self._edges = np.arange(math.ceil(max(ends, default=0.0) / HOUR) + 2) * HOUR
        nodes = _believed(case)
        self._regions = [
            _Region(self._edges, intensity, bound([node for node in nodes if node.region == name]))
            for name, intensity in regions.items()
            if any(node.region == name for node in nodes)
        ]

    def start_of(self, job: Job) -> float:
        """When the job should start [s]: from its arrival to its arrival and slack. Takes its hours in the plan."""
        first, last = job.arrival_s, job.arrival_s + job.slack_s
        inner = self._edges[np.searchsorted(self._edges, first, side="right") : np.searchsorted(self._edges, last)]
        starts = np.array([first, *inner, last])
        if not self._regions:
            return first
        grams = np.array([region.grams(starts, job) for region in self._regions])
        region, place = np.unravel_index(int(np.argmin(grams)), grams.shape)
        self._regions[int(region)].take(float(starts[place]), job)
        return float(starts[place])


class _Region:
    """The plan of one region: cores in use in each hour."""

    def __init__(self, edges: Floats, intensity: CarbonIntensity, least: Bound) -> None:
        self._edges = edges
        self._intensity = np.diff(intensity.integral(edges)) / HOUR  # (H,) [g/kWh]
        self._cores = np.zeros(len(edges) - 1)
        self._least = least

    def grams(self, starts: Floats, job: Job) -> Floats:
        """(M,) CO2 that the job adds if it starts at each of M times; only to be compared."""
        rates = self._intensity * self._watts(job.cpu_used_cores)
        total = np.concatenate([[0.0], np.cumsum(rates * HOUR)])
        ends = starts + job.duration_s
        grams: Floats = np.interp(ends, self._edges, total) - np.interp(starts, self._edges, total)
        return grams

    def _watts(self, cores: float) -> Floats:
        """(H,) [W] that so many more cores cost in each hour."""
        full = float(self._least.cores[-1])
        watts = self._least.at(self._cores + cores) - self._least.at(self._cores)
        dearest = (self._least.watts[-1] - self._least.watts[-2]) / (self._least.cores[-1] - self._least.cores[-2])
        missing = np.minimum(np.maximum(self._cores + cores - full, 0.0), cores)
        return watts + _FULL * float(dearest) * missing

    def take(self, start: float, job: Job) -> None:
        """The job runs from ``start`` on."""
        covered = np.minimum(self._edges[1:], start + job.duration_s) - np.maximum(self._edges[:-1], start)
        self._cores += job.cpu_used_cores * np.maximum(covered, 0.0) / HOUR


def _believed(case: Case) -> Sequence[SimulatedNode]:
    """The nodes with the curves that the scheduler believes in; those without a model are left out."""
    found = []
    for node in case.nodes:
        model = case.models.for_node(node.name, {} if node.node is None else node.node.labels)
        if model is not None:
            found.append(levelled(replace(node, curve=model.curve)))
    return found
