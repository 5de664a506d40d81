"""What a placement got of its node: on a node whose pods want more than it has, each gets its share. Pure."""

from __future__ import annotations

import numpy as np

from peaks_scheduler.arrays import Floats

from .case import Placement
from .measurement import NodeSeries


def wanted_until(placement: Placement, times: Floats) -> Floats:
    """(M,) [core s] that the pod wanted in its first M ``times`` [s], which count from its start."""
    usage = placement.job.usage or ((0.0, placement.job.cpu_used_cores),)
    offsets, cores = (np.array(each, np.float64) for each in zip(*usage, strict=True))
    life = placement.end_s - placement.start_s
    ends = np.append(offsets[1:], np.inf)
    lasted = np.clip(np.minimum(times[:, None], life), offsets, ends) - offsets
    wanted: Floats = lasted @ cores
    return wanted


def delivered(placement: Placement, node: NodeSeries) -> float:
    """[core s] that the pod got."""
    start, end = placement.start_s, placement.end_s
    first = int(np.searchsorted(node.times, start, side="right")) - 1
    last = int(np.searchsorted(node.times, end, side="left"))
    edges = np.clip(np.append(node.times[first:last], end), start, end)
    demand, cores = node.demand[first:last], node.cores[first:last]
    share = np.divide(cores, demand, out=np.ones(len(demand)), where=demand > 0.0)
    return float(np.sum(np.diff(wanted_until(placement, edges - start)) * share))
