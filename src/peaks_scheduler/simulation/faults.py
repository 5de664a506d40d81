"""What goes wrong in a simulated cluster: nodes that fail and come back, and a load source that falls silent.

    nodes:mtbf=30d&mttr=1h    each node runs 30 days on average, then is away for one hour on average
    load:from=2d&for=1h       no load report arrives for an hour, from two days after the start on

Several are joined by ``+``. Times to failure and to repair are exponential and independent between nodes; a node's own
depend on its name and the seed, and not on the other nodes. Pure.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from peaks_scheduler.text.words import nearest

from .case import LoadView
from .cluster import Outage, SimulatedNode
from .words import pairs, parts, required, seconds
from .workload import Job

LEAST_MTBF_S = 60.0
"""A shorter one makes more outages than a run can replay, and is most likely a wrong unit."""


@dataclass(frozen=True, slots=True)
class Faults:
    """The faults of one run."""

    mtbf_s: float | None = None
    """Mean time between the return of a node and its next failure; None: no node fails."""
    mttr_s: float = 0.0
    """Mean time to repair."""
    gaps: tuple[tuple[float, float], ...] = ()
    """(from, to) [s]: no load report arrives."""

    def outages(self, nodes: Sequence[SimulatedNode], span_s: float, seed: int) -> tuple[Outage, ...]:
        """The outages that begin within ``span_s``."""
        if self.mtbf_s is None:
            return ()
        return outages(nodes, mtbf_s=self.mtbf_s, mttr_s=self.mttr_s, span_s=span_s, seed=seed)

    def view(self, view: LoadView) -> LoadView:
        """The load as the scheduler gets it, with these gaps as well."""
        return replace(view, gaps=joined((*view.gaps, *self.gaps)))


NO_FAULTS = Faults()


def outages(
    nodes: Sequence[SimulatedNode], *, mtbf_s: float, mttr_s: float, span_s: float, seed: int
) -> tuple[Outage, ...]:
    """The outages that begin within ``span_s``, in order of their start, then of the node.

    mtbf_s   mean time [s] from a node's start or return to its next failure
    mttr_s   mean time [s] until it is back; the last outage may end after the span
    """
    found = [each for node in nodes for each in _of_node(node.name, mtbf_s, mttr_s, span_s, seed)]
    return tuple(sorted(found, key=lambda outage: (outage.start_s, outage.node)))


def _of_node(name: str, mtbf_s: float, mttr_s: float, span_s: float, seed: int) -> Iterator[Outage]:
    rng, time = random.Random(f"outages {seed} {name}"), 0.0
    while (start := time + rng.expovariate(1.0 / mtbf_s)) < span_s:
        time = start + rng.expovariate(1.0 / mttr_s)
        yield Outage(name, start, time)


def parse_faults(text: str) -> Faults:
    """The faults that the words describe; none for an empty text. Raises ValueError: text that completes "expected"."""
    found = NO_FAULTS
    for head, rest in parts(text):
        if head == "nodes" and found.mtbf_s is None:
            values = pairs(rest, ("mtbf", "mttr"))
            required(values, ("mtbf", "mttr"))
            mtbf, mttr = seconds(values["mtbf"], least=LEAST_MTBF_S), seconds(values["mttr"], least=1e-3)
            found = replace(found, mtbf_s=mtbf, mttr_s=mttr)
        elif head == "load":
            values = pairs(rest, ("from", "for"))
            required(values, ("for",))
            start = seconds(values.get("from", "0s"))
            found = replace(found, gaps=joined((*found.gaps, (start, start + seconds(values["for"], least=1e-3)))))
        else:
            near = nearest(head, ("nodes", "load"))
            raise ValueError(f"`nodes:mtbf=30d&mttr=1h` once, and `load:from=2d&for=1h`, joined by `+`{near}")
    return found


def span_of(jobs: Iterable[Job]) -> float:
    """[s] until the last job ends, if every job starts as it arrives: outages are drawn for this time."""
    return max((job.arrival_s + job.duration_s for job in jobs), default=0.0)


def joined(gaps: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """The gaps in order of time; those that touch or overlap become one."""
    found: list[tuple[float, float]] = []
    for start, end in sorted(gaps):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return tuple(found)
