"""How busy the nodes were, as a load source told it, and what an average over a window cannot have seen yet.

Owns the two forms that every source delivers and the one piece of arithmetic on windows. Assumes that all times are on
our own clock, in seconds since the epoch: sources correct for the offset of theirs at the door. Never decides whether a
load is stale: who uses it knows how old it may be. Pure.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from peaks_scheduler.objects.pod import Pod

Key = TypeVar("Key", bound=Hashable)

NANO = 1_000_000  # nanocores in a millicore


@dataclass(frozen=True, slots=True)
class NodeLoad:
    """CPU use of one node: the average from ``window_start`` to ``window_end``.

    Said as a fraction of the node's capacity, or in cores by sources that do not know the capacity: one of the two.
    """

    cpu: float | None
    """Utilisation, a fraction 0..1 of the node's capacity; None: ``cores`` says it."""
    window_start: float
    """[s] since the epoch, our clock."""
    window_end: float
    """[s] since the epoch, our clock; what the load's age is counted from. Never before ``window_start``."""
    cores: float | None = None
    """[cores] in use; None: ``cpu`` says it."""
    memory: float | None = None
    """[bytes] in use; None: ``memory_share`` says it, or the source does not."""
    memory_share: float | None = None
    """Memory in use, a fraction of the node's capacity, from sources that do not know the capacity."""

    def used(self, capacity: float) -> float:
        """[cores] in use on a node that has ``capacity`` [cores]: no more than all of them."""
        if self.cores is not None:
            return min(self.cores, capacity)
        # a load that says nothing does not make its node look idle
        return capacity * (self.cpu if self.cpu is not None else 1.0)

    def memory_used(self, capacity: float) -> float | None:
        """[bytes] in use on a node that has ``capacity`` [bytes]; None: not known."""
        if self.memory is not None or self.memory_share is None:
            return self.memory
        return capacity * self.memory_share if capacity > 0.0 else None


@dataclass(frozen=True, slots=True)
class LoadReport:
    """One answer of a load source, as far as it could be used."""

    nodes: Mapping[str, NodeLoad]
    """Keys as the source names its nodes; sources/matching.py finds out which node each is."""
    timestamp: float
    """When the source made the answer [s], our clock."""
    fetched_at: float
    """When the answer was here [s], our clock."""
    clock_offset: float | None = None
    """The source's clock minus ours [s], to about a second; None: the source did not say its time."""
    problems: tuple[str, ...] = ()
    """What was left out and why, for people; the same text for the same trouble, so that a change can be told."""
    spare: frozenset[str] = frozenset()
    """Keys of ``nodes`` that count only for a node which none of the others means: a second collector's."""

    def one_of(self, keys: Iterable[str]) -> str | None:
        """Which of several keys that mean one node counts; None: what they say contradicts."""
        return one_of({key: self.nodes[key] for key in keys})


_ALIKE = 0.1  # of all CPUs, or of the cores in use and a little: averages whose windows end some scrapes apart
_OF_CORES = 0.2
_SAME_WINDOW = 0.5  # of a window: what ended earlier than the newest by more is what an exporter left behind


def alike(one: NodeLoad, other: NodeLoad) -> bool:
    """May both be of the same node at the same time?"""
    if one.cores is not None and other.cores is not None:
        return abs(one.cores - other.cores) <= _ALIKE + _OF_CORES * max(one.cores, other.cores)
    if one.cpu is not None and other.cpu is not None:
        return abs(one.cpu - other.cpu) <= _ALIKE
    return False  # a ratio and cores: the number of CPUs would tell


def one_of(loads: Mapping[Key, NodeLoad]) -> Key | None:
    """Which of several loads that are said of one node counts: the newest, the larger of two; None: they contradict.

    An exporter that was replaced leaves its last average behind for a window: that is no contradiction.
    """
    newest = max(loads, key=lambda key: (loads[key].window_end, loads[key].cpu or loads[key].cores or 0.0))
    load = loads[newest]
    since = load.window_end - _SAME_WINDOW * (load.window_end - load.window_start)
    present = [each for each in loads.values() if each.window_end >= since]
    return newest if all(alike(load, each) for each in present) else None


def seen_share(started: float | None, ended: float | None, window_start: float, window_end: float) -> float:
    """Share of a window that a pod lived through, 0..1: so much of its use the window's average contains.

    ``started`` and ``ended`` [s]: None for a pod that has not started (0), not ended. A window of no length is an
    instant: 1 if the pod lived then. An average misses ``1 - seen_share`` of a running pod and still holds
    ``seen_share`` of an ended one.
    """
    if started is None:
        return 0.0
    length = window_end - window_start
    if length <= 0.0:
        return 1.0 if started <= window_end and (ended is None or ended >= window_end) else 0.0
    until = window_end if ended is None else min(ended, window_end)
    return max(0.0, until - max(started, window_start)) / length


@dataclass(frozen=True, slots=True)
class Ended:
    """A pod that ended: all that an average which still holds some of its use needs, not the whole pod."""

    cpu: int
    """[mCPU] what it was taken to use."""
    stated_cpu: int
    started: float
    finished: float
    """[s]"""
    siblings: str

    @classmethod
    def of(cls, pod: Pod, started: float, finished: float) -> Ended:
        return cls(pod.cpu, pod.stated_cpu, started, finished, pod.siblings)

    def using(self, cpu: int | None) -> Ended:
        """The same, taken to have used ``cpu`` [mCPU]; None: what it stated."""
        return replace(self, cpu=self.stated_cpu if cpu is None else cpu)


def unseen(pod: Pod, load: NodeLoad | None) -> tuple[int, int]:
    """[nanocores], [bytes] the part of a running pod's use that is missing from the load.

    Of memory it is the same share: what a pod holds grows after its start, also where memory is measured in an instant.
    """
    if load is None:
        return 0, 0
    missing = 1.0 - seen_share(pod.started, None, load.window_start, load.window_end)
    return (round(pod.cpu * NANO * missing), round(pod.memory * missing)) if missing else (0, 0)


def still_seen(pod: Ended, load: NodeLoad | None) -> int:
    """[nanocores] the part of an ended pod's use that is still in the load."""
    if load is None:
        return 0
    return round(pod.cpu * NANO * seen_share(pod.started, pod.finished, load.window_start, load.window_end))
