"""Filling a cluster pod by pod, and letting pods come and go: how far is the power above the bound?

Owns the two workloads. Pods are of 1 to 12 threads, equally often, and use exactly what they request; the same seed
gives every strategy the same pods. Loads are seen as from load-watcher: averages of 15 minutes.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks import BenchmarkError
from benchmarks.study.servers import Server
from peaks_scheduler.objects.ceilings import NO_CEILING, Ceiling
from peaks_scheduler.objects.node import node_from_api
from peaks_scheduler.objects.pod import Pod, pod_from_api
from peaks_scheduler.power.models import PowerModels
from peaks_scheduler.scheduling.scoring.strategies import Strategy
from peaks_scheduler.simulation import case as simulation
from peaks_scheduler.simulation.cluster import SimulatedNode
from peaks_scheduler.simulation.energy import measure
from peaks_scheduler.simulation.measurement import PowerSeries
from peaks_scheduler.simulation.replay import replay
from peaks_scheduler.simulation.workload import Job, in_order

LOADS = (0.10, 0.30, 0.50, 0.70)
LARGEST = 12  # [threads]
PACE = 2.0  # [s] from pod to pod while a cluster is filled
ZONES = 3

MEDIAN_LIFE, SPREAD = 600.0, 1.2  # [s], sigma of its logarithm: a mean of 1233 s, and one pod in forty lives 1.8 h
MEAN_LIFE = MEDIAN_LIFE * math.exp(SPREAD**2 / 2)


EVEN_ZONES: Mapping[str, Any] = {
    "topologySpreadConstraints": [
        {
            "topologyKey": "zone",
            "maxSkew": 1,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": {"app": "one"}},
        }
    ]
}
"""Spec of pods that prefer an even spread over zones. It decides where the fits cannot tell nodes apart."""


@dataclass(frozen=True, slots=True)
class Case:
    """One cluster, its power models, and the strategy that decides."""

    servers: Sequence[Server]
    models: PowerModels
    strategy: Strategy
    seed: int
    wishes: Mapping[str, object] = field(default_factory=dict)
    """Added to every pod's spec."""
    ceiling: Ceiling = NO_CEILING

    @property
    def threads(self) -> int:
        """Of all servers together."""
        return sum(server.threads for server in self.servers)


def filled(case: Case, loads: Sequence[float] = LOADS) -> list[float]:
    """Excess of the power over the bound (a fraction) when the load first reaches each of ``loads``, which are rising
    fractions of all threads."""
    pods, reached = _filling(case, random.Random(f"filling {case.seed}"), loads)
    series = _measured(case, [pod.until(PACE * len(pods)) for pod in pods])
    at = np.searchsorted(series.times, reached, side="right") - 1
    over: list[float] = (series.watts[at] / series.bound[at] - 1.0).tolist()
    return over


def churned(case: Case, load: float, settle: float = 3600.0, span: float = 7200.0) -> float:
    """Excess of the energy over the bound's energy (a fraction) in ``span`` seconds in which pods come and go at a mean
    ``load``, after ``settle`` seconds of the same. No pod ever moves."""
    rng = random.Random(f"churn {case.seed} {load}")
    pods, _ = _filling(case, rng, [load])
    full = PACE * len(pods)
    begun, end = full + settle, full + settle + span
    jobs = [pod.until(min(full + _rest_of_life(rng), end)) for pod in pods]
    gap = MEAN_LIFE * (1 + LARGEST) / 2 / (load * case.threads)  # [s] between arrivals, on average
    arrival = full + rng.expovariate(1 / gap)
    while arrival < end:
        pod = _Pod(f"pod-{len(jobs)}", arrival, rng.randint(1, LARGEST), case.wishes)
        jobs.append(pod.until(min(arrival + rng.lognormvariate(math.log(MEDIAN_LIFE), SPREAD), end)))
        arrival += rng.expovariate(1 / gap)
    series = _measured(case, jobs)
    lasted = np.diff(np.clip(np.append(series.times, end), begun, end))
    return float(np.sum(series.watts * lasted) / np.sum(series.bound * lasted)) - 1.0


def _rest_of_life(rng: random.Random) -> float:
    """Remaining life [s] of a pod that runs at a random time: such pods have longer lives than all pods on average."""
    return rng.random() * rng.lognormvariate(math.log(MEDIAN_LIFE) + SPREAD**2, SPREAD)


# --- pods -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Pod:
    name: str
    arrival: float
    threads: int
    wishes: Mapping[str, object]

    def until(self, end: float) -> Job:
        """The pod as a job that ends at ``end`` [s] where it starts at once, and uses exactly what it requests."""
        api = _as_stored(self.name, self.threads, self.wishes) if self.wishes else None
        return Job(self.name, self.arrival, end - self.arrival, self.threads, 0.0, self.threads, pod=api)


def _filling(case: Case, rng: random.Random, loads: Sequence[float]) -> tuple[list[_Pod], list[float]]:
    """The pods that come one by one until the last of the ``loads`` is reached, and the times at which each is."""
    pods: list[_Pod] = []
    reached, threads = [], 0
    for load in loads:
        while threads < load * case.threads:
            pods.append(_Pod(f"pod-{len(pods)}", PACE * len(pods), rng.randint(1, LARGEST), case.wishes))
            threads += pods[-1].threads
        reached.append(pods[-1].arrival)
    return pods, reached


def _as_stored(name: str, cores: int, wishes: Mapping[str, object]) -> Pod:
    container = {"name": "main", "resources": {"requests": {"cpu": str(cores)}}}
    meta = {"name": name, "namespace": "default", "uid": f"uid-{name}", "labels": {"app": "one"}}
    return pod_from_api({"metadata": meta, "spec": {"containers": [container], **wishes}}, 100)


# --- simulated ------------------------------------------------------------------------------------------------------


def _measured(case: Case, jobs: Sequence[Job]) -> PowerSeries:
    """Power and bound over time of the case's servers with these jobs. Raises BenchmarkError where one had to wait."""
    nodes = [_node(server, f"zone-{i % ZONES}") for i, server in enumerate(case.servers)]
    simulated = simulation.Case(
        nodes, in_order(jobs), case.strategy.name, case.models, ceiling=case.ceiling, seed=case.seed
    )
    done = replay(simulated, strategy=case.strategy)
    late = [each.job for each in done.placements if each.start_s > each.job.arrival_s]
    for job in (*done.unscheduled, *late):
        raise BenchmarkError(f"{job.name} of {job.cpu_cores} cores fits on no server")
    return measure(done).series


def _node(server: Server, zone: str) -> SimulatedNode:
    room = {"cpu": str(server.threads), "memory": "4Ti", "pods": "1000"}
    labels = {"kubernetes.io/hostname": server.name, "zone": zone}
    meta = {"name": server.name, "uid": f"uid-{server.name}", "labels": labels}
    node = node_from_api({"metadata": meta, "spec": {}, "status": {"allocatable": room, "capacity": room}})
    return SimulatedNode(server.name, server.threads, 4.0 * 2**20, server.curve, node=node)
