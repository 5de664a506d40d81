"""Pods that no node can take yet: which of them to try again, and in which order.

Owns the queue of a simulation: the first to come is the first to be tried. Plain pods of equal requests are alike:
where one of them finds no room, neither do the others. Pure.
"""

from __future__ import annotations

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

    @property
    def kind(self) -> Hashable:
        """Pods of one kind fit on the same nodes. A pod with constraints is alone."""
        return self.pod.uid if self.job.pod is not None or self.job.node else self.pod.requests


class WaitingPods:
    """Attempts in the order in which they began to wait."""

    def __init__(self) -> None:
        self._kinds: dict[Hashable, dict[str, Attempt]] = {}
        self._order: dict[str, int] = {}
        self._came = 0

    def __len__(self) -> int:
        return len(self._order)

    def add(self, attempt: Attempt) -> None:
        self._came += 1
        self._order[attempt.pod.uid] = self._came
        self._kinds.setdefault(attempt.kind, {})[attempt.pod.uid] = attempt

    def remove(self, attempt: Attempt) -> None:
        alike = self._kinds[attempt.kind]
        del alike[attempt.pod.uid], self._order[attempt.pod.uid]
        if not alike:
            del self._kinds[attempt.kind]

    def in_order(self) -> list[Attempt]:
        """All of them, the first to come first."""
        every = (attempt for alike in self._kinds.values() for attempt in alike.values())
        return sorted(every, key=lambda attempt: self._order[attempt.pod.uid])

    def to_try(self, may_fit: Callable[[Attempt], bool]) -> Iterator[Attempt]:
        """Those that may fit, the first to come first. The caller removes each one that was placed; where one was not,
        its kind is not tried again."""
        kinds = dict(self._kinds)
        while kinds:
            firsts = {kind: next(iter(alike.values())) for kind, alike in kinds.items()}
            fitting = {kind: first for kind, first in firsts.items() if may_fit(first)}
            if not fitting:
                return
            kind, first = min(fitting.items(), key=lambda pair: self._order[pair[1].pod.uid])
            yield first
            # what has no room now has none after more pods were placed
            kinds = {each: self._kinds[each] for each in fitting if each in self._kinds}
            if first.pod.uid in self._order:
                del kinds[kind]
