"""Two nodes, three jobs, two strategies: a simulation whose figures were computed by hand.

    a: 4 cores, 100 W + 25 W a core      long:  from 0 s,    3,600 s, 2 cores
    b: 2 cores,  50 W + 20 W a core      short: from 600 s,  1,800 s, 1 core
                                         late:  from 1,800 s, 3,600 s, 1 core

Everybody starts at once, so both end at 5,400 s and use the same: 2, 3, 4, 3, 1 cores from 0, 600, 1,800, 2,400, 3,600
s. The bound gives b its 2 cores first, for 20 W each: 190, 215, 240, 215, 170 W, 1,080,000 J = 0.3 kWh.

    least-allocated: long and late on a, short on b: 200, 220, 245, 225, 175 W, 1,116,000 J = 0.31 kWh
    envelope: long on b, short and late on a:        190, 215, 240, 215, 175 W, 1,089,000 J = 0.3025 kWh
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from peaks_scheduler.power.curves import Piecewise
from peaks_scheduler.power.models import PowerModels
from peaks_scheduler.simulation.carbon import CarbonIntensity
from peaks_scheduler.simulation.case import Case, Placement, Replay
from peaks_scheduler.simulation.cluster import SimulatedNode
from peaks_scheduler.simulation.measurement import Kpis, Measurement, NodeSeries, PowerSeries
from peaks_scheduler.simulation.workload import Job

Result = tuple[Replay, Measurement]

END = 5400.0
A = SimulatedNode("a", 4.0, 8192.0, Piecewise((0.0, 1.0), (100.0, 200.0)))
B = SimulatedNode("b", 2.0, 4096.0, Piecewise((0.0, 1.0), (50.0, 90.0)))
LONG = Job("long", 0.0, 3600.0, 2.0, 1024.0, 2.0)
SHORT = Job("short", 600.0, 1800.0, 1.5, 512.0, 1.0)
LATE = Job("late", 1800.0, 3600.0, 1.0, 512.0, 1.0)

TIMES = (0.0, 600.0, 1800.0, 2400.0, 3600.0)
CORES = (2.0, 3.0, 4.0, 3.0, 1.0)
BOUND = (190.0, 215.0, 240.0, 215.0, 170.0)
GRID = {"": CarbonIntensity(np.array([0.0, 1800.0]), np.array([200.0, 400.0]))}
"""200 g/kWh for the first half hour, then 400."""


def default(**changes: Any) -> Result:
    """``least-allocated``. ``changes``: fields of its case."""
    case = _case("least-allocated", **changes)
    placed = _placed("a", "b", "a")
    nodes = {
        "a": node_series((0.0, 1800.0, 3600.0), (2.0, 3.0, 1.0), (150.0, 175.0, 125.0), (1.0, 2.0, 1.0)),
        "b": node_series((0.0, 600.0, 2400.0), (0.0, 1.0, 0.0), (50.0, 70.0, 50.0), (0.0, 1.0, 0.0)),
    }
    watts = (200.0, 220.0, 245.0, 225.0, 175.0)
    figures = kpis("least-allocated", 0.31, 100.0 / 30.0, 0.0)
    return Replay(case, placed, (), 3, 0.003), Measurement(figures, power_series(watts), nodes)


def envelope(**changes: Any) -> Result:
    """``envelope``. ``changes``: fields of its case."""
    case = _case("envelope", **changes)
    placed = _placed("b", "a", "a")
    nodes = {
        "a": node_series((0.0, 600.0, 1800.0, 2400.0), (0.0, 1.0, 2.0, 1.0), (100.0, 125.0, 150.0, 125.0)),
        "b": node_series((0.0, 3600.0), (2.0, 0.0), (90.0, 50.0)),
    }
    watts = (190.0, 215.0, 240.0, 215.0, 175.0)
    figures = kpis("envelope", 0.3025, 100.0 * 0.0025 / 0.3, 100.0 * 0.0075 / 0.31)
    return Replay(case, placed, (), 3, 0.006), Measurement(figures, power_series(watts), nodes)


def two_strategies() -> list[Result]:
    return [default(), envelope()]


def with_energy(result: Result, kwh: float, seed: int) -> Result:
    """The same result under another seed, with another energy in its KPIs."""
    replay, measurement = result
    figures = replace(measurement.kpis, energy_kwh=kwh, over_bound_percent=100.0 * (kwh / 0.3 - 1.0))
    return replace(replay, case=replace(replay.case, seed=seed)), replace(measurement, kpis=figures)


def power_series(watts: tuple[float, ...]) -> PowerSeries:
    return PowerSeries(np.array(TIMES), np.array(watts), np.array(BOUND), np.array(CORES), END)


def node_series(
    times: tuple[float, ...], cores: tuple[float, ...], watts: tuple[float, ...], pods: tuple[float, ...] = ()
) -> NodeSeries:
    """A node that is always up and has room for what its pods use."""
    number = np.array(pods or cores)
    return NodeSeries(np.array(times), np.array(cores), np.array(cores), np.array(watts), number, np.ones(len(times)))


def kpis(strategy: str, energy: float, over: float, saving: float, **changes: Any) -> Kpis:
    row = Kpis(
        strategy=strategy, pods=3, unscheduled=0, core_hours=3.5, energy_kwh=energy, bound_kwh=0.3,
        bound_ceiling_kwh=0.3, over_bound_percent=over, saving_vs_default_percent=saving, average_ci=None, co2_kg=None,
        cost=None, wait_s=0.0, turnaround_s=3000.0, decision_us=1000.0, mean_slowdown=1.0,
        makespan_s=END, machine_switches=0, core_hours_lost=0.0,
    )  # fmt: skip
    return replace(row, **changes)


def _case(strategy: str, **changes: Any) -> Case:
    values: Mapping[str, Any] = {"nodes": (A, B), "jobs": (LONG, SHORT, LATE), "models": PowerModels()} | changes
    return Case(strategy=strategy, **values)


def _placed(long: str, short: str, late: str) -> list[Placement]:
    """Each job on this node, from its arrival on."""
    nodes = ((LONG, long), (SHORT, short), (LATE, late))
    return [Placement(job, node, job.arrival_s, job.arrival_s + job.duration_s) for job, node in nodes]
