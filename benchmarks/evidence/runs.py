"""The kinds of runs. A run is a value: equal runs are one run, and what it measures follows from it alone.

Decisions come from the production scheduler with no ceiling, loads from averages of 15 minutes as load-watcher's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from peaks_scheduler.simulation.case import LOAD_WATCHER, PERFECT, Case, LoadView
from peaks_scheduler.simulation.energy import measure
from peaks_scheduler.simulation.measurement import Measurement
from peaks_scheduler.simulation.replay import replay
from peaks_scheduler.simulation.workload import Job

from . import workloads
from .fleets import Fleet, cluster
from .window import between, reached
from .workloads import DAY, HOUR, PACE

Figures = dict[str, float]
"""What a run measured, by name."""


class Run(Protocol):
    """One replay, or a few. It can be compared, and sent to another process."""

    def measure(self) -> Figures: ...


LOADS = (0.1, 0.3, 0.5, 0.7)
LIFE = 24 * HOUR
"""[s] Mean life of a pod that comes and goes."""
SETTLE = DAY
"""[s] The cluster is filled, and pods come and go, for a day before the energy counts."""


@dataclass(frozen=True, slots=True)
class Filled:
    """A cluster is filled pod by pod; the power counts when it first reaches each load."""

    fleet: Fleet
    strategy: str

    def measure(self) -> Figures:
        nodes, _ = cluster(self.fleet)
        threads = sum(node.cpu_cores for node in nodes)
        jobs = workloads.filling(threads, LOADS[-1], self.fleet.seed, PACE * 50 / len(nodes))
        series = _replayed(jobs, self.fleet, self.strategy).series
        found = {load: reached(series, load * threads) for load in LOADS}
        watts = {f"watts {load:.0%}": pair[0] for load, pair in found.items()}
        return watts | {f"bound {load:.0%}": pair[1] for load, pair in found.items()}


@dataclass(frozen=True, slots=True)
class Churned:
    """Pods come and go at a mean load for ``days``, after a day of the same."""

    fleet: Fleet
    strategy: str
    load: float
    days: float = 7.0
    used: float = 1.0

    def measure(self) -> Figures:
        nodes, seed = cluster(self.fleet)[0], self.fleet.seed
        threads, end = sum(node.cpu_cores for node in nodes), SETTLE + self.days * DAY
        jobs = workloads.churn(threads, self.load, end, seed, LIFE, self.used)
        measured = _replayed(jobs, self.fleet, self.strategy)
        kpis = measured.kpis
        more = {"unscheduled": kpis.unscheduled, "pods": kpis.pods, "wait_s": kpis.wait_s}
        switches = kpis.machine_switches / (kpis.makespan_s / DAY) / len(nodes)
        return between(measured.series, SETTLE, end) | more | {"switches": switches}


@dataclass(frozen=True, slots=True)
class Burst:
    """500 pods come within five minutes, a third of the window that loads are averages over."""

    fleet: Fleet
    strategy: str
    perfect: bool = False
    """The scheduler is told the use at the moment of every decision."""
    used: float = 1.0

    def measure(self) -> Figures:
        nodes, seed = cluster(self.fleet)[0], self.fleet.seed
        threads = sum(node.cpu_cores for node in nodes)
        jobs = workloads.burst(threads, 0.1, 500, BEGIN, 300.0, HOUR, seed, self.used)
        measured = _replayed(jobs, self.fleet, self.strategy, PERFECT if self.perfect else LOAD_WATCHER)
        return between(measured.series, BEGIN, BEGIN + 300.0 + HOUR) | {"unscheduled": measured.kpis.unscheduled}


BEGIN = 2 * HOUR
"""[s] The burst begins when the average loads have long been true."""


def _replayed(jobs: Sequence[Job], fleet: Fleet, strategy: str, load: LoadView = LOAD_WATCHER) -> Measurement:
    nodes, models = cluster(fleet)
    return measure(replay(Case(nodes, jobs, strategy, models, load=load, seed=fleet.seed)))
