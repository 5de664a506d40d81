"""Why nothing is to be gained from another placement, in words. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from peaks_scheduler.simulation.cluster import SimulatedNode
from peaks_scheduler.simulation.workload import Job

LITTLE = 0.01
"""Share of the energy below which the best possible placement saves nothing to speak of."""
_ALMOST_ALL = 0.9
_FULL, _EMPTY = 0.85, 0.05
"""Share of all CPUs in use above which there is no choice left, and below which almost all power is idle power."""
_LOADS = tuple(number / 10 for number in range(11))
_ALIKE = 0.005


@dataclass(frozen=True, slots=True)
class Facts:
    """What decides whether placement matters in a cluster."""

    alike: bool
    """Do all nodes draw the same per core at every load, in a straight line?"""
    sleeps: bool
    """May any node be switched off?"""
    staying: float
    """Share of the used CPU time that belongs to pods that cannot be moved."""
    load: float
    """Mean share of all CPUs in use."""
    requested: float
    """Mean share of all CPUs that is requested."""


def facts_of(nodes: Sequence[SimulatedNode], jobs: Sequence[Job]) -> Facts:
    """The facts of a cluster and its workload."""
    span = max((job.arrival_s + job.duration_s for job in jobs), default=0.0)
    available = sum(node.cpu_cores for node in nodes) * span
    used = sum(job.cpu_used_cores * job.duration_s for job in jobs)
    staying = sum(job.cpu_used_cores * job.duration_s for job in jobs if job.node)
    requested = sum(job.cpu_cores * job.duration_s for job in jobs)
    return Facts(
        alike=_alike(nodes),
        sleeps=any(node.standby_watts is not None for node in nodes),
        staying=staying / used if used else 0.0,
        load=used / available if available else 0.0,
        requested=requested / available if available else 0.0,
    )


def _alike(nodes: Sequence[SimulatedNode]) -> bool:
    """Does a core in use cost the same watts everywhere, whatever else runs beside it?"""
    slopes = [
        (node.curve.watts(after) - node.curve.watts(before)) / (after - before) / node.cpu_cores
        for node in nodes
        for before, after in pairwise(_LOADS)
    ]
    return max(slopes, default=0.0) - min(slopes, default=0.0) <= _ALIKE * max(slopes, default=0.0)


def why_nothing(possible: float, facts: Facts | None) -> str:
    """Why no strategy saves anything that is certain.

    ``possible``: share of the energy that the best placement could save.
    """
    if facts is None or possible > LITTLE:
        return _within_reach(possible, facts)
    if facts.alike and not facts.sleeps:
        return "all nodes are always on, and a core in use costs the same on every node"
    if facts.staying >= _ALMOST_ALL:
        return f"{facts.staying:.0%} of the CPU time belongs to pods that cannot be moved"
    return _by_load(facts) or "today's placement is already almost as good as the best"


def _within_reach(possible: float, facts: Facts | None) -> str:
    """Why a saving that is possible is not reached."""
    if possible <= LITTLE:
        return "today's placement is already almost as good as the best"
    if facts is not None and facts.staying >= _ALMOST_ALL:
        return f"{facts.staying:.0%} of the CPU time belongs to pods that cannot be moved"
    if facts is not None and facts.requested >= _FULL:
        return f"the requests take {facts.requested:.0%} of all CPUs, so that there is no choice left"
    return "the differences between the strategies are within the errors of the power models and the chance of the runs"


def _by_load(facts: Facts) -> str:
    if facts.load >= _FULL or facts.requested >= _FULL:
        return f"the nodes are full ({max(facts.load, facts.requested):.0%}), so that there is no choice left"
    if facts.load <= _EMPTY and not facts.sleeps:
        return (
            f"only {facts.load:.1%} of the CPUs are in use, and idle nodes draw their power wherever pods run: give "
            "the nodes that may be switched off their standbyWatts in the power model file"
        )
    return ""
