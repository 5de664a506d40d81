"""kube-scheduler's scores by requests, to compare the power strategies with: LeastAllocated, BalancedAllocation and
MostAllocated over CPU and memory.

The arithmetic is that of kube-scheduler in whole points from 0 to 100, higher is better, every division rounded down:
nodes with similar shares tie. As there, the sums of the first and the last have a small request for each container that
requests none (``Pod.unasked``). A cost is the points that are missing. Pure.

Source: kube-scheduler 1.36, plugins/noderesources/least_allocated.go, most_allocated.go and balanced_allocation.go.
"""

from __future__ import annotations

import numpy as np

from peaks_scheduler.arrays import Floats, Ints
from peaks_scheduler.ledger.resources import MOST_HELD
from peaks_scheduler.ledger.snapshot import Snapshot
from peaks_scheduler.objects.pod import Pod

MOST = 100
"""kube-scheduler's MaxNodeScore."""
RESOURCES = ("cpu", "memory")
"""Both have weight 1."""


def least_and_balanced(pod: Pod, nodes: Snapshot) -> Floats:
    """What kube-scheduler's default profile minimises: 200 minus LeastAllocated and BalancedAllocation, weight 1 each.
    (N,) points."""
    missing: Floats = (2 * MOST - least_points(pod, nodes) - balanced_points(pod, nodes)).astype(np.float64)
    return missing


def most(pod: Pod, nodes: Snapshot) -> Floats:
    """100 minus MostAllocated. (N,) points."""
    asked, allocatable = _asked(pod, nodes)
    shares = _quotient(MOST * np.minimum(asked, allocatable), allocatable)
    missing: Floats = (MOST - _mean(shares, allocatable)).astype(np.float64)
    return missing


def least_points(pod: Pod, nodes: Snapshot) -> Ints:
    """LeastAllocated: the mean share that is left. (N,) points."""
    asked, allocatable = _asked(pod, nodes)
    return _mean(_quotient(MOST * np.maximum(allocatable - asked, 0), allocatable), allocatable)


def balanced_points(pod: Pod, nodes: Snapshot) -> Ints:
    """BalancedAllocation: 75 points, and more where the pod brings the shares of CPU and memory closer together. (N,)
    points; 0 everywhere for a pod that requests neither."""
    own = _requested(pod)
    if not own.any():
        return np.zeros(len(nodes), np.int64)
    rows = [nodes.rows[name] for name in RESOURCES]
    allocatable, held = nodes.allocatable[rows], nodes.allocatable[rows] - nodes.free[rows]
    change = _evenness(held + own, allocatable) - _evenness(held, allocatable)
    points: Ints = MOST // 2 + (MOST // 2 + change) // 2
    return points


def _evenness(asked: Ints, allocatable: Ints) -> Ints:
    """(2, N) -> (N,) points 50..100, 100 where both shares are equal, or where a node has only one of the two."""
    shares: Floats = np.minimum(asked / np.maximum(allocatable, 1), 1.0)
    deviation = np.where((allocatable == 0).any(axis=0), 0.0, np.abs((shares[0] - shares[1]) / 2.0))
    points: Ints = ((1.0 - deviation) * float(MOST)).astype(np.int64)
    return points


def _asked(pod: Pod, nodes: Snapshot) -> tuple[Ints, Ints]:
    """(2, N) [mCPU, bytes] requested with the pod, small requests included; and allocatable."""
    rows = [nodes.rows[name] for name in RESOURCES]
    allocatable = nodes.allocatable[rows]
    held = allocatable - nodes.free[rows] + np.stack([nodes.unasked_cpu, nodes.unasked_memory])
    return held + _requested(pod) + np.array(pod.unasked).reshape(2, 1), allocatable


def _requested(pod: Pod) -> Ints:
    """(2, 1) [mCPU, bytes]; more than any node has counts as ``MOST_HELD``, as in the ledger."""
    requests = dict(pod.requests)
    return np.array([[min(requests.get(name, 0), MOST_HELD)] for name in RESOURCES], np.int64)


def _mean(points: Ints, allocatable: Ints) -> Ints:
    """(2, N) -> (N,) mean over what a node has of the two, rounded down; 0 where it has neither."""
    there = allocatable > 0
    return _quotient(np.where(there, points, 0).sum(axis=0), there.sum(axis=0))


def _quotient(whole: Ints, by: Ints) -> Ints:
    """``whole / by`` as Go divides: rounded towards 0, which counts where exabytes of memory have overflowed; 0 / 0 is
    0."""
    quotient: Ints = np.sign(whole) * (np.abs(whole) // np.maximum(by, 1))
    return quotient


def least_allocated(left: Floats, allocatable: Floats) -> Floats:
    """Mean share of R resources that is left on each node, not rounded. (R, N), (R, N) -> (N,) points 0..100, higher is
    better.

    ``left`` is what is not requested once the pod is there, in the unit of ``allocatable``; below 0 it does not fit.
    """
    score: Floats = np.mean(100.0 * left / allocatable, axis=0)
    return score
