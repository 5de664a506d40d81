"""The strategies, and two rules of kube-scheduler's beside them.

Owns ``least-allocated`` and ``most-allocated`` as NodeResourcesFit scores them with CPU alone: whole points of 100, so
that near nodes tie. They know no power model. Pure.
"""

from __future__ import annotations

import numpy as np

from peaks_scheduler.arrays import Floats
from peaks_scheduler.ledger.snapshot import Snapshot
from peaks_scheduler.objects.pod import Pod
from peaks_scheduler.scheduling.scoring.strategies import STRATEGIES, Strategy


def _points_free(pod: Pod, nodes: Snapshot) -> Floats:
    """(N,) points 0..100: how much of its allocatable CPU each node would have left, rounded down."""
    row = nodes.rows["cpu"]
    return np.floor(100.0 * (nodes.free[row] - dict(pod.requests)["cpu"]) / nodes.allocatable[row])


def _points_taken(pod: Pod, nodes: Snapshot) -> Floats:
    row = nodes.rows["cpu"]
    taken = nodes.allocatable[row] - nodes.free[row] + dict(pod.requests)["cpu"]
    return np.floor(100.0 * taken / nodes.allocatable[row])


LEAST = Strategy(
    "least-allocated", "the share of CPU asked for", lambda pod, nodes: -_points_free(pod, nodes), envelope=False
)
MOST = Strategy(
    "most-allocated", "the share of CPU left", lambda pod, nodes: -_points_taken(pod, nodes), envelope=False
)

BY_POWER = (STRATEGIES["envelope"], STRATEGIES["jump"])
BY_SHARE = (LEAST, MOST)
