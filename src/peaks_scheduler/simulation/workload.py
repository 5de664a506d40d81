"""The pods of a simulated workload: when they come, what they request, what they use. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from peaks_scheduler.objects.pod import Pod


@dataclass(frozen=True, slots=True)
class Job:
    """One pod that runs once. Times are seconds from the start of the simulation."""

    name: str
    """Unique in the workload."""
    arrival_s: float
    duration_s: float
    """How long it runs once it is placed; above 0."""
    cpu_cores: float
    """Requested."""
    memory_mib: float
    """Requested."""
    cpu_used_cores: float
    """Used while it runs: the mean over its life."""
    usage: tuple[tuple[float, float], ...] = ()
    """(seconds from its start, cores used from then on), rising, the first at 0; empty: ``cpu_used_cores`` all its
    life."""
    slack_s: float = 0.0
    """How much later than its arrival it may start, for strategies that wait."""
    node: str = ""
    """Where it must run: a pod that cannot be moved, such as one of a DaemonSet. Empty: the strategy decides."""
    pod: Pod | None = None
    """The pod as the API server has it, with its constraints; None: a plain pod with these requests."""


@dataclass(frozen=True, slots=True)
class Workload:
    """Jobs in order of arrival, then of name."""

    jobs: tuple[Job, ...]
    notes: tuple[str, ...] = ()
    """What was left out or assumed when it was read, in words."""


def in_order(jobs: Iterable[Job]) -> tuple[Job, ...]:
    """The jobs in order of arrival, then of name."""
    return tuple(sorted(jobs, key=lambda job: (job.arrival_s, job.name)))
