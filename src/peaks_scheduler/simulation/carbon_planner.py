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
WORTH = 0.01
"""A pod does not wait longer for less than this share of its CO2."""
DAY = 24
"""Slots of a day."""
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
        self._edges: Floats = np.arange(math.ceil(max(ends, default=0.0) / HOUR) + 2, dtype=np.float64) * HOUR
        nodes = _believed(case)
        self._regions = [
            _Region(self._edges, intensity, bound([node for node in nodes if node.region == name]), _share(case))
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
        place = int(np.argmax(grams.min(axis=0) <= grams.min() * (1.0 + WORTH)))
        self._regions[int(np.argmin(grams[:, place]))].take(float(starts[place]), job)
        return float(starts[place])


class _Region:
    """The plan of one region: cores in use in each hour."""

    def __init__(self, edges: Floats, intensity: CarbonIntensity, least: Bound, share: float) -> None:
        self._edges = edges
        self._intensity = np.diff(intensity.integral(edges)) / HOUR  # (H,) [g/kWh]
        self._cores = np.zeros(len(edges) - 1)
        self._least = least
        self._full = share * float(least.cores[-1])  # [cores] that the region takes before it goes above its ceiling

    def grams(self, starts: Floats, job: Job) -> Floats:
        """(M,) CO2 that the job adds if it starts at each of M rising times; only to be compared."""
        hours = self._hours(float(starts[0]), float(starts[-1]) + job.duration_s)
        before = np.maximum(self._cores[hours], self._usual(hours.start))
        rates = self._intensity[hours] * self._watts(before, job.cpu_used_cores)
        total, edges = np.concatenate([[0.0], np.cumsum(rates * HOUR)]), self._edges[hours.start : hours.stop + 1]
        grams: Floats = np.interp(starts + job.duration_s, edges, total) - np.interp(starts, edges, total)
        return grams

    def _usual(self, hour: int) -> float:
        """Mean [cores] in use in the day up to this hour. Later hours will have as much: their pods are still to come,
        so an hour that is empty in the plan is no reason to wait for it."""
        return float(np.mean(self._cores[max(hour - DAY + 1, 0) : hour + 1]))

    def _hours(self, start: float, end: float) -> slice:
        """The hours that a time from ``start`` to ``end`` touches."""
        return slice(int(start // HOUR), int(end // HOUR) + 1)

    def _watts(self, before: Floats, cores: float) -> Floats:
        """(H,) [W] that so many more cores cost beside those ``before`` (H,)."""
        least, missing = self._least, np.clip(before + cores - self._full, 0.0, cores)
        dearest = (least.watts[-1] - least.watts[-2]) / (least.cores[-1] - least.cores[-2])
        watts: Floats = least.at(before + cores) - least.at(before) + _FULL * dearest * missing
        return watts

    def take(self, start: float, job: Job) -> None:
        """The job runs from ``start`` on."""
        end = start + job.duration_s
        hours = self._hours(start, end)
        edges = self._edges[hours.start : hours.stop + 1]
        covered = np.minimum(edges[1:], end) - np.maximum(edges[:-1], start)
        self._cores[hours] += job.cpu_used_cores * np.maximum(covered, 0.0) / HOUR


def _share(case: Case) -> float:
    """The ceiling, as a fraction of a node's CPUs."""
    return 1.0 if case.ceiling.cpu is None else min(case.ceiling.cpu, 1.0)


def _believed(case: Case) -> Sequence[SimulatedNode]:
    """The nodes with the curves that the scheduler believes in; those without a model are left out."""
    found = []
    for node in case.nodes:
        model = case.models.for_node(node.name, {} if node.node is None else node.node.labels)
        if model is not None:
            found.append(levelled(replace(node, curve=model.curve)))
    return found
