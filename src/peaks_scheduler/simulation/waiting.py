"""Pods that no node can take yet: which of them to try again, and in which order.

Owns the queue of a simulation: the first to come is the first to be tried. Pods that ask the same of a node, and
nothing of other pods, are alike: where one of them finds no room, neither do the others. Pure.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass

from peaks_scheduler.objects.pod import Pod

from .workload import Job


@dataclass(frozen=True, slots=True)
class Attempt:
    """A job that is to be placed, and the pod that was made for it."""

    job: Job
    number: int
    """Times that the job was begun before."""
    pod: Pod
    repelled: bool = False
    """May another pod keep it away from nodes?"""

    @property
    def alone(self) -> bool:
        """Does more than the node itself decide whether it fits there?"""
        pod = self.pod
        return self.repelled or bool(pod.affinity or pod.anti_affinity or pod.spread or pod.ports or pod.volumes)

    @property
    def kind(self) -> Hashable:
        """Pods of one kind fit on the same nodes."""
        pod = self.pod
        if self.job.node or self.alone:
            return pod.uid
        return pod.requests, pod.where, pod.tolerations, pod.features, pod.unsupported


class WaitingPods:
    """Attempts in the order in which they began to wait."""

    def __init__(self) -> None:
        self._kinds: dict[Hashable, dict[str, Attempt]] = {}
        self._order: dict[str, int] = {}
        self._came = 0
        self.sociable = 0
        """Number of them that a pod may help that is placed: they want to be near others, or evenly spread."""

    def __len__(self) -> int:
        return len(self._order)

    def add(self, attempt: Attempt) -> None:
        self._came += 1
        self._order[attempt.pod.uid] = self._came
        self.sociable += _sociable(attempt)
        self._kinds.setdefault(attempt.kind, {})[attempt.pod.uid] = attempt

    def remove(self, attempt: Attempt) -> None:
        alike = self._kinds[attempt.kind]
        del alike[attempt.pod.uid], self._order[attempt.pod.uid]
        self.sociable -= _sociable(attempt)
        if not alike:
            del self._kinds[attempt.kind]

    def in_order(self) -> list[Attempt]:
        """All of them, the first to come first."""
        every = (attempt for alike in self._kinds.values() for attempt in alike.values())
        return sorted(every, key=lambda attempt: self._order[attempt.pod.uid])

    def to_try(self, may_fit: Callable[[Attempt], bool]) -> Iterator[Attempt]:
        """Those that may fit, the first to come first. The caller removes each one that was placed; where one was not,
        its kind is not tried again."""
        firsts = [self._first(kind) for kind in self._kinds]
        heapq.heapify(firsts)
        while firsts:
            _, first = heapq.heappop(firsts)
            # what has no room now has none after more pods were placed
            if not may_fit(first):
                continue
            yield first
            if first.pod.uid not in self._order and first.kind in self._kinds:
                heapq.heappush(firsts, self._first(first.kind))

    def _first(self, kind: Hashable) -> tuple[int, Attempt]:
        first = next(iter(self._kinds[kind].values()))
        return self._order[first.pod.uid], first


def _sociable(attempt: Attempt) -> bool:
    return bool(attempt.pod.affinity or attempt.pod.spread)
