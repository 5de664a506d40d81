"""Made-up pods: ``synthetic:load=0.5&span=7d&life=1h&sizes=1,2,4&usage=1.0&pattern=constant``.

    load        mean requested share of the nodes' CPUs, from the start until ``span``; 0.5
    life        mean life of a pod; lives are log-normal, with a standard deviation of the logarithm of 1; 1h
    span        how long pods come; 7d
    pods        how many come. Three of the four say the fourth; where fewer are given, load, life and span are added
                in this order
    sizes       requested cores, equally often; 1,2,4
    memory_mib  requested memory for each core; 256
    usage       share of the request that is used; 1
    pattern     constant: pods come at any time alike; daily: the rate follows a sine between 0.4 and 1.6 of its mean,
                least at the start of each day; once: one after the other in the first tenth of ``span``
    slack       how long each pod may wait; 0

Arrivals are those of a Poisson process given their number. Pods that still run at ``span`` end there: else a few long
ones would run on an idle cluster and hide what happened before. Lives are scaled so that the load is as asked, with
that cut: two seeds differ in which pods come when, not in how much work there is. Where the pods are too few for the
load within ``span``, they run to their end, and the load is that of their whole work over ``span``.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from peaks_scheduler.arrays import Floats
from peaks_scheduler.simulation.cluster import SimulatedNode
from peaks_scheduler.simulation.workload import Job, Workload, in_order

from .source import Source

PARAMETERS = ("pods", "load", "span", "life", "sizes", "memory_mib", "usage", "pattern", "seed", "slack")
DAY = 86400.0  # [s]
_SWING = 0.6  # of the daily rate, around 1
_SPREAD = 1.0  # standard deviation of the logarithm of a life
_MOST_PODS = 10_000_000
_MOST_SCALE = 10.0  # of the lives; beyond, nearly all pods would last until the end
_FIRST_PART = 0.1  # of the span, in which pods come once


@dataclass(frozen=True, slots=True)
class _Plan:
    """How many pods come, for how long, and the work of all together."""

    pods: int
    span: float  # [s]
    work: float  # [requested core-seconds]
    exact: bool = False  # is the work asked for, rather than the mean life?


def synthetic_jobs(source: Source, nodes: Sequence[SimulatedNode], seed: int) -> Workload:
    """The pods that the parameters describe. Raises ConfigurationError."""
    source.allow(*PARAMETERS)
    rng = random.Random(f"synthetic {source.whole('seed', seed)}")
    sizes = source.numbers("sizes", (1.0, 2.0, 4.0))
    pattern = source.word("pattern", ("constant", "daily", "once"))
    cpus = sum(node.cpu_cores for node in nodes)
    plan = _plan(source, cpus, math.fsum(sizes) / len(sizes), pattern)
    jobs = _once(plan, sizes, rng) if pattern == "once" else _coming(plan, sizes, pattern, rng)
    memory, usage = source.number("memory_mib", 256.0), source.number("usage", 1.0, 0.0, 10.0)
    slack = source.seconds("slack", 0.0)
    width = len(str(plan.pods - 1))
    made = [
        Job(f"pod-{i:0{width}}", arrival, life, cores, memory * cores, usage * cores, slack_s=slack)
        for i, (arrival, life, cores) in enumerate(jobs)
    ]
    return Workload(in_order(made), (_words(plan, made, cpus),))


# --- how much ---------------------------------------------------------------------------------------------------------


def _plan(source: Source, cpus: float, size: float, pattern: str) -> _Plan:
    """The fourth of load, life, span and pods, from the other three."""
    given = [name for name in ("load", "life", "span", "pods") if name in source.given]
    if pattern == "once":
        return _plan_once(source, cpus, size, given)
    if len(given) == 4:
        raise source.error(
            "expected at most three of pods, load, life and span, which say the fourth; got all: leave one out"
        )
    for name in ("load", "life", "span"):
        if name not in given and len(given) < 3:
            given.append(name)
    load, life, span = (
        source.number("load", 0.5, 1e-6, 100.0),
        source.seconds("life", 3600.0),
        source.seconds("span", 7 * DAY),
    )
    pods = source.whole("pods", 0, 1, _MOST_PODS)
    if "pods" not in given:
        pods = _whole(source, load * cpus * span / (size * life))
    elif "span" not in given:
        span = pods * size * life / (load * cpus)
    work = load * cpus * span if "load" in given else pods * size * life
    return _Plan(pods, span, work, "load" in given)


def _plan_once(source: Source, cpus: float, size: float, given: Sequence[str]) -> _Plan:
    if "life" in given or {"pods", "load"} <= set(given):
        raise source.error("expected pods or load, and span, with pattern=once: pods run until its end")
    span, load = source.seconds("span", 7 * DAY), source.number("load", 0.5, 1e-6, 100.0)
    pods = source.whole("pods", 0, 1, _MOST_PODS) or _whole(source, load * cpus / size)
    return _Plan(pods, span, 0.0)


def _whole(source: Source, pods: float) -> int:
    if pods > _MOST_PODS:
        raise source.error(f"expected at most {_MOST_PODS:,} pods; these parameters ask for {pods:,.0f}: shorten span")
    return max(round(pods), 1)


# --- pods -------------------------------------------------------------------------------------------------------------


def _coming(plan: _Plan, sizes: Sequence[float], pattern: str, rng: random.Random) -> list[tuple[float, float, float]]:
    """(arrival [s], life [s], cores) of each pod."""
    arrivals = np.array(sorted(_arrival(plan.span, pattern, rng) for _ in range(plan.pods)))
    cores = np.array([rng.choice(sizes) for _ in range(plan.pods)])
    lives = np.array([rng.lognormvariate(0.0, _SPREAD) for _ in range(plan.pods)])
    lives = _to_work(plan, lives * (plan.work / float((lives * cores).sum())), cores, plan.span - arrivals)
    return list(zip(arrivals.tolist(), lives.tolist(), cores.tolist(), strict=True))


def _to_work(plan: _Plan, lives: Floats, cores: Floats, rest: Floats) -> Floats:
    """(N,) [s] the lives, as long as to do the work before ``rest`` [s] is over, if that can be."""

    def done(scale: float) -> float:
        # no product of BLAS: its sum depends on the number of its threads
        return float((cores * np.minimum(scale * lives, rest)).sum())

    if not plan.exact:
        return np.minimum(lives, rest)
    if done(_MOST_SCALE) < plan.work:
        return lives
    low, high = 1.0, _MOST_SCALE
    while high - low > 1e-12 * high:
        middle = (low + high) / 2.0
        low, high = (low, middle) if done(middle) >= plan.work else (middle, high)
    return np.minimum(high * lives, rest)


def _arrival(span: float, pattern: str, rng: random.Random) -> float:
    while True:
        time = rng.uniform(0.0, span)
        # least at midnight, most at noon of each day
        rate = 1.0 - _SWING * math.cos(2.0 * math.pi * time / DAY)
        if pattern == "constant" or rng.uniform(0.0, 1.0 + _SWING) < rate:
            return time


def _once(plan: _Plan, sizes: Sequence[float], rng: random.Random) -> list[tuple[float, float, float]]:
    """(arrival [s], life [s], cores) of each pod; all end at ``plan.span``."""
    gap = _FIRST_PART * plan.span / plan.pods
    return [(i * gap, plan.span - i * gap, rng.choice(sizes)) for i in range(plan.pods)]


def _words(plan: _Plan, jobs: Sequence[Job], cpus: float) -> str:
    work = math.fsum(job.duration_s * job.cpu_cores for job in jobs)
    life = math.fsum(job.duration_s for job in jobs) / len(jobs)
    late = max(job.arrival_s + job.duration_s for job in jobs) > plan.span * (1.0 + 1e-9)
    end = "too few for this load within it: they run to their end" if late else "those still there end with it"
    return (
        f"{plan.pods:,} made-up pods in {plan.span / 3600.0:.5g} h, {end}; mean life {life:.5g} s, requests of "
        f"{work / (plan.span * cpus):.3g} of {cpus:g} CPUs on average"
    )
