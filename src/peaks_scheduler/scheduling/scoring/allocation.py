"""kube-scheduler's LeastAllocated and MostAllocated: scores to compare the strategies with. Pure.

Source: kube-scheduler's noderesources/least_allocated.go and most_allocated.go. There every share is rounded down to
whole points; whoever wants that rounds the result.
"""

from __future__ import annotations

import numpy as np

from peaks_scheduler.arrays import Floats


def least_allocated(left: Floats, allocatable: Floats) -> Floats:
    """Mean share of R resources that is left on each node. (R, N), (R, N) -> (N,) points 0..100, higher is better.

    ``left`` is what is not requested once the pod is there, in the unit of ``allocatable``; below 0 it does not fit.
    """
    score: Floats = np.mean(100.0 * left / allocatable, axis=0)
    return score


def most_allocated(left: Floats, allocatable: Floats) -> Floats:
    """Mean share of R resources that is requested on each node: as ``least_allocated``, and the opposite."""
    score: Floats = np.mean(100.0 * (allocatable - left) / allocatable, axis=0)
    return score
