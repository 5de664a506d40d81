"""The small clusters of the Peaks enhancement proposal: two nodes, and ten nodes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.study import servers
from peaks_scheduler.power.curves import Curve, Exponential, Piecewise
from peaks_scheduler.power.models import PowerModels
from peaks_scheduler.simulation.beliefs import fitted_models, true_models
from peaks_scheduler.simulation.case import Case
from peaks_scheduler.simulation.cluster import SimulatedNode
from peaks_scheduler.simulation.energy import measure
from peaks_scheduler.simulation.replay import replay
from peaks_scheduler.simulation.workload import Job

from .fleets import LEAST_THREADS, MEMORY, measured_servers
from .runs import Figures
from .window import between, reached

SPAN = 900.0
"""[s] The proposal reports the energy after 15 minutes."""
PODS = 30
"""That come in this time, one every half minute."""
FULL = 0.6
"""[fraction] of both nodes' CPUs that all of them ask for."""

# Fits of the proposal's authors for the two nodes of their experiment: sustainable-computing-io/peaks, experiments/
# experiment_5/workload_set_up.md, over CPU use as a fraction. The unit of their power does not matter for percents.
PUBLISHED = (
    (40.0, Exponential(805.8497, -557.3219, -3.1735)),
    (8.0, Exponential(301.9559, -272.9715, -2.9613)),
)


@dataclass(frozen=True, slots=True)
class Pair:
    """A deployment on two nodes is scaled up for 15 minutes."""

    seed: int | None
    """Of the two measured servers; None: the published models."""
    strategy: str

    def measure(self) -> Figures:
        nodes = _published() if self.seed is None else _pair(self.seed)
        size = FULL * sum(node.cpu_cores for node in nodes) / PODS
        models = true_models(nodes) if self.seed is None else fitted_models(nodes, seed=self.seed)
        jobs = [_stays(i, SPAN / PODS * i, size) for i in range(PODS)]
        return _between(nodes, jobs, self.strategy, models, self.seed or 0)


def _stays(i: int, arrival: float, size: float) -> Job:
    return Job(f"pod-{i:03}", arrival, 2 * SPAN - arrival, size, 64.0, size)


def _between(
    nodes: Sequence[SimulatedNode], jobs: Sequence[Job], strategy: str, models: PowerModels, seed: int
) -> Figures:
    replayed = replay(Case(nodes, jobs, strategy, models, seed=seed))
    return between(measure(replayed).series, 0.0, SPAN)


def _published() -> list[SimulatedNode]:
    return [SimulatedNode(f"node-{i}", cpus, MEMORY, curve) for i, (cpus, curve) in enumerate(PUBLISHED, 1)]


def _pair(seed: int) -> list[SimulatedNode]:
    """Two different servers, one with at most twice the threads of the other."""
    rng = random.Random(f"pair {seed}")
    large = [each for each in measured_servers() if each.threads >= LEAST_THREADS]
    first = rng.choice(large)
    like = [each for each in large if 0.5 <= each.threads / first.threads <= 2.0 and each.watts != first.watts]
    return [SimulatedNode(each.name, float(each.threads), MEMORY, each.curve) for each in (first, rng.choice(like))]


# --- ten nodes ------------------------------------------------------------------------------------------------------

TENTHS = tuple(k / 10 for k in range(1, 10))
KNEE, IDLE = 0.6, 40.0
TWO_LINES = Piecewise((0.0, KNEE, 1.0), (IDLE, (IDLE + KNEE * (100.0 - IDLE)) / 0.88, 100.0))
"""Two lines that meet at 60 % use, where packing saves 12 %. Watts: any; idle is 40 % of full power."""


@dataclass(frozen=True, slots=True)
class Ten:
    """Ten equal nodes of 32 CPUs are filled with pods of one; the power counts at every tenth."""

    curve: Curve
    strategy: str

    def measure(self) -> Figures:
        nodes = [SimulatedNode(f"node-{i}", 32.0, MEMORY, self.curve, kind="node") for i in range(10)]
        jobs = [_stays(i, 2.0 * i, 1.0) for i in range(288)]
        series = measure(replay(Case(nodes, jobs, self.strategy, true_models(nodes)))).series
        return {f"watts {load:.0%}": reached(series, load * 320.0)[0] for load in TENTHS}


def packed(curve: Curve, load: float) -> float:
    """Power of ten nodes that are filled one after the other, relative to one node's."""
    full, part = divmod(round(10 * load, 9), 1.0)
    rest = curve.watts(part) + (9 - full) * curve.watts(0.0) if full < 10 else 0.0
    return full * curve.watts(1.0) + rest


def spread(curve: Curve, load: float) -> float:
    """Power of ten nodes that are all at this use."""
    return 10 * curve.watts(load)


def large_servers() -> list[servers.Server]:
    """Measured servers of 2013 and later."""
    return measured_servers()
