"""The pods of a run. The same seed gives every strategy the same pods.

Pods use what they request unless a function says otherwise, so the load is the share of all threads in use.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator

from peaks_scheduler.simulation.workload import Job, in_order

HOUR, DAY = 3600.0, 86_400.0
LARGEST = 12
"""[threads] Pods have 1 to 12, equally often."""
PACE = 2.0
"""[s] from pod to pod while a cluster is filled."""
SPREAD = 1.2
"""Sigma of the logarithm of a pod's life."""
MEMORY = 1024.0
"""[MiB] of every pod."""


def filling(threads: float, load: float, seed: int, pace: float = PACE) -> list[Job]:
    """Pods that come one every ``pace`` [s] until ``load`` (a fraction of all threads) is reached, and all stay until
    an hour after the last one."""
    sizes = list(_sizes(random.Random(f"filling {seed}"), load * threads))
    end = pace * len(sizes) + HOUR
    return [_job(f"pod-{i}", pace * i, end - pace * i, cores) for i, cores in enumerate(sizes)]


def _sizes(rng: random.Random, total: float) -> Iterator[int]:
    reached = 0
    while reached < total:
        cores = rng.randint(1, LARGEST)
        reached += cores
        yield cores


def churn(threads: float, load: float, until: float, seed: int, life: float, used: float = 1.0) -> list[Job]:
    """Pods that come and go until ``until`` [s] at a mean ``load``. The cluster is filled first, as fast as in
    ``filling``, with pods that have lived before.

    life    [s] mean life of a pod; lives are log-normal
    used    mean share of its request that a pod uses; below 1 each pod has a share of its own
    """
    rng = random.Random(f"churn {seed} {load}")
    median = life / math.exp(SPREAD**2 / 2)
    requested = load * threads / used
    sizes = list(_sizes(rng, requested))
    jobs = [_job(f"old-{i}", PACE * i, _rest_of_life(rng, median), cores) for i, cores in enumerate(sizes)]
    gap = life * (1 + LARGEST) / 2 / requested
    time, i = rng.expovariate(1.0 / gap), 0
    while time < until:
        jobs.append(_job(f"pod-{i}", time, rng.lognormvariate(math.log(median), SPREAD), rng.randint(1, LARGEST)))
        time, i = time + rng.expovariate(1.0 / gap), i + 1
    return list(in_order(jobs if used == 1.0 else [_less(job, used, rng) for job in jobs]))


def _rest_of_life(rng: random.Random, median: float) -> float:
    """[s] A pod that runs at a random time has a longer life than pods have on average."""
    return (1.0 - rng.random()) * rng.lognormvariate(math.log(median) + SPREAD**2, SPREAD)


def _less(job: Job, used: float, rng: random.Random) -> Job:
    """The job with a use between none and twice ``used`` of its request, equally often."""
    share = rng.uniform(0.0, 2.0 * used)
    return Job(job.name, job.arrival_s, job.duration_s, job.cpu_cores, MEMORY, share * job.cpu_cores)


def burst(
    threads: float, load: float, pods: int, begin: float, within: float, stay: float, seed: int, used: float = 1.0
) -> list[Job]:
    """A cluster that was filled to ``load`` long ago, and ``pods`` more of 1 to 4 threads ``within`` [s] from ``begin``
    on. All end at one time, ``stay`` after that."""
    rng = random.Random(f"burst {seed}")
    end = begin + within + stay
    old = [_job(f"old-{i}", PACE * i, end - PACE * i, n) for i, n in enumerate(_sizes(rng, load * threads))]
    times = [begin + within * i / pods for i in range(pods)]
    jobs = [*old, *(_job(f"pod-{i}", time, end - time, rng.randint(1, 4)) for i, time in enumerate(times))]
    return jobs if used == 1.0 else [_less(job, used, rng) for job in jobs]


def year(seed: int) -> list[Job]:
    """A pod every two hours on average for a year, of 32 to 64 threads. It runs for up to 16 hours, eight on average,
    and may wait for twelve."""
    rng = random.Random(f"year {seed}")
    time, jobs = 0.0, []
    while (time := time + rng.expovariate(0.5 / HOUR)) < 364 * DAY:
        jobs.append(_job(f"pod-{len(jobs)}", time, rng.uniform(0.0, 16 * HOUR) + 60.0, rng.randint(32, 64), 12 * HOUR))
    return jobs


def _job(name: str, arrival: float, duration: float, cores: float, slack: float = 0.0) -> Job:
    return Job(name, arrival, duration, float(cores), MEMORY, float(cores), slack_s=slack)
