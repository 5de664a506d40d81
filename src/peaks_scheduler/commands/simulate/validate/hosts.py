"""Lets the production scheduler place measured work on hosts, and gives the use of each host over time.

Every job is a pod that requests its CPUs; the simulator's ledger places it when it is submitted, or as soon as a host
has room. Its use is what was measured, wherever it runs. All hosts are alike, so no strategy saves more than another:
none of them has a power model, and the least full host is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from peaks_scheduler.arrays import Floats, Ints
from peaks_scheduler.errors import ConfigurationError
from peaks_scheduler.power.curves import Linear
from peaks_scheduler.power.models import EMPTY
from peaks_scheduler.simulation.case import PERFECT, Case, Placement
from peaks_scheduler.simulation.cluster import SimulatedNode
from peaks_scheduler.simulation.replay import replay
from peaks_scheduler.simulation.workload import Job, in_order

from .power import MeasuredPower
from .work import Hosts, MeasuredWork

_STRATEGY = "envelope"
_UNKNOWN = Linear(1.0, 1.0)  # what the simulated hosts draw is never looked at: the meter was measured
_MEMORY = 2.0**20  # [MiB] of a host; jobs request none, since the work does not say what a host has
_CHUNK = 500_000  # fragments at once


def most_at_once(work: MeasuredWork, cores: float) -> int:
    """Hosts that are needed if every job starts when it is submitted: the most cores at a time, in hosts."""
    times = np.concatenate([work.start + work.length, work.start])
    change = np.concatenate([-work.cores, work.cores])
    order = np.lexsort((change, times))  # at one time ends come first
    return max(int(np.ceil(np.cumsum(change[order]).max() / cores)), 1)


def place(
    work: MeasuredWork, hosts: Hosts, count: int, progress: Callable[[int, int], None]
) -> tuple[Ints, Floats, tuple[str, ...]]:
    """((J,) index of each job's host, (J,) [s] when it starts, notes), by the production scheduler."""
    names = [f"host-{i}" for i in range(count)]
    nodes = [SimulatedNode(name, hosts.cores, _MEMORY, _UNKNOWN) for name in names]
    lengths = np.maximum(work.length, 1e-3)
    use = np.bincount(work.job, work.mhz * work.duration) / lengths / hosts.mhz * hosts.cores
    jobs = [
        Job(str(i), float(start), float(length), float(cores), 0.0, float(used))
        for i, (start, length, cores, used) in enumerate(zip(work.start, lengths, work.cores, use, strict=True))
    ]
    done = replay(Case(nodes, in_order(jobs), _STRATEGY, EMPTY, PERFECT), progress)
    return _placed(work, hosts, {name: i for i, name in enumerate(names)}, done.placements)


def _placed(
    work: MeasuredWork, hosts: Hosts, index: dict[str, int], placements: Sequence[Placement]
) -> tuple[Ints, Floats, tuple[str, ...]]:
    if len(placements) < len(work.names):
        left = set(range(len(work.names))) - {int(each.job.name) for each in placements}
        name = work.names[min(left)]
        raise ConfigurationError(
            f"--opendc: expected jobs that fit on a host of {hosts.cores:g} cores; {len(left)} do not, such as task "
            f"{name!r} "
            f"with {work.cores[min(left)]:g} cores"
        )
    where, start = np.zeros(len(placements), np.int64), np.zeros(len(placements))
    for each in placements:
        where[int(each.job.name)], start[int(each.job.name)] = index[each.node], each.start_s
    late = int((start > work.start + 1e-6).sum())
    notes = (f"{late} jobs had to wait for a host, so their use is shifted: are there more hosts?",) if late else ()
    return where, start, notes


def use_of_hosts(work: MeasuredWork, host: Ints, start: Floats, hosts: int, mhz: float, power: MeasuredPower) -> Floats:
    """(M, hosts) [fraction] mean use of each host over the interval of each sample of the meter."""
    ends = power.time
    begins = ends - np.minimum(power.step, np.diff(ends, prepend=-np.inf))
    total = np.zeros(len(ends) * hosts)
    for first in range(0, len(work.job), _CHUNK):
        part = slice(first, first + _CHUNK)
        begin = start[work.job[part]] + work.offset[part]
        end = begin + work.duration[part]
        low, high = np.searchsorted(ends, begin, "right"), np.searchsorted(begins, end, "left")
        counts = np.maximum(high - low, 0)
        which = np.repeat(np.arange(len(counts)), counts)
        sample = np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts - low, counts)
        overlap = np.minimum(end[which], ends[sample]) - np.maximum(begin[which], begins[sample])
        place = sample * hosts + host[work.job[part]][which]
        total += np.bincount(place, overlap * work.mhz[part][which], minlength=total.size)
    use: Floats = total.reshape(len(ends), hosts) / ((ends - begins)[:, None] * mhz)
    return use
