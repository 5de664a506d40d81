"""Small simulations that hypothesis makes up, and what they cost by another way of counting."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from hypothesis import strategies as st

from peaks_scheduler.power.curves import Piecewise
from peaks_scheduler.power.models import PowerModel, PowerModels
from peaks_scheduler.simulation.case import LOAD_WATCHER, PERFECT, Case, LoadView, Placement
from peaks_scheduler.simulation.cluster import Outage, SimulatedNode
from peaks_scheduler.simulation.workload import Job, in_order

LEVELS = tuple(k / 10 for k in range(11))
VIEWS = (PERFECT, LOAD_WATCHER, LoadView(60.0, 15.0, 20.0, ((40.0, 400.0),)), LoadView(0.0, 0.0, gaps=((50.0, 90.0),)))


def straight(name: str = "one", cores: float = 10.0, idle: float = 100.0, full: float = 200.0) -> SimulatedNode:
    """A node of ``cores`` CPUs and 1 GiB for each whose power rises in a straight line."""
    watts = tuple(idle + (full - idle) * level for level in LEVELS)
    return SimulatedNode(name, cores, cores * 1024.0, Piecewise(LEVELS, watts))


def models_of(nodes: Sequence[SimulatedNode]) -> PowerModels:
    """The true curves, known to the scheduler."""
    return PowerModels(
        {node.name: PowerModel(node.name, node.curve, standby_watts=node.standby_watts) for node in nodes}
    )


def job(name: str, arrival: float, duration: float, cores: float = 1.0, used: float | None = None) -> Job:
    return Job(name, arrival, duration, cores, 10.0, cores if used is None else used)


def case(nodes: Sequence[SimulatedNode], jobs: Sequence[Job], load: LoadView = PERFECT) -> Case:
    return Case(nodes, in_order(jobs), "envelope", models_of(nodes), load=load)


# --- made up --------------------------------------------------------------------------------------------------------


@st.composite
def nodes(draw: st.DrawFn, most: int = 4) -> list[SimulatedNode]:
    """Nodes of 10 or 20 cores whose power rises or stays from level to level; some may be switched off."""
    found = []
    for i in range(draw(st.integers(1, most))):
        idle, steps = draw(st.integers(20, 100)), draw(st.lists(st.integers(0, 30), min_size=10, max_size=10))
        watts = [float(idle + sum(steps[:k])) for k in range(11)]
        standby = draw(st.sampled_from((None, None, 0.0, 10.0)))
        cores = draw(st.sampled_from((10.0, 20.0)))
        found.append(SimulatedNode(f"node-{i}", cores, 4096.0, Piecewise(LEVELS, tuple(watts)), standby))
    return found


@st.composite
def jobs(draw: st.DrawFn, names: Sequence[str] = ()) -> list[Job]:
    """Jobs that use less than they request or more, some of them in steps; some of them on one of the ``names`` of
    nodes."""
    found = []
    for i in range(draw(st.integers(1, 14))):
        requested = draw(st.integers(0, 24)) / 2
        used = draw(st.integers(0, 40)) / 4
        offsets = sorted(draw(st.sets(st.integers(1, 300), max_size=3)))
        usage = ((0.0, used), *((float(at), draw(st.integers(0, 20)) / 2) for at in offsets)) if offsets else ()
        arrival, life = float(draw(st.integers(0, 300))), float(draw(st.integers(1, 400)))
        where = draw(st.sampled_from(("", "", "", *names)))
        memory = float(draw(st.sampled_from((0, 100, 1500))))
        slack = float(draw(st.sampled_from((0, 0, 60, 500))))
        found.append(Job(f"job-{i}", arrival, life, requested, memory, used, usage, slack, where))
    return found


@st.composite
def cases(draw: st.DrawFn, *, pinned: bool = True) -> Case:
    """Cases with outages and every kind of load view."""
    cluster = draw(nodes())
    names = [node.name for node in cluster]
    outage = st.tuples(st.sampled_from(names), st.integers(0, 400), st.integers(1, 300))
    outages = [Outage(name, float(at), float(at + span)) for name, at, span in draw(st.lists(outage, max_size=3))]
    work = in_order(draw(jobs(names if pinned else ())))
    strategy, load = draw(st.sampled_from(("envelope", "jump"))), draw(st.sampled_from(VIEWS))
    return Case(cluster, work, strategy, models_of(cluster), load=load, outages=outages, seed=draw(st.integers(0, 3)))


# --- counted another way --------------------------------------------------------------------------------------------


def use_at(placement: Placement, time: float) -> float:
    """[cores] that the pod wants at this time."""
    own = placement.job
    if not placement.start_s <= time < placement.end_s:
        return 0.0
    steps = own.usage or ((0.0, own.cpu_used_cores),)
    return [cores for at, cores in steps if placement.start_s + at <= time][-1]


def watts_at(where: SimulatedNode, placements: Sequence[Placement], outages: Sequence[Outage], time: float) -> float:
    """[W] that a node draws at this time."""
    if any(each.node == where.name and each.start_s <= time < each.end_s for each in outages):
        return 0.0
    here = [each for each in placements if each.node == where.name and each.start_s <= time < each.end_s]
    assert isinstance(where.curve, Piecewise)
    if not here and where.standby_watts is not None:
        return min(where.standby_watts, where.curve.power[0])
    level = 10.0 * min(sum(use_at(each, time) for each in here) / where.cpu_cores, 1.0)
    below = min(int(level), 9)
    low, high = where.curve.power[below : below + 2]
    return low + (level - below) * (high - low)


def moments(case_: Case, placements: Sequence[Placement], more: Sequence[float] = ()) -> list[float]:
    """All times from 0 to the end of the last pod at which something may change."""
    end = max((each.end_s for each in placements), default=0.0)
    times = {0.0, end, *more}
    for each in placements:
        times |= {each.start_s, each.end_s, *(each.start_s + at for at, _ in each.job.usage)}
    for outage in case_.outages:
        times |= {outage.start_s, outage.end_s}
    return sorted(time for time in times if 0.0 <= time <= end)


def joules(case_: Case, placements: Sequence[Placement]) -> float:
    """Energy of all nodes until the last pod ends."""
    return sum(
        watts_at(node, placements, case_.outages, (start + end) / 2) * (end - start)
        for start, end in pairwise(moments(case_, placements))
        for node in case_.nodes
    )
