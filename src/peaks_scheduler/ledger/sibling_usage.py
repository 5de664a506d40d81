"""Measured CPU use of siblings, and a percentile of it once there are enough observations.

Pods are siblings when one owner made them from the same images (``Pod.siblings``); other images are another group,
because other code may use anything. Owns the observations and the statistics. Times are ours, in seconds since the
epoch. Pure: no I/O, no clock. Nothing is kept beyond the process.

Of each group at most MOST observations are kept, none older than ``keep``. When there are more, every twenty-fourth of
``keep`` (an hour of a day) keeps an equal share, so that a night does not displace the day, and within it every pod
keeps one observation before any keeps two. In the percentile every pod has the same weight, however many observations
it has: a pod that runs long, or runs away, does not dominate.
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
"""Observations of a group: 3 KiB; the error of the 90th percentile is about two percentiles."""
MOST_SIBLINGS = 20_000
"""Groups that are kept."""
STRETCHES = 24  # parts of ``keep`` with equal shares
LEAST_CHANGE = 0.1
"""Share of an estimate by which a new one must differ: each change updates all running pods of the group."""
LEAST = 1  # [mCPU] of an estimate: an idle pod is not free


@dataclass(slots=True, eq=False)
class _Siblings:
    """The observations of a group, as columns; row i is one observation."""

    stretch: float  # [s] length of a part of ``keep``
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
        """Drop half of the observations: those kept are drawn at random, one of every pod before a second one."""
        pods, ends = np.array(self.pods, np.uint64), np.array(self.ends, np.uint64)
        # the random number is a fixed hash: what is kept is a sample of all observations that ever came
        lot = (ends << np.uint64(32) | pods) * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(32)
        stretches = (ends / self.stretch).astype(np.int64)
        turn = _ranks(_ranks(lot, pods, stretches), stretches)
        counts = np.unique(stretches, return_counts=True)[1]
        share = next(share for share in range(MOST // 2, -1, -1) if np.minimum(counts, share).sum() <= MOST // 2)
        self._keep(np.flatnonzero(turn < share))

    def _keep(self, kept: Ints) -> None:
        self.pods = array("I", np.array(self.pods)[kept].tobytes())
        self.ends = array("I", np.array(self.ends)[kept].tobytes())
        self.use = array("f", np.array(self.use)[kept].tobytes())

    def percentile(self, percentile: float) -> float:
        """[mCPU] percentile of the use; every pod has the same weight."""
        use = np.array(self.use)
        _, pod, counts = np.unique(np.array(self.pods), return_inverse=True, return_counts=True)
        order = np.argsort(use, kind="stable")
        weight = np.cumsum(1.0 / counts[pod[order]]) / len(counts)
        return float(use[order][np.searchsorted(weight[:-1], percentile / 100.0 - 1e-9)])


def _ranks(values: AnyArray, *groups: AnyArray) -> Ints:
    """(N,) rank of each value among the values of equal groups, from 0."""
    order = np.lexsort((values, *groups))
    ranks = np.arange(len(order))
    new = np.logical_or.reduce([np.diff(group[order].astype(np.int64), prepend=-1) != 0 for group in groups])
    of = np.empty_like(ranks)
    of[order] = ranks - np.maximum.accumulate(np.where(new, ranks, 0))
    return of


class UsageBook:
    """The measured use of all groups of siblings.

    Args:
        percentile: 0..100, of the siblings' use.
        warm_up: [s] a pod must have run so long before its window begins.
        min_samples: observations of a group below which there is no estimate.
        keep: [s] an observation counts for so long.
    """

    def __init__(
        self, *, percentile: float = 90.0, warm_up: float = 120.0, min_samples: int = 10, keep: float = 86400.0
    ) -> None:
        self._percentile, self._warm_up, self._min_samples, self._keep = percentile, warm_up, min_samples, keep
        self._known: dict[str, _Siblings] = {}
        self._before: dict[str, float] = {}  # uid -> end of its last window, of the last round and of this one
        self._now: dict[str, float] = {}

    def observe(self, pod: Pod, cores: float, window_start: float, window_end: float) -> None:
        """``pod`` used ``cores`` on average over this window.

        Nothing is noted for a pod without siblings or not warm yet, for a window seen before, and for an invalid use.
        """
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
        """End a round of observations. Returns the estimates [mCPU] that have changed, by ``Pod.siblings``; None: there
        is none any more. Observations that are too old are dropped."""
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
        """Groups beyond ``MOST_SIBLINGS``, those observed last first to stay: anybody can invent owners."""
        beyond = len(self._known) - MOST_SIBLINGS
        return sorted(self._known, key=lambda name: max(self._known[name].ends))[:beyond] if beyond > 0 else []

    def _estimate(self, siblings: _Siblings) -> int | None:
        if len(siblings.use) < self._min_samples:
            return None
        found, before = max(LEAST, round(siblings.percentile(self._percentile))), siblings.estimate
        near = before is not None and abs(found - before) <= LEAST_CHANGE * before
        return before if near else found

    def estimate(self, siblings: str) -> int | None:
        """[mCPU] expected use of a pod of the group, as of the last review; None: not known."""
        known = self._known.get(siblings)
        return known.estimate if known else None

    def counts(self) -> tuple[int, int]:
        """(groups with an estimate, groups with too few observations)."""
        known = sum(each.estimate is not None for each in self._known.values())
        return known, len(self._known) - known
