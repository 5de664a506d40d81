"""Load of the nodes as a load source reports it, and which part of a pod's use an average over a window has.

Owns the two records that every source delivers, and the arithmetic on windows. Assumes that all times are on our own
clock, in seconds since the epoch: sources correct for the offset of theirs. Never decides whether a load is stale.
Pure.
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

    Either ``cpu`` or ``cores`` is given: sources that do not know the node's capacity report cores.
    """

    cpu: float | None
    """Utilisation, a fraction 0..1 of the node's capacity; None: see ``cores``."""
    window_start: float
    """[s] since the epoch, our clock."""
    window_end: float
    """[s] since the epoch, our clock; the load's age counts from here. Never before ``window_start``."""
    cores: float | None = None
    """[cores] in use; None: see ``cpu``."""
    memory: float | None = None
    """[bytes] in use; None: see ``memory_share``."""
    memory_share: float | None = None
    """Memory in use, a fraction of the node's capacity; None: the source does not report memory, or in bytes."""

    def used(self, capacity: float) -> float:
        """[cores] in use on a node of ``capacity`` [cores], at most that many."""
        if self.cores is not None:
            return min(self.cores, capacity)
        # a load without a value must not make its node look idle
        return capacity * (self.cpu if self.cpu is not None else 1.0)

    def memory_used(self, capacity: float) -> float | None:
        """[bytes] in use on a node of ``capacity`` [bytes]; None: not known."""
        if self.memory is not None or self.memory_share is None:
            return self.memory
        return capacity * self.memory_share if capacity > 0.0 else None


@dataclass(frozen=True, slots=True)
class LoadReport:
    """The usable part of one answer of a load source."""

    nodes: Mapping[str, NodeLoad]
    """By the source's name of the node; ``sources/matching.py`` finds the node."""
    timestamp: float
    """When the source made the answer [s], our clock."""
    fetched_at: float
    """When the answer was received [s], our clock."""
    clock_offset: float | None = None
    """The source's clock minus ours [s], to about a second; None: the source did not tell its time."""
    problems: tuple[str, ...] = ()
    """What was left out and why, in words; the same problem has the same text, so that a change can be noticed."""
    spare: frozenset[str] = frozenset()
    """Keys of ``nodes`` from a second collector: they count only for nodes that no other key matches."""

    def one_of(self, keys: Iterable[str]) -> str | None:
        """The key that counts among several of one node; None: their loads contradict."""
        return one_of({key: self.nodes[key] for key in keys})


_ALIKE = 0.1  # difference of two averages whose windows end a few scrapes apart, as a share of all CPUs ...
_OF_CORES = 0.2  # ... or this share of the cores in use and ``_ALIKE`` cores
_SAME_WINDOW = 0.5  # of a window: a load that ended earlier than the newest by more is left from an old exporter


def alike(one: NodeLoad, other: NodeLoad) -> bool:
    """Can both be loads of the same node at the same time?"""
    if one.cores is not None and other.cores is not None:
        return abs(one.cores - other.cores) <= _ALIKE + _OF_CORES * max(one.cores, other.cores)
    if one.cpu is not None and other.cpu is not None:
        return abs(one.cpu - other.cpu) <= _ALIKE
    return False  # a ratio and cores: the number of CPUs would tell


def one_of(loads: Mapping[Key, NodeLoad]) -> Key | None:
    """The load that counts among several of one node: the newest, then the largest; None: they contradict.

    The last average of an exporter that was replaced stays for one window and is no contradiction.
    """
    newest = max(loads, key=lambda key: (loads[key].window_end, loads[key].cpu or loads[key].cores or 0.0))
    load = loads[newest]
    since = load.window_end - _SAME_WINDOW * (load.window_end - load.window_start)
    present = [each for each in loads.values() if each.window_end >= since]
    return newest if all(alike(load, each) for each in present) else None


def seen_share(started: float | None, ended: float | None, window_start: float, window_end: float) -> float:
    """Share of a window in which a pod ran, 0..1: the window's average contains this share of the pod's use.

    ``started`` [s]: None if it has not started (0); ``ended`` [s]: None if it has not ended. A window of length zero is
    an instant: 1 if the pod ran then. The average misses ``1 - seen_share`` of a running pod's use, and contains
    ``seen_share`` of an ended pod's.
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
    """A pod that ended: what the correction of an average needs of it."""

    cpu: int
    """[mCPU] its expected use."""
    stated_cpu: int
    started: float
    finished: float
    """[s]"""
    siblings: str

    @classmethod
    def of(cls, pod: Pod, started: float, finished: float) -> Ended:
        return cls(pod.cpu, pod.stated_cpu, started, finished, pod.siblings)

    def using(self, cpu: int | None) -> Ended:
        """The same with an expected use of ``cpu`` [mCPU]; None: as its spec states."""
        return replace(self, cpu=self.stated_cpu if cpu is None else cpu)


def unseen(pod: Pod, load: NodeLoad | None) -> tuple[int, int]:
    """[nanocores], [bytes] the part of a running pod's use that the load misses.

    Memory misses the same share, even if it is measured in an instant: a pod's memory grows after its start.
    """
    if load is None:
        return 0, 0
    missing = 1.0 - seen_share(pod.started, None, load.window_start, load.window_end)
    if missing in (0.0, 1.0):  # most pods: no rounding
        return (pod.cpu * NANO, pod.memory) if missing else (0, 0)
    return round(pod.cpu * NANO * missing), round(pod.memory * missing)


def still_seen(pod: Ended, load: NodeLoad | None) -> int:
    """[nanocores] the part of an ended pod's use that the load still contains."""
    if load is None:
        return 0
    return round(pod.cpu * NANO * seen_share(pod.started, pod.finished, load.window_start, load.window_end))
