"""What one run of the simulator is given, and what it gives. Pure records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from peaks_scheduler.objects.ceilings import NO_CEILING, Ceiling
from peaks_scheduler.power.models import PowerModels

from .carbon import Grid
from .cluster import Outage, SimulatedNode
from .workload import Job

BASELINE = "least-allocated"
"""Today's scheduler: savings are counted from it."""


@dataclass(frozen=True, slots=True)
class LoadView:
    """The load of the nodes as the scheduler gets it: averages over a window, late, and sometimes missing."""

    window_s: float = 900.0
    """An average covers this time; 0: the use at one instant."""
    interval_s: float = 15.0
    """From one report to the next; 0: before every decision."""
    delay_s: float = 0.0
    """From the end of a window until its report arrives."""
    gaps: tuple[tuple[float, float], ...] = ()
    """(from, to) [s]: no report arrives."""


LOAD_WATCHER = LoadView()
PERFECT = LoadView(0.0, 0.0)
"""The true use at the moment of each decision."""


@dataclass(frozen=True, slots=True)
class Case:
    """One cluster, one workload, one strategy."""

    nodes: Sequence[SimulatedNode]
    jobs: Sequence[Job]
    """In order (``workload.in_order``)."""
    strategy: str
    """A name from ``strategies``."""
    models: PowerModels
    """What the scheduler believes of the nodes' power."""
    load: LoadView = LOAD_WATCHER
    ceiling: Ceiling = NO_CEILING
    grid: Grid = field(default_factory=lambda: MappingProxyType({}))
    """Empty: carbon is not counted."""
    outages: Sequence[Outage] = ()
    seed: int = 0
    default_cpu: int = 100
    """[mCPU] expected use of a pod that requests none."""
    tolerance_watts: float = 0.0
    batch_wait_s: float = 1.0
    """How long a strategy that decides over batches waits for more pods."""


@dataclass(frozen=True, slots=True)
class Placement:
    """A job that ran on a node from ``start_s`` to ``end_s``."""

    job: Job
    node: str
    start_s: float
    end_s: float
    completed: bool = True
    """False: the node failed at ``end_s``, and the job began anew elsewhere or waited in vain."""


@dataclass(frozen=True, slots=True)
class Replay:
    """What a strategy did: placements in order of start, and the jobs that never ran to their end."""

    case: Case
    placements: Sequence[Placement]
    unscheduled: Sequence[Job]
    decisions: int
    """Times that the scheduler was asked, vain ones included."""
    decision_s: float
    """[s] of this machine's time that the decisions took; the only figure that differs from run to run."""
    jumps: Mapping[str, float] = field(default_factory=dict)
    """Job -> predicted rise of power [W], where the strategy tells one."""
