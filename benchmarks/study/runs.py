"""Filling a cluster pod by pod, and letting pods come and go: how far is the power above the bound?

Owns the two workloads. Pods are of 1 to 12 threads, equally often; the same seed gives every strategy the same pods.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.study.bound import Bound
from benchmarks.study.cluster import Cluster
from benchmarks.study.servers import Server
from peaks_scheduler.objects.ceilings import NO_CEILING, Ceiling
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.power.models import PowerModels
from peaks_scheduler.scheduling.scoring.strategies import Strategy

LOADS = (0.10, 0.30, 0.50, 0.70)
LARGEST = 12  # [threads]
PACE = 2.0  # [s] from pod to pod while a cluster is filled

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

    def cluster(self) -> Cluster:
        return Cluster(self.servers, self.models, self.strategy, self.seed, self.ceiling)


def filled(case: Case, loads: Sequence[float] = LOADS) -> list[float]:
    """Excess of the power over the bound (a fraction) when the load first reaches each of ``loads``, which are rising
    fractions of all threads."""
    cluster, bound = case.cluster(), Bound(case.servers)
    pods = _sizes(random.Random(f"filling {case.seed}"))
    over = []
    for load in loads:
        _fill(cluster, load, pods, case)
        over.append(float(cluster.watts.sum()) / bound.watts(cluster.cores) - 1.0)
    return over


def _sizes(rng: random.Random) -> Iterator[tuple[str, int]]:
    """Names and threads of pods, without end."""
    for i in range(1_000_000):
        yield f"pod-{i}", rng.randint(1, LARGEST)


def _fill(cluster: Cluster, load: float, pods: Iterator[tuple[str, int]], case: Case) -> list[Pod]:
    placed = []
    while cluster.cores < load * cluster.size:
        placed.append(cluster.place(*next(pods), case.wishes))
        cluster.wait(PACE)
    return placed


def churned(case: Case, load: float, settle: float = 3600.0, span: float = 7200.0) -> float:
    """Excess of the energy over the bound's energy (a fraction) in ``span`` seconds in which pods come and go at a mean
    ``load``, after ``settle`` seconds of the same. No pod ever moves."""
    rng = random.Random(f"churn {case.seed} {load}")
    cluster, bound, sizes = case.cluster(), Bound(case.servers), _sizes(rng)
    ends = [(cluster.now + _rest_of_life(rng), pod.uid, pod) for pod in _fill(cluster, load, sizes, case)]
    heapq.heapify(ends)
    begun = cluster.now + settle
    gap = MEAN_LIFE * (1 + LARGEST) / 2 / (load * cluster.size)  # [s] between arrivals, on average
    arrival = cluster.now + rng.expovariate(1 / gap)
    energy = least = 0.0
    while cluster.now < begun + span:
        until = min(arrival, ends[0][0] if ends else math.inf, begun + span)
        if (counted := until - max(cluster.now, begun)) > 0.0:
            energy += float(cluster.watts.sum()) * counted
            least += bound.watts(cluster.cores) * counted
        cluster.wait(max(until - cluster.now, 0.0))
        while ends and ends[0][0] <= cluster.now:
            cluster.end(heapq.heappop(ends)[2])
        if arrival <= cluster.now:
            pod = cluster.place(*next(sizes), case.wishes)
            heapq.heappush(ends, (cluster.now + rng.lognormvariate(math.log(MEDIAN_LIFE), SPREAD), pod.uid, pod))
            arrival += rng.expovariate(1 / gap)
    return energy / least - 1.0


def _rest_of_life(rng: random.Random) -> float:
    """Remaining life [s] of a pod that runs at a random time: such pods have longer lives than all pods on average."""
    return rng.random() * rng.lognormvariate(math.log(MEDIAN_LIFE) + SPREAD**2, SPREAD)
