"""What pods really use: observations of siblings, and a percentile of them once there are enough.

Pods are siblings when one owner made them from the same images (``Pod.siblings``): another image starts anew, for other
code may use anything. Owns what is kept of the observations and the statistics. Assumes that whoever observes knows the
pods; times are ours, in seconds since the epoch. Pure: no I/O, no clock. Nothing outlives the process.

What is kept of siblings is bounded: MOST observations, none older than ``keep``. Where that is reached every
twenty-fourth of ``keep`` (an hour of a day) gives up what it has beyond its share: so that a night does not crowd out
the day, and in each of them every pod keeps one before any keeps two. In the percentile every pod weighs the same,
however many observations it has: one that runs for ever, or away, does not speak for all.
"""

from __future__ import annotations

import math
import zlib
from array import array
from dataclasses import dataclass, field

import numpy as np

from peaks_scheduler.arrays import AnyArray, Ints
from peaks_scheduler.objects.pod import Pod

MOST = 256
"""Observations of siblings: 3 KiB, and at the 90th percentile two ranks of a hundred to either side."""
MOST_SIBLINGS = 20_000
"""Groups of siblings that are known at once."""
STRETCHES = 24  # of ``keep``, that have equal shares
LEAST_CHANGE = 0.1
"""Of an estimate, by which the next one must differ: the pods that run are accounted for anew each time."""
LEAST = 1  # [mCPU] an idle pod is not free


@dataclass(slots=True, eq=False)
class _Siblings:
    """Three columns; observation i is the same one in each."""

    stretch: float  # [s]
    pods: array[int] = field(default_factory=lambda: array("I"))  # a hash of the uid
    ends: array[int] = field(default_factory=lambda: array("I"))  # [s] of the window, whole seconds
    use: array[float] = field(default_factory=lambda: array("f"))  # [mCPU]
    estimate: int | None = None  # [mCPU] in force
    changed: bool = False  # since the estimate was made

    def add(self, uid: str, end: float, use: float) -> None:
        self.changed = True
        self.pods.append(zlib.crc32(uid.encode()))
        self.ends.append(max(0, int(end)))
        self.use.append(use)
        if len(self.use) >= MOST:
            self._halve()

    def forget_before(self, time: float) -> None:
        if self.ends and min(self.ends) < time:
            self.changed = True
            self._keep(np.flatnonzero(np.array(self.ends) >= time))

    def _halve(self) -> None:
        """Down to half: which of a stretch's observations stay is drawn by lot, one of every pod before a second."""
        pods, ends = np.array(self.pods, np.uint64), np.array(self.ends, np.uint64)
        # the lot is a hash, the same one each time: what is left is as good as drawn from all that ever came
        lot = (ends << np.uint64(32) | pods) * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(32)
        stretches = (ends / self.stretch).astype(np.int64)
        turn = _places(_places(lot, pods, stretches), stretches)
        counts = np.unique(stretches, return_counts=True)[1]
        share = next(share for share in range(MOST // 2, -1, -1) if np.minimum(counts, share).sum() <= MOST // 2)
        self._keep(np.flatnonzero(turn < share))

    def _keep(self, kept: Ints) -> None:
        self.pods = array("I", np.array(self.pods)[kept].tobytes())
        self.ends = array("I", np.array(self.ends)[kept].tobytes())
        self.use = array("f", np.array(self.use)[kept].tobytes())

    def percentile(self, percentile: float) -> float:
        """[mCPU] the least use that so many percent of the observations do not exceed, each pod weighing the same."""
        use = np.array(self.use)
        _, pod, counts = np.unique(np.array(self.pods), return_inverse=True, return_counts=True)
        order = np.argsort(use, kind="stable")
        weight = np.cumsum(1.0 / counts[pod[order]]) / len(counts)
        return float(use[order][np.searchsorted(weight[:-1], percentile / 100.0 - 1e-9)])


def _places(values: AnyArray, *groups: AnyArray) -> Ints:
    """(N,) which place each of N has among those of its own groups, the least value's being 0."""
    order = np.lexsort((values, *groups))
    places = np.arange(len(order))
    new = np.logical_or.reduce([np.diff(group[order].astype(np.int64), prepend=-1) != 0 for group in groups])
    of = np.empty_like(places)
    of[order] = places - np.maximum.accumulate(np.where(new, places, 0))
    return of


class UsageBook:
    """What is known of whose use. ``percentile`` 0..100 of the siblings' use; ``warm_up`` [s] that a pod must have run
    before its window began; ``min_samples`` observations without which nothing is said; ``keep`` [s] for which an
    observation counts."""

    def __init__(
        self, *, percentile: float = 90.0, warm_up: float = 120.0, min_samples: int = 10, keep: float = 86400.0
    ) -> None:
        self._percentile, self._warm_up, self._min_samples, self._keep = percentile, warm_up, min_samples, keep
        self._known: dict[str, _Siblings] = {}
        self._before: dict[str, float] = {}  # uid -> end of its last window, of the last round and of this one
        self._now: dict[str, float] = {}

    def observe(self, pod: Pod, cores: float, window_start: float, window_end: float) -> None:
        """``pod`` used ``cores`` on average over this window. Passed over: a pod without siblings or not warm yet, a
        window that was seen before, a use that is none."""
        if not pod.siblings or not (math.isfinite(cores) and cores >= 0.0):
            return
        if pod.started is None or window_start < pod.started + self._warm_up:
            return
        seen = self._before.get(pod.uid, -math.inf)
        self._now[pod.uid] = max(window_end, seen)
        if window_end > seen:
            siblings = self._known.setdefault(pod.siblings, _Siblings(self._keep / STRETCHES))
            siblings.add(pod.uid, window_end, 1000.0 * cores)

    def review(self, now: float) -> dict[str, int | None]:
        """A round of observations is complete, or there was none: the estimates [mCPU] by ``Pod.siblings`` that have
        changed, None where nothing can be said any more. What is too old is forgotten."""
        if self._now:
            self._before, self._now = self._now, {}
        changes: dict[str, int | None] = {}
        for name, siblings in self._known.items():
            siblings.forget_before(now - self._keep)
            estimate = self._estimate(siblings) if siblings.changed else siblings.estimate
            if estimate != siblings.estimate:
                siblings.estimate = changes[name] = estimate
            siblings.changed = False
        self._known = {name: siblings for name, siblings in self._known.items() if siblings.use}
        for name in self._too_many():
            if self._known.pop(name).estimate is not None:
                changes[name] = None
        return changes

    def _too_many(self) -> list[str]:
        """Siblings that were not observed for longest: whoever may create pods may invent owners."""
        beyond = len(self._known) - MOST_SIBLINGS
        return sorted(self._known, key=lambda name: max(self._known[name].ends))[:beyond] if beyond > 0 else []

    def _estimate(self, siblings: _Siblings) -> int | None:
        if len(siblings.use) < self._min_samples:
            return None
        found, before = max(LEAST, round(siblings.percentile(self._percentile))), siblings.estimate
        near = before is not None and abs(found - before) <= LEAST_CHANGE * before
        return before if near else found

    def estimate(self, siblings: str) -> int | None:
        """[mCPU] that one of them is taken to use, as of the last review; None: not known."""
        known = self._known.get(siblings)
        return known.estimate if known else None

    def counts(self) -> tuple[int, int]:
        """Groups of siblings whose use is known, and those of which not enough was seen yet."""
        known = sum(each.estimate is not None for each in self._known.values())
        return known, len(self._known) - known
