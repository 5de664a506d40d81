"""Parameters that every trace takes: its size, its pace, its first part, how long its pods may wait.

    scale=2       requests and use of every pod times 2
    limit=1000    only the pods that come first
    compress=30   pods come 30 times as fast; how long each runs stays the same
    load=50%      the pace at which the pods request this share of the nodes' CPUs, on average until the last one comes;
                  at most that at which half of the pods live longer than all arrivals take
    longest=2h    no pod runs longer; where the pace changes and it is not given: as long as pods come
    slack=6h      every pod may wait so long

Without the limit of ``longest`` a trace that was compressed would end with a few pods that run for weeks, and most of
the energy would be that of an idle cluster. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from peaks_scheduler.arrays import Floats
from peaks_scheduler.simulation.cluster import SimulatedNode
from peaks_scheduler.simulation.workload import Job, in_order
from peaks_scheduler.text.words import plural

from .source import Source

PARAMETERS = ("scale", "limit", "compress", "load", "longest", "slack")
_SLOWEST, _FASTEST = 1e-6, 1e9  # compress


def shaped(
    jobs: Sequence[Job], source: Source, nodes: Sequence[SimulatedNode], load: float | None = None
) -> tuple[tuple[Job, ...], list[str]]:
    """(the jobs in order, changed as the parameters say and with the first at 0; notes on what was changed).

    ``load``: the load where neither ``compress`` nor ``load`` is given; None: the pace stays. Raises
    ConfigurationError.
    """
    if not jobs:
        raise source.error("expected at least one pod that ran; got none")
    notes: list[str] = []
    ordered = _limited(in_order(jobs), source, notes)
    scale = source.number("scale", 1.0, 1e-6, 1e6)
    ordered = [_scaled(job, scale) for job in ordered] if scale != 1.0 else ordered
    pace = _pace(ordered, source, nodes, load, notes)
    first = ordered[0].arrival_s
    ordered = [replace(job, arrival_s=(job.arrival_s - first) / pace) for job in ordered]
    ordered = _cut(ordered, source, pace, notes)
    if "slack" in source.given:
        ordered = [replace(job, slack_s=source.seconds("slack", 0.0)) for job in ordered]
    return in_order(ordered), notes


def _limited(jobs: Sequence[Job], source: Source, notes: list[str]) -> list[Job]:
    limit = source.whole("limit", len(jobs), 1)
    if limit < len(jobs):
        notes.append(f"limit={limit}: {plural(len(jobs) - limit, 'later pod')} left out")
    return list(jobs[:limit])


def _scaled(job: Job, scale: float) -> Job:
    usage = tuple((since, cores * scale) for since, cores in job.usage)
    cores, used, memory = (scale * each for each in (job.cpu_cores, job.cpu_used_cores, job.memory_mib))
    return replace(job, cpu_cores=cores, cpu_used_cores=used, memory_mib=memory, usage=usage)


# --- pace -------------------------------------------------------------------------------------------------------------


def _pace(
    jobs: Sequence[Job], source: Source, nodes: Sequence[SimulatedNode], load: float | None, notes: list[str]
) -> float:
    """How many times as fast as in the trace the pods come."""
    if "compress" in source.given and "load" in source.given:
        raise source.error("expected compress or load, which says how far to compress; got both")
    if "compress" in source.given:
        return source.number("compress", 1.0, _SLOWEST, _FASTEST)
    wanted = source.number("load", -1.0 if load is None else load, 1e-4, 10.0)
    if wanted < 0.0:
        return 1.0
    cores = sum(node.cpu_cores for node in nodes)
    found, reached = compression(jobs, wanted * cores)
    if reached < wanted * cores * (1.0 - 1e-3) and "load" in source.given:
        raise source.error(
            f"expected a load that these pods can reach on {cores:g} CPUs; got {wanted:.4g}, and they reach "
            f"{reached / cores:.3g} before half of them outlive the arrivals: take fewer nodes, more pods or a larger "
            "scale"
        )
    how = "as in the trace" if found == 1.0 else f"compressed {found:g} times"
    notes.append(f"times {how}: a mean requested load of {reached / cores:.4g} of {cores:g} CPUs")
    return found


def compression(jobs: Sequence[Job], cores: float) -> tuple[float, float]:
    """(how far to compress so that the jobs request ``cores`` on average until the last one comes, what they request).

    With arrivals a, the last at L, and lives d, the mean at k times the pace is the sum of
    c * min(d*k/L, 1 - a/L): it never falls with k. No faster than until half of the jobs live longer than all arrivals
    take, for these would all be cut; and never slowed down for that.
    """
    arrival = np.array([job.arrival_s for job in jobs]) - jobs[0].arrival_s
    life, request = (np.array([getattr(job, name) for job in jobs]) for name in ("duration_s", "cpu_cores"))
    last = float(arrival[-1])
    if last <= 0.0:
        return 1.0, float(request.sum())
    fastest = min(max(1.0, last / float(np.median(life))), _FASTEST)
    low, high = math.log(_SLOWEST), math.log(fastest)
    if _requested(fastest, last, arrival, life, request) <= cores:
        low = high
    while high - low > 1e-6:
        middle = (low + high) / 2.0
        enough = _requested(math.exp(middle), last, arrival, life, request) >= cores
        low, high = (low, middle) if enough else (middle, high)
    pace = float(f"{math.exp(high):.5g}")
    return pace, _requested(pace, last, arrival, life, request)


def _requested(pace: float, last: float, arrival: Floats, life: Floats, request: Floats) -> float:
    # no product of BLAS: its sum depends on the number of its threads
    return float((request * np.minimum(life * (pace / last), 1.0 - arrival / last)).sum())


# --- lives ------------------------------------------------------------------------------------------------------------


def _cut(jobs: list[Job], source: Source, pace: float, notes: list[str]) -> list[Job]:
    span = jobs[-1].arrival_s if pace != 1.0 else 0.0
    longest = source.seconds("longest", span or math.inf)
    cut = sum(job.duration_s > longest for job in jobs)
    if cut:
        notes.append(f"{plural(cut, 'pod')} cut to {longest:.6g} s (longest)")
    return [shortened(job, longest) if job.duration_s > longest else job for job in jobs]


def shortened(job: Job, longest: float) -> Job:
    """The job, ended after ``longest`` [s]; its mean use is that of the part that is left."""
    if not job.usage:
        return replace(job, duration_s=longest)
    usage = tuple(step for step in job.usage if step[0] < longest)
    return replace(job, duration_s=longest, usage=usage, cpu_used_cores=mean_use(usage, longest))


def mean_use(usage: Sequence[tuple[float, float]], duration: float) -> float:
    """Mean [cores] of steps of use over a life of ``duration`` [s]."""
    since = np.array([*(start for start, _ in usage), duration])
    return float((np.diff(since) * np.array([cores for _, cores in usage])).sum()) / duration
